"""Which of the router's features a life has used, by its events; over many lives all must have been."""

from collections import Counter
from collections.abc import Iterator

from shared.testing.simulation.centre import BOT, LEVELS, ORDERS, SELECTS
from shared.testing.simulation.truth import Event

FEATURES: tuple[str, ...] = (
    *(f"order {order}" for order in ORDERS),
    *(f"select {select}" for select in SELECTS),
    *(f"level {level}" for level in LEVELS),
    "accepted by itself",
    "agent deleted",
    "assigned over capacity",
    "assigned to interrupt",
    "away after missed offers",
    "back after silence",
    "back after the agent had left",
    "bot hands over",
    "bot has solved it",
    "expired call-back",
    "held",
    "offers in parallel",
    "overflow",
    "queue full",
    "relaxed",
    "reopened",
    "resumed over capacity",
    "scheduled",
    "transfer to agent",
    "transfer to policy",
    "transfer to queue",
    "warm transfer",
)
_CANCELLED = {"queue_full": "queue full", "expired": "expired call-back"}
_REQUEUED = {
    "no_response": "back after silence",
    "orphaned": "back after the agent had left",
    "agent_deleted": "agent deleted",
}


class Features:
    """Of one workspace; `see` each of its events in their order."""

    def __init__(self, in_use: Counter[str]) -> None:
        self.counts = in_use
        self._open: dict[str, tuple[str, str]] = {}  # offers: task, and when it was made
        self._offered: Counter[str] = Counter()

    def see(self, kind: str, data: Event) -> None:
        self.counts.update(self._found(kind, data))

    def _found(self, kind: str, data: Event) -> Iterator[str]:
        """What one event shows."""
        match kind:
            case (
                "offer.created"
                | "offer.accepted"
                | "offer.declined"
                | "offer.expired"
                | "offer.revoked"
            ):
                yield from self._offer(kind, data)
            case "task.created" if data["state"] == "scheduled":
                yield "scheduled"
            case "task.escalated":
                yield f"level {data['level']}"
            case "task.assigned" if data["over_capacity"]:
                yield "assigned over capacity"
            case "task.resumed" if data["over_capacity"]:
                yield "resumed over capacity"
            case "task.transferred":
                yield from _transferred(data)
            case "task.completed" if data["deflected"]:
                yield "bot has solved it"
            case "task.cancelled" if data["reason"] in _CANCELLED:
                yield _CANCELLED[data["reason"]]
            case "task.requeued" if data["reason"] in _REQUEUED:
                yield _REQUEUED[data["reason"]]
            case "task.queued" if data["queues"] == ["spill"]:
                yield "overflow"
            case "task.held" | "task.relaxed" | "task.reopened":
                yield kind.removeprefix("task.")
            case "agent.presence" if data["reason"] == "missed_offers":
                yield "away after missed offers"
            case _:
                pass

    def _offer(self, kind: str, data: Event) -> Iterator[str]:
        name, task = data["offer_id"], data["task_id"]
        if kind == "offer.created":
            if self._offered[task]:
                yield "offers in parallel"
            self._open[name] = task, data["at"]
            self._offered[task] += 1
            return
        _, made = self._open.pop(name, (task, ""))
        self._offered[task] -= 1
        if kind == "offer.accepted" and made == data["at"]:
            yield "accepted by itself"


def _transferred(data: Event) -> Iterator[str]:
    (target,) = data["to"]
    yield f"transfer to {target}"
    if data["mode"] == "warm":
        yield "warm transfer"
    if data["from_agent"] == BOT:
        yield "bot hands over"
