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


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`at_us` is when it counts as having happened; `order` settles what rank does not (the order
    of arrival); `fields` are its further values, as `event.…` in conditions."""

    at_us: int
    type: str
    order: int = 0
    fields: dict[str, Any] = {}
    key: str = ""
    late_us: int = 0

    @property
    def sort_key(self) -> tuple[int, int, int]:
        return (self.at_us, _RANK[self.type], self.order)
