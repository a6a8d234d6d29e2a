"""Ladders: each trigger, once per cycle, and when the next one comes by time alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.config import Action, Escalation, Level, SlaTrigger, Trigger
from services.router.domain.escalation import (
    AddQueue,
    DropRequirement,
    Notify,
    OfferTo,
    RaisePriority,
    Reclaim,
    RelaxAll,
    TaskView,
    act,
    compile_ladder,
    due,
    next_at,
)
from services.router.domain.facts import TaskFacts

SECOND = 1_000_000
UP = (Action(raise_priority=5),)
LADDER = compile_ladder(
    Escalation(
        "standard",
        (
            Level("waited", Trigger(waiting_s=120), UP),
            Level("at risk", Trigger(sla=SlaTrigger("first_response", used=0.75)), UP),
            Level("breached", Trigger(sla=SlaTrigger("first_response", breached=True)), UP),
            Level("refused", Trigger(declines=3), UP),
            Level("silent", Trigger(agent_silent_s=300), UP),
            Level("again", Trigger(reopened=2), UP),
            Level("person", Trigger(cel='message.text.matches("(?i)human|agent|mensch")'), UP),
        ),
    )
)


def fires(view: TaskView, now_us: int = 1_000 * SECOND, fired: tuple[str, ...] = ()) -> list[str]:
    return [level.name for level in due(LADDER, view, now_us, fired)]


def said(text: str | None) -> TaskView:
    facts = TaskFacts.of(now_us=0, task={}, message={"text": text})
    return TaskView(message=facts.variables)


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (TaskView(), []),
        (TaskView(waiting_since_us=880 * SECOND), ["waited"]),
        (TaskView(waiting_since_us=880 * SECOND + 1), []),
        (TaskView(silent_since_us=700 * SECOND), ["silent"]),
        (TaskView(silent_since_us=700 * SECOND + 1), []),
        (TaskView(sla_used={"first_response": 0.8}), ["at risk"]),
        (TaskView(sla_used={"first_response": 0.5, "resolution": 0.9}), []),
        (TaskView(sla_breached=frozenset({"first_response"})), ["at risk", "breached"]),
        (TaskView(sla_breached=frozenset({"resolution"})), []),
        (TaskView(declines=2), []),
        (TaskView(declines=4), ["refused"]),
        (TaskView(reopened=1), []),
        (TaskView(reopened=2), ["again"]),
        (said("Ein Mensch bitte"), ["person"]),
        (said("hello"), []),
        (said(None), []),
    ],
)
def test_triggers(view: TaskView, names: list[str]):
    assert fires(view) == names


def test_each_level_fires_once_per_cycle():
    view = TaskView(waiting_since_us=0, declines=9)
    assert fires(view) == ["waited", "refused"]
    assert fires(view, fired=("waited",)) == ["refused"]
    assert next_at(LADDER, view, ("waited",)) is None


def test_when_the_next_level_comes_by_time():
    view = TaskView(waiting_since_us=10 * SECOND, silent_since_us=5 * SECOND)
    assert next_at(LADDER, view, ()) == 130 * SECOND
    assert next_at(LADDER, view, ("waited",)) == 305 * SECOND
    assert next_at(LADDER, TaskView(declines=9), ()) is None


TIMES = st.lists(st.integers(1, 500), max_size=5)


@settings(deadline=None)
@given(TIMES, TIMES, st.none() | st.integers(0, 500), st.none() | st.integers(0, 500))
def test_by_time_alone_nothing_fires_before_next_at_and_something_at_it(
    waits: list[int], silences: list[int], waiting: int | None, silent: int | None
):
    triggers = [Trigger(waiting_s=at) for at in waits] + [
        Trigger(agent_silent_s=at) for at in silences
    ]
    levels = tuple(Level(str(place), trigger, UP) for place, trigger in enumerate(triggers))
    ladder = compile_ladder(Escalation("l", levels))
    view = TaskView(
        waiting_since_us=None if waiting is None else waiting * SECOND,
        silent_since_us=None if silent is None else silent * SECOND,
    )
    fired: set[str] = set()
    for _ in range(len(levels) + 1):
        at = next_at(ladder, view, fired)
        if at is None:
            break
        assert not due(ladder, view, at - 1, fired)
        now = due(ladder, view, at, fired)
        assert now
        fired |= {level.name for level in now}
    assert not due(ladder, view, 10_000 * SECOND, fired)


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        (Action(raise_priority=5), RaisePriority(5)),
        (Action(relax="all"), RelaxAll()),
        (Action(add_queue="general"), AddQueue("general")),
        (Action(offer_to="supervisors"), OfferTo("supervisors")),
        (Action(notify="sam"), Notify("sam")),
        (Action(reclaim="keep_place"), Reclaim(True)),
        (Action(reclaim="lose_place"), Reclaim(False)),
        (Action(drop_requirement="triage"), DropRequirement("triage")),
    ],
)
def test_actions_are_typed(written: Action, typed: object):
    assert act(written) == typed


def test_actions_are_kept_as_written():
    assert LADDER.levels[0].written == ({"raise_priority": 5},)
