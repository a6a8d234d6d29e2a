"""Clocks as they stand at this moment, out of the running core."""

import time
from typing import Any

import msgspec

from services.sla.domain.clock import Clock
from services.sla.domain.conversation import Live
from services.sla.domain.core import SlaCore
from services.sla.domain.library import Version
from services.sla.domain.view import clock_view, ledger
from shared.contracts.instants import format_instant, seconds
from shared.runtime.core import Core


def as_sla(core: Core) -> SlaCore:
    assert isinstance(core, SlaCore)
    return core


def now_us(core: SlaCore) -> int:
    """This moment, but never before the last input's."""
    return max(core.now_us, time.time_ns() // 1000)


def shown_clock(live: Live, clock: Clock, at_us: int) -> dict[str, Any]:
    """A clock of API.md: what it measures, and whose it is."""
    record = live.record
    task = live.fold.episode.facts.task
    name = live.clock_id(clock)
    notice = record.notices.get(name)
    warned = {} if notice is None else notice.warned
    return {
        "id": name,
        **clock_view(clock, live.fold.hands, at_us),
        "conversation_id": live.conversation.id,
        "task_id": record.task_id,
        "channel": record.channel,
        "queue": task.get("queue"),
        "agent_id": task.get("agent_id"),
        "priority": task.get("priority") or 0,
        "warnings": [
            {"level": float(level), "at": format_instant(at)}
            for level, at in sorted(warned.items())
        ],
    }


def clocks_of(core: Core, conversations: set[str]) -> dict[str, dict[str, Any]]:
    """All clocks of these conversations that are in memory, by id."""
    sla = as_sla(core)
    at_us = now_us(sla)
    found: dict[str, dict[str, Any]] = {}
    for conversation in sorted(conversations):
        for live in sla.lives(conversation):
            for clock in live.clocks:
                found[live.clock_id(clock)] = shown_clock(live, clock, at_us)
    return found


def explained(core: Core, conversation: str, name: str) -> dict[str, Any] | None:
    """A clock with the ledger that accounts for every second of it; None where it is history."""
    sla = as_sla(core)
    at_us = now_us(sla)
    for live in sla.lives(conversation):
        for clock in live.clocks:
            if live.clock_id(clock) == name:
                entries = ledger(clock, live.fold.hands, at_us)
                shown = shown_clock(live, clock, at_us)
                return {**shown, "at": format_instant(at_us), "ledger": entries}
    return None


def resource(core: Core, kind: Any, name: str) -> tuple[int, dict[str, Any]] | None:
    """(version, body) of a calendar or policy."""
    found = as_sla(core).library.find(kind, name)
    return None if found is None else (found.version, _body(found))


def resources(core: Core, kind: Any) -> list[dict[str, Any]]:
    """Calendars by id, policies in the order in which they are asked."""
    return [_body(one) for one in as_sla(core).library.listed(kind)]


def _body(found: Version) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(found.body)
    return {"id": found.id, **body}


def open_elapsed(core: Core, metric: str) -> dict[str, float]:
    """Open time, in seconds until now, of every open clock of a metric, by id."""
    sla = as_sla(core)
    at_us = now_us(sla)
    return {
        live.clock_id(clock): seconds(live.fold.hands.elapsed(clock, at_us))
        for name in sla.conversations
        for live in sla.lives(name)
        for clock in live.clocks
        if clock.is_open and clock.metric == metric
    }


def overdue(core: Core) -> int:
    """Open clocks whose deadline has passed."""
    sla = as_sla(core)
    at_us = now_us(sla)
    return sum(
        clock.is_open and live.fold.hands.breach(clock, at_us) is not None
        for name in sla.conversations
        for live in sla.lives(name)
        for clock in live.clocks
    )
