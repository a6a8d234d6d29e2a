"""The running core as the calls read it: clocks as they stand at this moment, and resources."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from services.sla.domain import shapes, views
from services.sla.domain.alarms import Alarm
from services.sla.domain.burn import WINDOWS_S, window_start
from services.sla.domain.commands import ResourceKind
from services.sla.domain.core import SlaCore
from services.sla.domain.library import Version
from shared.contracts.core import Core
from shared.contracts.instants import format_instant


def as_sla(core: Core) -> SlaCore:
    assert isinstance(core, SlaCore)
    return core


def now_us(core: SlaCore) -> int:
    """This moment, but never before the last input's."""
    return max(core.now_us, time.time_ns() // 1000)


def clocks_of(core: Core, conversations: set[str]) -> dict[str, shapes.Clock]:
    """All clocks of these conversations that are in memory, with their ledgers, by id."""
    sla = as_sla(core)
    at_us = now_us(sla)
    return {
        clock["id"]: clock
        for conversation in sorted(conversations)
        for clock in views.accounted(sla, conversation, at_us)
    }


def explained(core: Core, conversation: str, name: str) -> shapes.ExplainedClock | None:
    """A clock with the ledger that accounts for every second of it; None where it is history."""
    sla = as_sla(core)
    at_us = now_us(sla)
    found = views.explanation(sla, conversation, name, at_us)
    return None if found is None else {**found, "at": format_instant(at_us)}


def elapsed_us(core: Core, wanted: Sequence[tuple[str, str]]) -> list[int | None]:
    """Open time until now of open clocks, each (conversation, clock); None where it is not open in
    memory (any more)."""
    sla = as_sla(core)
    at_us = now_us(sla)
    found: list[int | None] = []
    for conversation, name in wanted:
        each = ((live, clock) for live in sla.lives(conversation) for clock in live.clocks)
        one = next(
            (live.fold.hands.elapsed(clock, at_us) for live, clock in each
             if clock.is_open and live.clock_id(clock) == name),
            None,
        )  # fmt: skip
        found.append(one)
    return found


def alarms(core: Core) -> list[Alarm]:
    """The promises that burn now."""
    return as_sla(core).alarms


def window_starts(core: Core, queues: Sequence[str]) -> dict[str, dict[int, int]]:
    """Since when each window of open hours lasts, by queue and length of the window."""
    sla = as_sla(core)
    at_us = now_us(sla)
    book = sla.library.book(sla.library.number)
    found: dict[str, dict[int, int]] = {}
    for queue in queues:
        calendar = sla.library.queues.get(queue)
        known = calendar is not None and sla.library.find("calendar", calendar) is not None
        windows = book.windows(calendar) if known and calendar is not None else None
        found[queue] = {span: window_start(windows, at_us, span) for span in WINDOWS_S}
    return found


def resource(core: Core, kind: ResourceKind, name: str) -> tuple[int, dict[str, Any]] | None:
    """(version, body) of a calendar or policy."""
    found = as_sla(core).library.find(kind, name)
    return None if found is None else (found.version, _body(found))


def resources(core: Core, kind: ResourceKind) -> list[dict[str, Any]]:
    """Calendars by id, policies in the order in which they are asked."""
    return [_body(one) for one in as_sla(core).library.listed(kind)]


def _body(found: Version) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(found.body)
    return {"id": found.id, **body}
