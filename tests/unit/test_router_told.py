"""Nobody waits in vain: whatever changes in a desktop's or a task's view also wakes who waits for it."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain import views
from services.router.domain.core import RouterCore
from services.router.driver import Driver
from shared.contracts.core import Input, Outcome
from tests.unit.router_life import AGENTS, Life

STEPS = 200


def desktops(core: RouterCore) -> dict[str, Any]:
    """What each agent's desktop shows, without what only time moves, and without the customer: a
    profile that is changed or merged wakes nobody."""
    return {agent: _still(views.work(core, agent)[1]) for agent in AGENTS if agent in core.desks}


def _still(snapshot: dict[str, Any]) -> dict[str, Any]:
    offers = [{**offer, "waited_s": None, "customer": None} for offer in snapshot["offers"]]
    return {**snapshot, "offers": offers, "revision": None}


def tasks(core: RouterCore) -> dict[str, Any]:
    shown = {name: views.show_task(core, task) for name, task in core.tasks.items()}
    return {
        name: {**one, "estimate": None, "version": None, "customer_id": None}
        for name, one in shown.items()
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: (before[name], after[name]) for name in after if before[name] != after[name]}


def listening(driver: Driver) -> set[str]:
    """Filled with the names that each further input touches."""
    told: set[str] = set()
    apply = driver.apply

    def heard(what: Input) -> Outcome:
        outcome = apply(what)
        told.update(outcome.touched)
        return outcome

    driver.apply = heard  # type: ignore[method-assign]
    return told


@pytest.mark.parametrize("seed", range(20, 32))
def test_whatever_a_desktop_or_a_task_shows_anew_wakes_who_waits(seed: int) -> None:
    life = Life(seed)
    core, told = life.driver.core, listening(life.driver)
    for _ in range(STEPS):
        seen, known = desktops(core), tasks(core)
        revisions = {agent: core.agents[agent].revision for agent in seen}
        told.clear()
        life.step()
        for agent, shown in desktops(core).items():
            if agent in seen and shown != seen[agent]:
                assert f"agent:{agent}" in told, changed(seen[agent], shown)
                assert core.agents[agent].revision > revisions[agent]
        for name, shown in tasks(core).items():
            if name in known and shown != known[name]:
                assert f"task:{name}" in told, changed(known[name], shown)


def test_whom_a_supervisor_assigns_a_task_is_told() -> None:
    driver = Driver()
    driver.put("queue", "q")
    driver.put("policy", "default", rules=[{"steps": [{"queue": "q"}]}])
    driver.put("agent", "ana", channels={"chat": 1})
    driver.say("c1")
    (name,) = driver.core.tasks
    before = driver.core.agents["ana"].revision
    driver.command(cmd.AssignTask(task=name, to="ana"))
    assert driver.core.agents["ana"].revision > before
    assert "agent:ana" in driver.last.touched
