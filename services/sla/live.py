"""The running core as the calls read it: clocks as they stand at this moment, and resources."""

import time
from typing import Any

import msgspec

from services.sla.domain import views
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


def clocks_of(core: Core, conversations: set[str]) -> dict[str, dict[str, Any]]:
    """All clocks of these conversations that are in memory, by id."""
    sla = as_sla(core)
    at_us = now_us(sla)
    return {
        clock["id"]: clock
        for conversation in sorted(conversations)
        for clock in views.conversation_clocks(sla, conversation, at_us)
    }


def explained(core: Core, conversation: str, name: str) -> dict[str, Any] | None:
    """A clock with the ledger that accounts for every second of it; None where it is history."""
    sla = as_sla(core)
    at_us = now_us(sla)
    found = views.explanation(sla, conversation, name, at_us)
    return None if found is None else {**found, "at": format_instant(at_us)}


def open_elapsed(core: Core, metric: str) -> dict[str, float]:
    """Open time, in seconds until now, of every open clock of a metric, by id."""
    sla = as_sla(core)
    found = views.open_clocks(sla, views.Wanted(metric=metric), now_us(sla))
    return {clock["id"]: clock["elapsed_s"] for clock in found}


def overdue(core: Core) -> int:
    """Open clocks whose deadline has passed."""
    sla = as_sla(core)
    found = views.open_clocks(sla, views.Wanted(), now_us(sla))
    return sum(clock["breached_at"] is not None for clock in found)


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
