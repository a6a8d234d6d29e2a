"""Escalation ladders: which levels fire now, and when the next one will by time alone.

Each level fires once per cycle (creation or reopening to completion). The engine keeps the names
that have fired and carries the actions out.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from services.router.domain.config import Action, Escalation, TeamTarget, Trigger
from services.router.domain.facts import TASK_NAMES
from shared.contracts.instants import span_us
from shared.rules import Condition, Variables, compile_condition


class RaisePriority(msgspec.Struct, frozen=True):
    by: float


class RelaxAll(msgspec.Struct, frozen=True):
    """Every relaxation of the task's requirements counts as due."""


class AddQueue(msgspec.Struct, frozen=True):
    queue: str


class OfferTo(msgspec.Struct, frozen=True):
    """More offers; `who` is "supervisors", an agent's id or a team. On an assigned task: notify."""

    who: str | TeamTarget


class Notify(msgspec.Struct, frozen=True):
    who: str | TeamTarget


class Reclaim(msgspec.Struct, frozen=True):
    """Take an assigned task back to pending, in its place or at the end."""

    keep_place: bool


class DropRequirement(msgspec.Struct, frozen=True):
    name: str


Act = RaisePriority | RelaxAll | AddQueue | OfferTo | Notify | Reclaim | DropRequirement


class CompiledLevel(NamedTuple):
    """`written`: the actions as they were written, for the event."""

    name: str
    trigger: Trigger
    condition: Condition | None
    actions: tuple[Act, ...]
    written: tuple[dict[str, Any], ...]


class Ladder(NamedTuple):
    id: str
    levels: tuple[CompiledLevel, ...]


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """What the triggers look at.

    `waiting_since_us`: since when nobody has it; None while it is assigned. `silent_since_us`: the
    oldest customer message that its agent has not answered; None when there is none. `declines`,
    `reopened`, `sla_used` (metric → highest warning) and `sla_breached` count in this cycle.
    `message`: the facts while a message is applied, else None.
    """

    waiting_since_us: int | None = None
    silent_since_us: int | None = None
    declines: int = 0
    reopened: int = 0
    sla_used: dict[str, float] = {}
    sla_breached: frozenset[str] = frozenset()
    message: Variables | None = None

    def reaches(self, metric: str, used: float | None) -> bool:
        """Whether a clock of the metric is breached, or has used that share (None: breached)."""
        if metric in self.sla_breached:
            return True
        return used is not None and self.sla_used.get(metric, -1.0) >= used


def compile_ladder(escalation: Escalation) -> Ladder:
    """Raises shared.rules.RuleError for CEL that was never checked."""
    levels = tuple(
        CompiledLevel(
            name=level.name,
            trigger=level.when,
            condition=None
            if level.when.cel is None
            else compile_condition(level.when.cel, TASK_NAMES),
            actions=_in_turn(act(action) for action in level.do),
            written=tuple(msgspec.to_builtins(action) for action in level.do),
        )
        for level in escalation.levels
    )
    return Ladder(escalation.id, levels)


def _in_turn(actions: Iterable[Act]) -> tuple[Act, ...]:
    """As they are written, offers last: what the same level takes back from its agent can then be offered."""
    return tuple(sorted(actions, key=lambda action: isinstance(action, OfferTo)))


def act(action: Action) -> Act:
    """The typed action that was written."""
    if action.raise_priority is not None:
        return RaisePriority(action.raise_priority)
    if action.relax is not None:
        return RelaxAll()
    if action.add_queue is not None:
        return AddQueue(action.add_queue)
    if action.offer_to is not None:
        return OfferTo(action.offer_to)
    if action.notify is not None:
        return Notify(action.notify)
    if action.reclaim is not None:
        return Reclaim(action.reclaim == "keep_place")
    assert action.drop_requirement is not None, "resources.py lets no empty action through"
    return DropRequirement(action.drop_requirement)


def due(
    ladder: Ladder, view: TaskView, now_us: int, fired: Collection[str]
) -> tuple[CompiledLevel, ...]:
    """The levels that fire now, in the ladder's order; none that has fired in this cycle."""
    return tuple(
        level for level in ladder.levels if level.name not in fired and _holds(level, view, now_us)
    )


def next_at(ladder: Ladder, view: TaskView, fired: Collection[str]) -> int | None:
    """When a level that has not fired next does by time alone; None: none will."""
    times = (_at(level.trigger, view) for level in ladder.levels if level.name not in fired)
    return min((at for at in times if at is not None), default=None)


def _at(trigger: Trigger, view: TaskView) -> int | None:
    if trigger.waiting_s is not None and view.waiting_since_us is not None:
        return view.waiting_since_us + span_us(trigger.waiting_s)
    if trigger.agent_silent_s is not None and view.silent_since_us is not None:
        return view.silent_since_us + span_us(trigger.agent_silent_s)
    return None


def _holds(level: CompiledLevel, view: TaskView, now_us: int) -> bool:
    trigger = level.trigger
    at = _at(trigger, view)
    if at is not None:
        return at <= now_us
    if trigger.declines is not None:
        return view.declines >= trigger.declines
    if trigger.reopened is not None:
        return view.reopened >= trigger.reopened
    if level.condition is not None:
        return view.message is not None and level.condition.evaluate(view.message).holds
    return trigger.sla is not None and view.reaches(trigger.sla.metric, trigger.sla.used)
