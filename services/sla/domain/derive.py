"""All clocks of one stretch of work from its events: the rule that the running core must equal."""

from collections.abc import Callable, Iterable
from typing import Any

from services.sla.domain.episode import Episode, Facts
from services.sla.domain.events import Event
from services.sla.domain.fold import Fold
from services.sla.domain.policy import Book


def facts_of(task: dict[str, Any], customer: dict[str, Any] | None) -> Facts:
    """Facts before anything has happened."""
    priority = task.get("priority") or 0
    known = {"state": "pending", "held": False, "hold_reason": None, **task, "priority": priority}
    return Facts(known, customer, float(priority))


def derive(
    events: Iterable[Event],
    facts: Facts,
    book: Book,
    books: Callable[[str], Book],
    *,
    began: bool = False,
    keep_all: bool = False,
) -> Fold:
    """The fold after all events, applied in their order (time, then kind, then arrival). `began`: we
    wrote first, so that no first response is due. `keep_all`: clocks that are let go of are in `shed`."""
    fold = Fold(Episode(facts, clocks=[], cycles={}, answered=began), book, books)
    fold.shed = [] if keep_all else None
    for event in sorted(events, key=lambda event: event.sort_key):
        fold.apply(event)
    return fold
