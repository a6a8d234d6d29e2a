"""A vendor's request, from the connector that it is for to durable events and the right answer."""

import base64
import secrets as chance
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
import structlog

from services.channels.connectors import registry
from services.channels.connectors.email.threading import CONVERSATION
from services.channels.connectors.handling import Event, Handled, refusal, rethread
from services.channels.connectors.port import Answer, InboundRequest, Problem
from services.channels.context import Channels, outgoing
from services.channels.directory import WorkspaceFacts
from services.channels.opened import Opened
from services.channels.raw import (
    MAX_INLINE_BYTES,
    RawRequest,
    dead_request,
    raw_record,
    raw_request,
)
from services.channels.resources import ConnectorResource
from services.channels.shapes import ShownConnector, WatchedConnector
from services.channels.store import StoredConnector
from shared.bus.port import MAX_RECORD_BYTES, Outgoing
from shared.contracts import ids
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown
from shared.db.secrets import SecretUnreadable

log = structlog.get_logger(__name__)

MAX_SIGNS = 50


@dataclass(frozen=True, slots=True)
class Received:
    """What the vendor is told, and what became of the request."""

    answer: Answer
    handled: Handled


def new_connector(
    workspace: str, resource: ConnectorResource, channels: Channels, *, with_secrets: bool
) -> StoredConnector:
    """The resource at rest: secrets sealed, with an unguessable token for its address. Without
    `with_secrets` those that are stored stay."""
    secrets = msgspec.json.encode(resource.secrets) if with_secrets else None
    place = _place(workspace, resource.id)
    return StoredConnector(
        workspace=workspace,
        id=resource.id,
        kind=resource.kind,
        enabled=resource.enabled,
        settings=resource.settings,
        sealed_secrets=None if secrets is None else channels.secrets.encrypt(secrets, place),
        inbound_token=chance.token_urlsafe(24),
        version=1,
    )


def no_secrets(workspace: str, name: str, channels: Channels) -> bytes:
    """The sealed secrets of a connector that has none."""
    return channels.secrets.encrypt(b"{}", _place(workspace, name))


def opened_secrets(stored: StoredConnector, channels: Channels) -> dict[str, tuple[str, ...]]:
    """The connector's secrets in plain; for this process's memory only.

    Raises Refused (unavailable) when none of this process's keys opens them.
    """
    try:
        plain = channels.secrets.decrypt(
            stored.sealed_secrets or b"", _place(stored.workspace, stored.id)
        )
    except SecretUnreadable as error:
        log.error("connector.secrets_unreadable", connector=stored.id, because=str(error))
        detail = "The connector's secrets cannot be opened: check OMNIROUTE_SECRET_KEY."
        raise Refused("unavailable", detail, retry_after_s=60) from error
    return msgspec.json.decode(plain, type=dict[str, tuple[str, ...]])


def _place(workspace: str, name: str) -> str:
    return f"connector\n{workspace}\n{name}"


def inbound_url(stored: StoredConnector, channels: Channels) -> str:
    """The address to give to the vendor; with a token in it where the vendor does not sign."""
    path = f"/v1/workspaces/{stored.workspace}/connectors/{stored.id}/inbound"
    if not registry.get(stored.kind).signed:
        path = f"{path}/{stored.inbound_token}"
    return channels.public_url + path


async def receive(channels: Channels, stored: StoredConnector, request: InboundRequest) -> Received:
    """Verify, normalise and make durable. The answer says when the vendor is to come again.

    Raises Refused and DatabaseUnavailable when not even the connector can be made out.
    """
    workspace = await channels.directory.of(stored.workspace)
    handled = await _handled(channels, stored, request, workspace)
    if not handled.accepted:
        because = refusal(registry.get(stored.kind), handled)
        log.info("inbound.refused", connector=stored.id, verdict=handled.verdict, because=because)
        answer = handled.answer
        told = answer if answer.body else msgspec.structs.replace(answer, body=because)
        return Received(told, handled)
    try:
        await _keep(channels, stored, request, handled, workspace)
        if handled.accepted:
            await channels.errands.owe(
                stored, handled.wanted, handled.events, lambda: opened_secrets(stored, channels)
            )
    except (Refused, DatabaseUnavailable, OutcomeUnknown) as failed:
        log.warning("inbound.unavailable", connector=stored.id, because=str(failed))
        return Received(handled.unavailable, handled)
    return Received(handled.answer, handled)


