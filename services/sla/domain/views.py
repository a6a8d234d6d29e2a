"""What the running core shows of its clocks: pure reads, in the shapes of API.md."""

from typing import NamedTuple

from services.sla.domain import shapes
from services.sla.domain.clock import Clock
from services.sla.domain.conversation import Live
from services.sla.domain.core import SlaCore
from services.sla.domain.shapes import ExplainedClock, LateMessage, ShownClock
from services.sla.domain.view import clock_view, ledger
from shared.contracts.instants import format_instant, optional_instant


class Wanted(NamedTuple):
    """A filter of open clocks; None: any. `due_before_us` leaves out what is not due at all."""

    metric: str | None = None
    queue: str | None = None
    agent: str | None = None
    state: str | None = None
    due_before_us: int | None = None


def conversation_clocks(core: SlaCore, conversation_id: str, now_us: int) -> list[ShownClock]:
    """All clocks of a conversation that are in memory, oldest first."""
    return [
        shown(live, clock, now_us) for live in core.lives(conversation_id) for clock in live.clocks
    ]


def accounted(core: SlaCore, conversation_id: str, now_us: int) -> list[shapes.Clock]:
    """`conversation_clocks`, each with its ledger."""
    return [
        {**shown(live, clock, now_us), "ledger": _ledger(live, clock, now_us)}
        for live in core.lives(conversation_id)
        for clock in live.clocks
    ]


def open_clocks(core: SlaCore, wanted: Wanted, now_us: int) -> list[ShownClock]:
    """The open clocks that a filter lets through, next due first, paused ones last."""
    found: list[tuple[int, str, Live, Clock]] = []
    for name in core.conversations:
        for live in core.lives(name):
            for clock in live.clocks:
                if clock.is_open and _fits(live, clock, wanted):
                    due = clock.due_us if clock.due_us is not None else 2**62
                    found.append((due, live.clock_id(clock), live, clock))
    found.sort(key=lambda one: one[:2])
    return [shown(live, clock, now_us) for _, _, live, clock in found]


def explanation(core: SlaCore, conversation_id: str, clock_id: str, now_us: int) -> ExplainedClock | None:  # fmt: skip
    """A clock with its ledger and a sentence on where its deadline comes from; None when it is not
    in memory."""
    for live in core.lives(conversation_id):
        for clock in live.clocks:
            if live.clock_id(clock) == clock_id:
                view = shown(live, clock, now_us)
                return {
                    **view,
                    "summary": _summary(clock, view["breached_at"]),
                    "late": _late(live),
                    "ledger": _ledger(live, clock, now_us),
                }
    return None


def _ledger(live: Live, clock: Clock, now_us: int) -> list[shapes.LedgerEntry]:
    return ledger(clock, live.fold.hands, now_us, live.fold.former)


def _late(live: Live) -> list[LateMessage]:
    """The messages that came too late to count at their own time; `at` is when they counted."""
    return [
        {"at": format_instant(event.at_us), "type": event.type, "late_s": event.late_us / 1_000_000}
        for event in live.record.events
        if event.late_us > live.lateness_us
    ]


def shown(live: Live, clock: Clock, now_us: int) -> ShownClock:
    """One clock as `GET clocks` shows it."""
    name = live.clock_id(clock)
    notice = live.record.notices.get(name)
    task, served = live.fold.episode.facts.task, clock.served
    return {
        "id": name,
        "conversation_id": live.conversation.id,
        "task_id": live.record.task_id,
        "channel": live.record.channel,
        "queue": served.queue if served else task.get("queue"),
        "agent_id": served.agent_id if served else task.get("agent_id"),
        "priority": served.priority if served else task.get("priority"),
        **clock_view(clock, live.fold.hands, now_us),
        "predicted_breach_at": optional_instant(notice.predicted_us if notice else None),
        "warnings": [
            {"level": float(level), "at": format_instant(at)}
            for level, at in sorted((notice.warned if notice else {}).items())
        ],
    }


def _fits(live: Live, clock: Clock, wanted: Wanted) -> bool:
    task = live.fold.episode.facts.task
    return (
        wanted.metric in (None, clock.metric)
        and wanted.state in (None, clock.state)
        and wanted.queue in (None, task.get("queue"))
        and wanted.agent in (None, task.get("agent_id"))
        and (
            wanted.due_before_us is None
            or (clock.due_us is not None and clock.due_us < wanted.due_before_us)
        )
    )


def _summary(clock: Clock, breached_at: str | None) -> str:
    goal = clock.goal
    target = f"{goal.days} business days" if goal.days is not None else f"{clock.target_us / 1_000_000:g} s of open time"  # fmt: skip
    start = format_instant(clock.started_us)
    text = f"{clock.metric} began {start} with {target} on calendar {clock.calendar} under policy {clock.policy_id}"  # fmt: skip
    if clock.state == "paused":
        because = clock.spans[-1].because
        return f"{text}; it is paused ({because}), so nothing is due{_outcome(clock, breached_at)}"
    if clock.due_us is None:
        return f"{text}; no deadline lies within the hours known{_outcome(clock, breached_at)}"
    pauses = sum(not span.runs for span in clock.spans)
    after = f" after {pauses} pause{'s' if pauses > 1 else ''}" if pauses else ""
    return f"{text}; due {format_instant(clock.due_us)}{after}{_outcome(clock, breached_at)}"


def _outcome(clock: Clock, breached_at: str | None) -> str:
    """What became of it, if anything has."""
    parts: list[str] = []
    if clock.ended_us is not None and not clock.is_open:
        parts.append(f"{clock.state.replace('_', ' ')} {format_instant(clock.ended_us)}")
    if breached_at is not None:
        parts.append(f"breached {breached_at}")
    return f"; {', '.join(parts)}" if parts else ""
