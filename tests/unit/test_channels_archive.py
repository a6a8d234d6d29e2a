"""What the archive makes of events, before any database."""

import msgspec

from services.channels.archive import CONVERSATIONS, MESSAGES, ArchiveFactory
from shared.contracts import interactions
from shared.contracts.core import Input
from shared.contracts.instants import parse_instant

RECEIVED = "2026-03-02T09:00:00Z"
RECEIVED_US = parse_instant(RECEIVED)


def rows_of(time_us: int) -> dict[str, dict]:
    message = interactions.Interaction(
        workspace="w",
        connector="events",
        channel="chat",
        conversation_id="cnv_1",
        message_id="msg_1",
        received_at=RECEIVED,
        direction="inbound",
        author=interactions.Author("customer"),
        text="Hello",
    )
    body = msgspec.json.encode(message)
    what = Input("event", interactions.MESSAGE, body, time_us=time_us)
    outcome = ArchiveFactory().create("w", 0).apply(RECEIVED_US, 1, what)
    return {row.table: row.values for row in outcome.rows}


def test_what_is_dated_ahead_does_not_stay_on_top_of_the_list() -> None:
    ahead = parse_instant("2099-01-01T00:00:00Z")
    rows = rows_of(ahead)
    assert rows[CONVERSATIONS]["at_us"] == RECEIVED_US
    assert rows[MESSAGES]["time_us"] == ahead


def test_what_happened_before_it_came_counts_from_when_it_happened() -> None:
    earlier = RECEIVED_US - 60_000_000
    assert rows_of(earlier)[CONVERSATIONS]["at_us"] == earlier
