"""The monitor of a running system: waiting work beside an agent who may have it is seen and told."""

import asyncio
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from services.router.domain import commands as cmd
from services.router.domain import idleness
from services.router.domain.idleness import JUDGED_MAX, OUTLIVED_US, SCANNED_MAX, Look, Place
from services.router.driver import Driver
from services.router.idle_monitor import IdleMonitor
from shared.contracts.instants import SECOND_US
from tests.unit.router_centre import accept, centre, come, complete, decline, leave, task_of

KIM = {"identities": [{"scheme": "crm", "value": "kim"}]}


def looked(driver: Driver, place: Place | None = None) -> Look:
    return idleness.look(driver.core, place or Place())


def overlook(driver: Driver, agent: str) -> None:
    """As a fault of the dispatch would have it: he is there, and nobody looked for work for him."""
    desk = driver.core.desks[agent]
    desk.agent.status, desk.takes_work = "available", True


def test_nothing_is_overlooked_where_all_is_well():
    driver = centre({"ana": {}, "ben": {}})
    driver.say("t1")
    assert looked(driver).overlooked == []
    come(driver, "ana")
    assert looked(driver).overlooked == [] and looked(driver).pairs == 0


def test_work_beside_an_idle_agent_is_seen_until_he_has_it():
    driver = centre({"ana": {}, "ben": {}})
    driver.say("t1")
    overlook(driver, "ana")
    pair = (task_of(driver, "t1")["id"], "ana")
    assert looked(driver).overlooked == [pair]
    assert idleness.still(driver.core, [pair, ("gone", "ana"), (pair[0], "gone")]) == [pair]
    come(driver, "ben")
    assert looked(driver).overlooked == idleness.still(driver.core, [pair]) == []


def test_who_has_no_room_or_no_skill_is_not_idle():
    rule = {"require": [{"skill": "billing", "level": 3}]}
    driver = centre({"ana": {"skills": {"billing": 2}}, "ben": {"channels": {"email": 1}}}, rule)
    driver.say("t1")
    for name in ("ana", "ben"):
        overlook(driver, name)
    assert looked(driver).overlooked == [] and looked(driver).pairs == 2


def test_behind_nothing_is_decided():
    driver = centre({"ana": {}})
    driver.say("t1")
    overlook(driver, "ana")
    driver.lifecycle("behind")
    assert looked(driver) == Look(0, [], [], {}, Place())


def test_each_reason_to_keep_a_free_agent_and_a_task_apart_is_named():
    driver = come(centre({"ana": {}}, decline={"cool_down_s": 60}), "ana")
    driver.say("t1")
    decline(driver, "ana")
    assert looked(driver).kept_apart == {"cool_down": 1}

    driver = come(centre({"ana": {"queues": [{"queue": "main", "delay_s": 30}]}}), "ana")
    driver.say("t1")
    assert looked(driver).kept_apart == {"delay": 1}

    driver = come(centre({"ana": {}}), "ana")
    driver.put("customer", "kim", never_pair=["ana"], **KIM)
    driver.say("t1", identities=KIM["identities"])
    assert looked(driver).kept_apart == {"never_pair": 1}

    driver = come(centre({"ana": {}, "ben": {"channels": {"chat": 1}}}), "ben")
    driver.say("t0")
    accept(driver, "ben")
    come(driver, "ana").say("t1")
    task = accept(driver, "ana")
    driver.command(cmd.TransferTask(task=task, to=cmd.TransferTo(agent="ben")))
    assert looked(driver).kept_apart == {"cool_down": 1, "hold": 1}  # he gave it away

    queue = {"offer": {"auto_accept": True}, "drain": {"limit_s": 600}}
    driver = come(centre({"ana": {"channels": {"chat": 3, "phone": 1}}}, **queue), "ana")
    for number in range(3):
        driver.say(f"t{number}")
    driver.say("call", channel="phone")
    driver.say("later")
    complete(driver, task_of(driver, "t0")["id"])
    assert looked(driver).kept_apart == {"drain": 1}


def test_a_hold_or_drain_that_outlives_its_end_is_seen():
    driver = centre({"ana": {}})
    driver.say("t1")
    task = driver.core.tasks[task_of(driver, "t1")["id"]]
    task.hold_until_us = driver.now_us - OUTLIVED_US
    assert looked(driver).outlived == []
    task.hold_until_us = task.drain_until_us = driver.now_us - OUTLIVED_US - 1
    assert looked(driver).outlived == [(task.id, "hold"), (task.id, "drain")]


def test_every_task_and_agent_has_his_turn():
    driver = centre({f"a{n}": {"skills": {"x": 1}} for n in range(3 * JUDGED_MAX)})
    driver.put(
        "policy", "default", rules=[{"require": [{"skill": "y"}], "steps": [{"queue": "main"}]}]
    )
    for number in range(2 * JUDGED_MAX):
        driver.say(f"t{number}")
    for name in list(driver.core.desks):
        overlook(driver, name)
    driver.core.desks["a40"].facts.skills["y"] = 1  # without a word to the pools
    found, place = list[tuple[str, str]](), Place()
    for _ in range(12):
        seen = looked(driver, place)
        assert seen.pairs <= JUDGED_MAX**2 < SCANNED_MAX
        found, place = found + seen.overlooked, seen.following
    assert {agent for _, agent in found} == {"a40"}


class Centre:
    """A runtime with one workspace, and the monitor of it."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.owned, self.registry = driver, ["acme"], CollectorRegistry()
        self.monitor = IdleMonitor(self, lambda: self.owned, self.registry)  # type: ignore[arg-type]

    async def query(self, workspace: str, view: Callable[[Any], Any]) -> Any:
        return view(self.driver.core)

    def look(self) -> None:
        asyncio.run(self.monitor.check("acme"))

    def faults(self, what: str) -> float | None:
        labels = {"workspace": "acme", "what": what}
        return self.registry.get_sample_value("omniroute_idle_faults_total", labels)


def test_what_two_looks_find_is_a_fault():
    driver = centre({"ana": {}})
    driver.say("t1")
    overlook(driver, "ana")
    seen = Centre(driver)
    seen.look()
    assert seen.faults("overlooked") is None
    seen.look()
    assert seen.faults("overlooked") == 1
    leave(driver, "ana")
    come(driver, "ana")
    seen.look()
    assert seen.faults("overlooked") == 1
    assert seen.registry.get_sample_value("omniroute_idle_pairs_judged_total") == 2


def test_what_keeps_apart_is_shown_as_long_as_it_does():
    driver = come(centre({"ana": {}}, decline={"cool_down_s": 60}), "ana")
    driver.say("t1")
    decline(driver, "ana")
    seen, labels = Centre(driver), {"workspace": "acme", "reason": "cool_down"}
    seen.look()
    assert seen.registry.get_sample_value("omniroute_idle_kept_apart", labels) == 1
    driver.wait(61)
    seen.look()
    assert seen.registry.get_sample_value("omniroute_idle_kept_apart", labels) == 0
    assert driver.now_us % SECOND_US == 0
