"""A vendor's request, from the connector that it is for to durable events and the right answer."""

import base64
import secrets as chance
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import structlog

from services.channels.connectors import registry
from services.channels.connectors.handling import Event, Handled, handle, rethread
from services.channels.connectors.port import Answer, InboundRequest
from services.channels.context import Channels, outgoing
from services.channels.directory import WorkspaceFacts
from services.channels.raw import (
    MAX_INLINE_BYTES,
    RawRequest,
    dead_request,
    raw_record,
    raw_request,
)
from services.channels.resources import ConnectorResource
from services.channels.store import StoredConnector
from shared.bus.port import Outgoing
from shared.contracts import ids
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable

log = structlog.get_logger(__name__)

MAX_SIGNS = 50


@dataclass(frozen=True, slots=True)
class Received:
    """What the vendor is told, and what became of the request."""

    answer: Answer
    handled: Handled


def new_connector(
    workspace: str, resource: ConnectorResource, channels: Channels
) -> StoredConnector:
    """The resource at rest: secrets sealed, with an unguessable token for its address."""
    plain = msgspec.json.encode({name: list(values) for name, values in resource.secrets.items()})
    return StoredConnector(
        workspace=workspace,
        id=resource.id,
        kind=resource.kind,
        enabled=resource.enabled,
        settings=resource.settings,
        sealed_secrets=channels.secrets.encrypt(plain),
        inbound_token=chance.token_urlsafe(24),
        version=1,
    )


def opened_secrets(stored: StoredConnector, channels: Channels) -> dict[str, tuple[str, ...]]:
    """The connector's secrets in plain; for this process's memory only."""
    plain = channels.secrets.decrypt(stored.sealed_secrets)
    found = msgspec.json.decode(plain, type=dict[str, list[str]])
    return {name: tuple(values) for name, values in found.items()}


def inbound_url(stored: StoredConnector, channels: Channels) -> str:
    """The address to give to the vendor; with a token in it where the vendor does not sign."""
    path = f"/v1/workspaces/{stored.workspace}/connectors/{stored.id}/inbound"
    if not registry.get(stored.kind).signed:
        path = f"{path}/{stored.inbound_token}"
    return channels.public_url + path


async def receive(channels: Channels, stored: StoredConnector, request: InboundRequest) -> Received:
    """Verify, normalise and make durable. Raises nothing that a vendor could not be told."""
    workspace = await channels.directory.of(stored.workspace)
    handled = _handled(channels, stored, request, workspace)
    if not handled.accepted:
        log.info("inbound.refused", connector=stored.id, verdict=handled.verdict)
        return Received(handled.answer, handled)
    try:
        await _keep(channels, stored, request, handled, workspace)
    except (Refused, DatabaseUnavailable) as failed:
        log.warning("inbound.unavailable", connector=stored.id, because=str(failed))
        return Received(handled.unavailable, handled)
    return Received(handled.answer, handled)


def _handled(
    channels: Channels, stored: StoredConnector, request: InboundRequest, workspace: WorkspaceFacts
) -> Handled:
    connector = registry.get(stored.kind)
    return handle(
        connector,
        connector.settings.model_validate(stored.settings),
        opened_secrets(stored, channels),
        request,
        connector_id=stored.id,
        workspace=stored.workspace,
        languages=workspace.languages,
    )


async def _keep(
    channels: Channels,
    stored: StoredConnector,
    request: InboundRequest,
    handled: Handled,
    workspace: WorkspaceFacts,
) -> None:
    for blob in handled.blobs:
        await channels.blobs.keep(blob.content)
    records = [
        outgoing(event.envelope, event.interaction.channel, workspace.partition)
        for event in await threaded(channels, stored.workspace, handled.events)
    ]
    if handled.raw_ok:
        records += await _raw(channels, stored, request, handled, workspace)
    await channels.intake.publish(records)


async def _raw(
    channels: Channels,
    stored: StoredConnector,
    request: InboundRequest,
    handled: Handled,
    workspace: WorkspaceFacts,
) -> list[Outgoing]:
    blob = None
    if len(request.body) > MAX_INLINE_BYTES:
        blob = await channels.blobs.keep(request.body)
    raw = raw_request(request, stored.id, blob)
    records = [raw_record(raw, workspace.id, workspace.partition)]
    if (lost := handled.dead_letter) is not None:
        place = (workspace.id, workspace.partition)
        records.append(dead_request(raw, *place, lost.code, lost.message))
    return records


async def threaded(channels: Channels, workspace: str, events: list[Event]) -> list[Event]:
    """E-mails put into the conversation that the workspace's thread index knows."""
    found: list[Event] = []
    for event in events:
        if event.interaction.email is None:
            found.append(event)
            continue
        own = event.interaction.email.message_id or event.envelope.id
        conversation = await channels.store.thread_conversation(
            workspace,
            [_sign(one) for one in event.thread_candidates[:MAX_SIGNS]],
            [_sign(own)],
            ids.conversation_id(workspace, "", "email", own),
        )
        key = event.interaction.conversation_key or own
        found.append(rethread(event, conversation, key))
    return found


def _sign(text: str) -> bytes:
    return blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).digest()


async def replay(channels: Channels, stored: StoredConnector, raw: RawRequest) -> int:
    """Parse a kept request again, after a fix; returns the number of events published.

    Its signature was checked when it came. Raises Refused when it still cannot be used.
    """
    workspace = await channels.directory.of(stored.workspace)
    body = await _body(channels, raw)
    connector = registry.get(stored.kind)
    handled = handle(
        connector,
        connector.settings.model_validate(stored.settings),
        {},
        raw.request(body),
        connector_id=stored.id,
        workspace=stored.workspace,
        languages=workspace.languages,
        trial=True,
    )
    lost = next((problem for problem in handled.problems if problem.lost), None)
    if lost is not None and not handled.events:
        raise Refused("conflict", f"It still cannot be used: {lost.message}", reason="state")
    events = await threaded(channels, stored.workspace, handled.events)
    await channels.intake.publish(
        [outgoing(one.envelope, one.interaction.channel, workspace.partition) for one in events]
    )
    return len(events)


async def _body(channels: Channels, raw: RawRequest) -> bytes:
    if raw.blob is None:
        return base64.b64decode(raw.body_base64 or "")
    found = await channels.blobs.get(raw.blob)
    if found is None:
        raise Refused("gone", "The payload is no longer kept.")
    return found


def shown(stored: StoredConnector, channels: Channels, secret_names: list[str]) -> dict[str, Any]:
    """`GET connectors/{id}`: the inbound address and the names of its secrets, never a value."""
    return {
        "id": stored.id,
        "kind": stored.kind,
        "channel": registry.get(stored.kind).channel,
        "enabled": stored.enabled,
        "settings": stored.settings,
        "secrets": sorted(secret_names),
        "inbound_url": inbound_url(stored, channels),
        "version": stored.version,
    }
