"""What a fetch brought, handled as if the vendor had posted it: the same ids, the same way to the bus."""

from collections.abc import Sequence
from typing import cast

from services.channels import vendors
from services.channels.connectors import registry
from services.channels.connectors.port import (
    InboundRequest,
    Page,
    Purpose,
    Secrets,
    Settings,
    Wanted,
)
from services.channels.context import Channels, wall_us
from services.channels.outgoing.errands import sorted_out
from services.channels.outgoing.performing import Errand
from services.channels.outgoing.store import OutgoingStore, OwedFetch
from services.channels.store import StoredConnector
from shared.bus.port import Outgoing
from shared.contracts import ids, topics
from shared.contracts.deadletter import DeadLetter, to_envelope
from shared.contracts.envelope import to_headers
from shared.contracts.instants import format_instant
from shared.fetching.client import FetchFailed

FETCH_OWED = "fetch.owed.v1"


async def delivered(channels: Channels, errand: Errand, page: Page) -> list[Wanted]:
    """Publish what a page holds; durable when it returns. What is owed besides. Raises what
    `Intake.publish` raises."""
    stored, owed = errand.stored, list(page.wanted)
    connector = registry.get(stored.kind)
    for body in page.payloads:
        handled = await vendors.deliver(channels, stored, _request(channels, stored, page, body))
        owed += sorted_out(
            connector, errand.settings, errand.secrets, handled.wanted, handled.events
        )[0]
    return owed


def _request(
    channels: Channels, stored: StoredConnector, page: Page, body: bytes
) -> InboundRequest:
    url = vendors.inbound_url(stored, channels) + (f"?{page.query}" if page.query else "")
    headers = (("Content-Type", page.content_type),)
    return InboundRequest("POST", url, headers, body, wall_us())


async def keep_file(channels: Channels, store: OutgoingStore, one: OwedFetch, page: Page) -> None:
    """A message's file into the blob store, and its hash beside the message."""
    assert page.content is not None
    wanted = one.ids.get("file_type") or ""
    if page.content_type == "text/html" and wanted.partition(";")[0] != "text/html":
        raise FetchFailed("The vendor answered with a page instead of the file.")
    sha256 = await channels.blobs.keep(page.content)
    await store.keep_media(
        one.workspace,
        one.ids["message"],
        int(one.ids["attachment_index"]),
        sha256=sha256,
        size=len(page.content),
        content_type=page.content_type or None,
    )


async def give_up(
    channels: Channels, store: OutgoingStore, one: OwedFetch, reason: str, said: str
) -> None:
    """A fetch that cannot be done goes among the dead letters, from where it can be replayed."""
    if one.purpose == "media" and "message" in one.ids:
        index = int(one.ids["attachment_index"])
        await store.keep_media(one.workspace, one.ids["message"], index, error=said[:300])
    workspace = await channels.directory.of(one.workspace)
    now_us = wall_us()
    letter = DeadLetter(
        id=ids.derive("dlt", "channels", "fetch", one.workspace, one.connector, one.key, now_us),
        workspace=one.workspace,
        failed_in="channels",
        reason=reason,
        detail=said,
        at=format_instant(now_us),
        event_type=FETCH_OWED,
        connector=one.connector,
        request={**one.ids, "purpose": one.purpose},
    )
    envelope = to_envelope(letter)
    record = Outgoing(
        topics.DEADLETTER,
        workspace.partition,
        letter.id.encode(),
        envelope.data,
        to_headers(envelope),
    )
    await channels.intake.publish([record])
    await store.done(one)


def owed_again(letter: DeadLetter) -> Wanted:
    """The fetch of a dead letter."""
    named = {name: text for name, text in letter.request.items() if name not in ("purpose", "key")}
    return Wanted(
        cast("Purpose", letter.request["purpose"]), letter.request.get("key", letter.id), named
    )


def opened(channels: Channels, stored: StoredConnector) -> tuple[Settings, Secrets]:
    """The connector's settings and plain secrets. Raises Refused."""
    settings = registry.get(stored.kind).settings.model_validate(stored.settings)
    return settings, vendors.opened_secrets(stored, channels)


def only(wanted: Sequence[Wanted], limit: int) -> list[Wanted]:
    """Each once, at most `limit`."""
    return list({(one.purpose, one.key): one for one in wanted}.values())[:limit]
