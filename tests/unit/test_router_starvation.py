"""The starvation bound of each order (docs/routing.md), on the core at 120 % load."""

import heapq
import random
from typing import NamedTuple

import msgspec
import pytest

from services.router.domain import commands as cmd
from services.router.driver import Driver
from shared.contracts.instants import SECOND_US, format_instant
from tests.unit.router_centre import centre, come

AGENTS = 5
HANDLE_S = 60
EVERY_S = 10  # 5 agents finish one in 12 s: 120 % load
ARRIVALS = 360
PRIORITIES = (0, 2, 2, 2, 2, 5, 5, 5, 5, 5)
HEAD_START_S = 60


class Served(NamedTuple):
    """Seconds from the start; `due_s` only where there are deadlines."""

    name: str
    priority: int
    came_s: float
    taken_s: float
    due_s: float | None = None


def overload(order: str, due: dict[int, float] | None = None) -> list[Served]:
    """An hour of too much work: whom the agents took when. `due`: priority → target in seconds."""
    agents = {f"a{number}": {"channels": {"chat": 1}} for number in range(AGENTS)}
    offer = {"auto_accept": True}
    driver = centre(agents, order=order, head_start_s=HEAD_START_S, offer=offer)
    rule = {"priority": "int(task.attributes.p)", "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[rule])
    come(driver, *agents)
    chance, start = random.Random(7), driver.now_us
    came: dict[str, tuple[int, float]] = {}
    ends: list[tuple[int, str]] = []
    for number in range(ARRIVALS):
        name, priority = f"c{number}", chance.choice(PRIORITIES)
        came[name] = (priority, (driver.now_us - start) / SECOND_US)
        driver.say(name, attributes={"p": str(priority)})
        _note_ends(driver, ends)
        if due is not None:
            _tell_due(driver, name, due[priority])
        until = driver.now_us + EVERY_S * SECOND_US
        while ends and ends[0][0] <= until:
            at, task = heapq.heappop(ends)
            driver.now_us = max(driver.now_us, at)
            driver.command(cmd.CompleteTask(task=task))
            _note_ends(driver, ends)
        driver.now_us = until
    return _served(driver, start, came, due)


def _tell_due(driver: Driver, name: str, target_s: float) -> None:
    due = format_instant(driver.now_us + round(target_s * SECOND_US))
    task = driver.core.conversations[name].task_id
    driver.clock(
        "sla.clock.started.v1", name, clock_id=f"clk_{name}", task_id=task, due_at=due,
        target_s=target_s,
    )  # fmt: skip


def _note_ends(driver: Driver, ends: list[tuple[int, str]]) -> None:
    """Whoever got a task with the last input has done it a minute later."""
    for event in driver.last.events:
        if event.type == "routing.task.assigned.v1":
            task = msgspec.json.decode(event.data)["task_id"]
            heapq.heappush(ends, (driver.now_us + HANDLE_S * SECOND_US, task))


def _served(
    driver: Driver, start: int, came: dict[str, tuple[int, float]], due: dict[int, float] | None
) -> list[Served]:
    taken = {event["conversation_id"]: event["waited_s"] for event in driver.found("task.assigned")}
    never = float("inf")
    return [
        Served(name, p, at, at + taken.get(name, never), None if due is None else at + due[p])
        for name, (p, at) in came.items()
    ]


def overtakings(served: list[Served]) -> list[tuple[Served, Served]]:
    """(who was overtaken, by whom): came earlier, and was taken later or is still waiting."""
    return [
        (one, other)
        for one in served
        for other in served
        if one.came_s < other.came_s and other.taken_s < one.taken_s
    ]


def test_head_start_nobody_is_overtaken_by_who_comes_later_than_the_points_are_worth():
    served = overload("head_start")
    found = overtakings(served)
    assert len(found) > 100, "priority does something"
    for one, other in found:
        bound_s = (max(PRIORITIES) - one.priority) * HEAD_START_S
        assert other.came_s - one.came_s <= bound_s
    assert all(one.taken_s < float("inf") for one in served if one.came_s < 1500)


def test_weighted_wait_nobody_waits_longer_than_the_ratio_of_the_weights():
    served = overload("weighted_wait")
    assert overtakings(served)
    for taken in served:
        for one in served:
            if one.came_s <= taken.taken_s < one.taken_s:
                ratio = max(1, taken.priority) / max(1, one.priority)
                waited_s = taken.taken_s - one.came_s
                assert waited_s <= ratio * (taken.taken_s - taken.came_s) + 1e-6
    assert all(one.taken_s < float("inf") for one in served if one.came_s < 600)


def test_deadline_nobody_is_overtaken_by_who_comes_after_his_deadline_less_the_shortest_target():
    targets = {0: 900.0, 2: 300.0, 5: 60.0}
    served = overload("deadline", targets)
    found = overtakings(served)
    assert len(found) > 100
    for one, other in found:
        assert one.due_s is not None
        assert other.came_s <= one.due_s - min(targets.values())
    assert all(one.taken_s < float("inf") for one in served if one.came_s < 1500)


def test_strict_priority_has_no_bound():
    served = overload("strict_priority")
    low = [one for one in served if one.priority == 0 and 300 < one.came_s < 3000]
    assert low and all(one.taken_s == float("inf") for one in low), "none: they starve"


@pytest.mark.parametrize("order", ["head_start", "strict_priority", "weighted_wait", "deadline"])
def test_within_one_priority_the_longer_wait_goes_first(order: str):
    due = {0: 300.0, 2: 300.0, 5: 300.0} if order == "deadline" else None
    served = overload(order, due)
    assert not [(a, b) for a, b in overtakings(served) if a.priority == b.priority]