async def accept(channels: Channels, stored: StoredConnector, request: InboundRequest) -> Received:
    """The same for a request that was verified otherwise, as that of a visitor's browser is.

    Raises Refused: validation for what becomes no event (nothing is kept then), unavailable.
    """
    workspace = await channels.directory.of(stored.workspace)
    connector = registry.get(stored.kind)
    settings = connector.settings.model_validate(stored.settings)
    place = {"connector_id": stored.id, "workspace": stored.workspace}
    handled = await channels.readers.handle(
        connector, settings, {}, request, languages=workspace.languages, trial=True, **place
    )
    if handled.dead_letter is not None:
        raise Refused("validation", handled.dead_letter.message)
    await _keep(channels, stored, request, handled, workspace)
    return Received(handled.answer, handled)


async def _handled(
    channels: Channels,
    stored: StoredConnector,
    request: InboundRequest,
    workspace: WorkspaceFacts,
    *,
    trusted: bool = False,
) -> Handled:
    opened = channels.opened.get(stored) or _open(channels, stored, trusted=trusted)
    return await channels.readers.handle(
        opened.connector,
        opened.settings,
        {} if trusted else opened.secrets,
        request,
        connector_id=stored.id,
        workspace=stored.workspace,
        languages=workspace.languages,
        trial=trusted,
    )


def _open(channels: Channels, stored: StoredConnector, *, trusted: bool) -> Opened:
    """What is fetched needs no secret here, so it is not lost when none can be opened."""
    connector = registry.get(stored.kind)
    settings = connector.settings.model_validate(stored.settings)
    if trusted:
        return Opened(stored, connector, settings, {})
    return channels.opened.keep(
        Opened(stored, connector, settings, opened_secrets(stored, channels))
    )


async def _keep(
    channels: Channels,
    stored: StoredConnector,
    request: InboundRequest,
    handled: Handled,
    workspace: WorkspaceFacts,
) -> None:
    records, large = await _events(channels, stored, handled, workspace)
    if handled.raw_ok:
        lost = handled.dead_letter or large
        records += await _raw(channels, stored, request, lost, workspace)
    await channels.intake.publish(records)


async def deliver(channels: Channels, stored: StoredConnector, request: InboundRequest) -> Handled:
    """What a fetch brought, as a request that needs no signature: durable when this returns.

    What it announces itself is the caller's to remember. Raises what `Intake.publish` raises.
    """
    workspace = await channels.directory.of(stored.workspace)
    handled = await _handled(channels, stored, request, workspace, trusted=True)
    trusted = msgspec.structs.replace(handled, accepted=True, raw_ok=True)
    await _keep(channels, stored, request, trusted, workspace)
    return trusted


async def _events(
    channels: Channels, stored: StoredConnector, handled: Handled, workspace: WorkspaceFacts
) -> tuple[list[Outgoing], Problem | None]:
    """(the events' records with their attachments kept, what was too large to be one)."""
    for blob in handled.blobs:
        await channels.blobs.keep(blob.content)
    found = [
        outgoing(event.envelope, event.interaction.channel, workspace.partition)
        for event in await threaded(channels, stored.workspace, handled.events)
    ]
    records = [record for record in found if _fits(record)]
    if len(records) == len(found):
        return records, None
    message = f"{len(found) - len(records)} events exceed {MAX_RECORD_BYTES} bytes."
    return records, Problem("too_large", message)


def _fits(record: Outgoing) -> bool:
    """Only beside a large value does it matter how long key and headers are: all of them are ids,
    names and times."""
    small = len(record.value or b"") < MAX_RECORD_BYTES // 2
    return small or record.size() <= MAX_RECORD_BYTES


async def _raw(
    channels: Channels,
    stored: StoredConnector,
    request: InboundRequest,
    lost: Problem | None,
    workspace: WorkspaceFacts,
) -> list[Outgoing]:
    blob = None
    if len(request.body) > MAX_INLINE_BYTES:
        kind = "raw" if lost is None else "letters"
        blob = await channels.blobs.keep_payload(request.body, request.received_at_us, kind)
    raw = raw_request(request, stored.id, blob)
    records = [raw_record(raw, workspace.id, workspace.partition)]
    if lost is not None:
        place = (workspace.id, workspace.partition)
        records.append(dead_request(raw, *place, lost.code, lost.message))
    return records


