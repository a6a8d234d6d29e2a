"""What happens to a conversation, as its clocks see it, and the order of what happens at once."""

from typing import Any

import msgspec

# Events of equal time act in this order, however they were sent (API.md, «SLA»).
TYPES: tuple[str, ...] = (
    "customer_message",
    "agent_message",
    "agent_note",
    "bot_message",
    "auto_reply",
    "task_created",
    "assigned",
    "transferred",
    "paused",
    "resumed",
    "pending",
    "resolved",
    "reopened",
    "closed",
    "abandoned",
    "priority_changed",
    "policy_changed",
)
_RANK = {
    "task_created": 0,
    "customer_message": 1,
    "agent_message": 2,
    "agent_note": 2,
    "bot_message": 2,
    "auto_reply": 2,
    "assigned": 3,
    "unassigned": 3,
    "transferred": 4,
    "identified": 4,
    "priority_changed": 5,
    "policy_changed": 6,
    "wrapping": 7,
    "resumed": 7,
    "reopened": 8,
    "paused": 9,
    "pending": 10,
    "resolved": 11,
    "closed": 12,
    "abandoned": 13,
    "cancelled": 13,
}


_MESSAGES = 2  # the highest rank of what customers, agents and bots say


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`at_us` is when it counts as having happened; `order` settles what rank does not (the order
    of arrival); `fields` are its further values, as `event.…` in conditions. `seq`: the router's
    number of it. What the router decides in one batch has one time, and its own order."""

    at_us: int
    type: str
    order: int = 0
    fields: dict[str, Any] = {}
    key: str = ""
    late_us: int = 0
    seq: int = 0

    @property
    def sort_key(self) -> tuple[int, int, int, int, int]:
        rank = _RANK[self.type]
        if rank <= _MESSAGES:
            return (self.at_us, rank, 0, 0, self.order)
        return (self.at_us, _MESSAGES + 1, self.seq, rank, self.order)


def no_earlier(event: Event, begun_us: int) -> Event:
    """The clock of the message that opened a task may have been ahead of the router's: what the
    router decided about the task comes after its beginning all the same."""
    if event.at_us >= begun_us:
        return event
    return msgspec.structs.replace(event, at_us=begun_us)
