"""The same clocks whatever comes first, twice or late: over the ends and beginnings of tasks too."""

from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.sla.domain.core import SlaFactory
from services.sla.domain.view import clock_view, ledger
from tests.unit.test_sla_core import POLICY, T0, Bench, S
from tests.unit.test_sla_moves import DAILY, DAYTIME, Wide, renew

HEARD_S = 5_000  # when all that is mixed up is heard, within the lateness
PATIENT = {
    **POLICY,
    "lateness_s": 86_400,
    "targets": {
        **POLICY["targets"],
        "periodic_update": {"target_s": 100},
        "time_to_assign": {"target_s": 50},
        "first_resolution": {"target_s": 200},
    },
}
Step = tuple[float, str, str, dict[str, Any]]  # when, who or what, event's id, fields


def message(at_s: float, role: str, **more: Any) -> Step:
    return (at_s, role, f"m{at_s}", more)


def told(at_s: float, kind: str, task: int, **more: Any) -> Step:
    return (at_s, kind, "", {"task_id": f"tsk_{task}", **more})


def life(task: int, start_s: float) -> tuple[list[Step], list[Step]]:
    """Messages, and what the router says, of a task from its first message to its end."""
    said = [
        message(start_s, "customer"),
        message(start_s + 20, "agent"),
        message(start_s + 40, "customer"),
        message(start_s + 55, "bot"),
        message(start_s + 70, "agent"),
        message(start_s + 110, "agent"),
    ]
    routed = [
        told(start_s + 1, "created", task, event_id=f"m{start_s}", channel="chat", queue="q"),
        told(start_s + 10, "assigned", task, agent_id="ana"),
        told(start_s + 30, "held", task, reason="lunch"),
        told(start_s + 35, "resumed", task),
        told(start_s + 100, "completed", task),
    ]
    return said, routed


def play(bench: Bench, steps: list[Step], seqs: dict[int, int], heard_s: float | None) -> None:
    for step in steps:
        at_s, kind, event, fields = step
        now = at_s if heard_s is None else heard_s
        if event:
            bench.message(at_s, kind, event=event, received=now, **fields)
        else:
            bench.routing_seq = seqs[id(step)] - 1
            bench.told(at_s, kind, now=now, **fields)


def clocks(bench: Bench) -> list[dict[str, Any]]:
    """The clocks of named tasks, with their ledgers. Those of messages that turned out to belong to
    one of them were told as cancelled."""
    now_us = T0 + 90_000 * S
    found = [
        {
            **clock_view(clock, live.fold.hands, now_us),
            "id": live.clock_id(clock),
            "task": live.record.task_id,
            "ledger": ledger(clock, live.fold.hands, now_us, live.fold.former),
        }
        for live in bench.core.lives("cnv_1")
        for clock in live.clocks
    ]
    assert all(one["task"] for one in found)
    return sorted(found, key=lambda one: one["id"])


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(1, 3), st.integers(120, 400), st.randoms(use_true_random=False))
def test_any_order_over_the_ends_of_tasks_gives_the_same_clocks(tasks, gap_s, random):
    said: list[Step] = []
    routed: list[Step] = []
    for task in range(1, tasks + 1):
        messages, events = life(task, float((task - 1) * gap_s))
        said, routed = said + messages, routed + events
    seqs = {id(step): number for number, step in enumerate(routed, 1)}
    straight = Bench().configured(PATIENT)
    # The router's events come in their order; a bus of its own brings the messages in any.
    play(straight, sorted(said + routed, key=lambda step: step[0]), seqs, None)
    mixed = Bench().configured(PATIENT)
    some = [*said, *random.sample(said, len(said) // 3)]  # some come twice
    random.shuffle(some)
    order: list[Step] = list(routed)
    for step in some:
        order.insert(random.randint(0, len(order)), step)
    play(mixed, order, seqs, HEARD_S)
    for bench in (straight, mixed):
        bench.tick(90_000)
    assert clocks(mixed) == clocks(straight)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 22), st.randoms(use_true_random=False))
def test_a_prefix_that_comes_again_changes_nothing(length, random):
    said, routed = life(1, 0.0)
    steps = sorted(said + routed, key=lambda step: step[0])
    seqs = {id(step): number for number, step in enumerate(routed, 1)}
    once, again = Bench().configured(PATIENT), Bench().configured(PATIENT)
    play(once, steps, seqs, HEARD_S)
    play(again, steps[:length], seqs, HEARD_S)
    fresh = SlaFactory().create("acme", 1)
    fresh.load(random.sample(again.core.dump(), len(again.core.dump())))
    again.core = fresh
    play(again, steps[: random.randint(0, length)], seqs, HEARD_S)
    play(again, steps, seqs, HEARD_S)
    for bench in (once, again):
        bench.tick(90_000)
    assert clocks(again) == clocks(once)
    assert again.core.dump() == once.core.dump()


def test_a_finished_clock_stays_whatever_windows_come_and_whatever_is_heard_later():
    bench = Wide()
    bench.calendar(DAYTIME)
    target = {"target_s": 1800}
    policy = {"id": "main", "calendar": "daytime", "targets": {"first_response": target, "resolution": target}}  # fmt: skip
    bench.put("sla_policy", policy)
    bench.message(0, event="e")
    bench.created(0.1, "e")
    bench.message(600, role="agent")
    bench.told(900, "completed")
    before = bench.clocks(1_000)
    assert [one["state"] for one in before] == ["met", "met"]
    shifted = {**DAYTIME, "hours": {day: [["09:05", "18:00"]] for day in DAILY}}
    assert renew(bench, 1_000, shifted, 0)["moves"]
    assert bench.settle(1_000) > 0
    assert bench.clocks(1_000) == before
    assert bench.reloaded().clocks(1_000) == before
    bench.message(100, role="bot", received=1_001)
    assert bench.clocks(1_001) == before
    assert bench.reloaded().clocks(1_001) == before