async def threaded(
    channels: Channels, workspace: str, events: list[Event], *, remember: bool = True
) -> list[Event]:
    """E-mails put into the conversation that the workspace's thread index knows."""
    found: list[Event] = []
    for event in events:
        if event.interaction.email is None:
            found.append(event)
            continue
        own = event.interaction.email.message_id or event.envelope.id
        named = await _named(channels, workspace, event)
        conversation = await channels.store.thread_conversation(
            workspace,
            [] if named else [_sign(one) for one in event.thread_candidates[:MAX_SIGNS]],
            [_sign(f"id:{own}")],  # as later mails refer to it
            named or ids.conversation_id(workspace, "", "email", own),
            remember=remember,
        )
        key = event.interaction.conversation_key or own
        found.append(rethread(event, conversation, key))
    return found


async def _named(channels: Channels, workspace: str, event: Event) -> str | None:
    """The conversation whose id is the mail's own token, where there is such a one."""
    token = next((each[6:] for each in event.thread_candidates if each[:6] == "token:"), "")
    if not CONVERSATION.fullmatch(token):
        return None
    return token if await channels.store.conversation(workspace, token) else None


def _sign(text: str) -> bytes:
    return blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).digest()


async def replay(channels: Channels, stored: StoredConnector, raw: RawRequest) -> int:
    """Parse a kept request again, after a fix; returns the number of events published.

    Its signature was checked when it came. Raises Refused when it still cannot be used.
    """
    workspace = await channels.directory.of(stored.workspace)
    handled = await reread(channels, stored, raw, workspace)
    lost = next((problem for problem in handled.problems if problem.lost), None)
    if lost is not None and not handled.events:
        raise Refused("conflict", f"It still cannot be used: {lost.message}", reason="state")
    records, large = await _events(channels, stored, handled, workspace)
    if large is not None:
        raise Refused("conflict", f"It still cannot be used: {large.message}", reason="state")
    await channels.intake.publish(records)
    return len(records)


async def reread(
    channels: Channels, stored: StoredConnector, raw: RawRequest, workspace: WorkspaceFacts
) -> Handled:
    """What a kept request becomes today. Raises Refused (gone) when its body is no longer kept."""
    body = await _body(channels, raw)
    connector = registry.get(stored.kind)
    return await channels.readers.handle(
        connector,
        connector.settings.model_validate(stored.settings),
        {},
        raw.request(body),
        connector_id=stored.id,
        workspace=stored.workspace,
        languages=workspace.languages,
        trial=True,
    )


async def _body(channels: Channels, raw: RawRequest) -> bytes:
    if raw.blob is None:
        return base64.b64decode(raw.body_base64 or "")
    found = await channels.blobs.get_payload(raw.blob, raw.received_at_us)
    if found is None:
        raise Refused("gone", "The payload is no longer kept.")
    return found


def _channel(stored: StoredConnector) -> str:
    kind = registry.get(stored.kind)
    return kind.channel_of(kind.settings.model_validate(stored.settings))


def shown(stored: StoredConnector, channels: Channels) -> ShownConnector:
    """`GET connectors/{id}`: the inbound address and the names of its secrets, never a value.
    `secrets` is null when this installation's key does not open them."""
    try:
        names = sorted(opened_secrets(stored, channels))
    except Refused:
        names = None
    return {
        "id": stored.id,
        "kind": stored.kind,
        "channel": _channel(stored),
        "enabled": stored.enabled,
        "settings": stored.settings,
        "secrets": names,
        "inbound_url": inbound_url(stored, channels),
        "version": stored.version,
    }


async def shown_whole(stored: StoredConnector, channels: Channels) -> WatchedConnector:
    """`shown`, and how its fetches fare."""
    try:
        secrets = opened_secrets(stored, channels)
    except Refused:
        secrets = None
    return {**shown(stored, channels), "fetching": await channels.errands.shown(stored, secrets)}
