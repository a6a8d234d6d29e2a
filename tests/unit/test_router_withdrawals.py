"""What a ladder did for a warning or a breach that the SLA service takes back."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain import explanation
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE, Driver
from tests.unit.router_centre import accept, centre, come, decline, has, offered, task_of

BREACHED = {"sla": {"metric": "first_response", "breached": True}}
USED = {"sla": {"metric": "first_response", "used": 0.75}}
FALSE = {"because": "late", "withdrawn": "breached"}
EARLY = {"because": "late", "withdrawn": "warning", "level": 0.5}


def laddered(*levels: dict[str, Any], queue: dict[str, Any] | None = None, **rule: Any) -> Driver:
    """Ana lacks the skill x, Sam supervises, Xen has it and serves `other` too."""
    driver = centre({"ana": {}, "sam": {"queues": []}}, **(queue or {}))
    driver.put("queue", "other")
    driver.put("agent", "xen", channels={"chat": 9}, queues=[{"queue": "other"}], skills={"x": 1})
    driver.put("team", "t", supervisors=["sam"])
    driver.put("escalation", "l", levels=list(levels))
    rule = {"steps": [{"queue": "main"}], "escalation": "l", **rule}
    driver.put("policy", "default", rules=[rule])
    driver.say("c")
    return driver


def level(name: str, when: dict[str, Any], *do: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "when": when, "do": list(do)}


def breach(driver: Driver) -> None:
    driver.clock("sla.clock.breached.v1", "c", detected_lag_s=0)


def withdraw(driver: Driver, what: dict[str, Any] = FALSE) -> None:
    driver.clock("sla.clock.corrected.v1", "c", **what)


def decisions(driver: Driver) -> list[str]:
    found = explanation.explain_task(driver.core, task_of(driver, "c")["id"])
    return [one["kind"] for one in found["decisions"]]


def stored(driver: Driver) -> dict[str, bytes | None]:
    return {f"{one.kind} {one.key}": one.body for one in driver.core.dump()}


def test_priority_queues_and_offers_of_a_level_are_taken_back():
    driver = laddered(
        level("late", BREACHED, {"raise_priority": 0.1}, {"add_queue": "other"}, {"offer_to": "supervisors"}),
        require=[{"skill": "x"}],
    )  # fmt: skip
    come(driver, "sam", "xen")
    before = task_of(driver, "c")
    breach(driver)
    assert offered(driver, "sam") == offered(driver, "xen") == ["c"]
    withdraw(driver)
    assert offered(driver, "sam") == offered(driver, "xen") == []
    after = task_of(driver, "c")
    for name in ("state", "priority", "queues", "escalation", "waiting_since"):
        assert after.get(name) == before.get(name), name
    told = driver.found("task.escalation_withdrawn")
    assert told[-1]["taken_back"] == ["raise_priority", "add_queue", "offer_to"]
    assert {one["reason"] for one in driver.found("offer.revoked")} == {"escalation_withdrawn"}
    assert driver.found("task.priority_changed")[-1]["by"] == "escalation", "no clock moves by it"
    assert "escalation_withdrawn" in decisions(driver)


@pytest.mark.parametrize("told", [{"breached": True}, {"warned": 0.75}])
def test_what_was_told_before_the_task_was_known_moves_its_ladder(told: dict[str, Any]):
    """The router was away while the deadline passed: the clock's bond says what it has missed."""
    driver = laddered(
        level("at risk", USED, {"raise_priority": 1}),
        level("late", BREACHED, {"offer_to": "supervisors"}),
        require=[{"skill": "nobody"}],
    )
    come(driver, "sam")
    driver.clock("sla.clock.bound.v1", "c", task_id=task_of(driver, "c")["id"], **told)
    fired = task_of(driver, "c")["escalation"]["fired"]
    assert fired == (["at risk", "late"] if "breached" in told else ["at risk"])
    assert offered(driver, "sam") == (["c"] if "breached" in told else [])


def test_a_level_that_was_taken_back_fires_again_for_a_true_breach():
    driver = laddered(level("late", BREACHED, {"raise_priority": 5}))
    breach(driver)
    withdraw(driver)
    assert task_of(driver, "c")["escalation"]["fired"] == []
    breach(driver)
    assert task_of(driver, "c")["priority"] == 5
    assert len(driver.found("task.escalated")) == 2


def test_a_warning_takes_back_only_what_it_did():
    half = {"sla": {"metric": "first_response", "used": 0.5}}
    other = {"sla": {"metric": "resolution", "used": 0.5}}
    driver = laddered(
        level("half", half, {"raise_priority": 1}),
        level("risk", USED, {"raise_priority": 2}),
        level("other", other, {"raise_priority": 4}),
        level("late", BREACHED, {"raise_priority": 8}),
    )
    driver.clock("sla.clock.warning.v1", "c", level=0.5)
    driver.clock("sla.clock.warning.v1", "c", level=0.8)
    driver.clock("sla.clock.warning.v1", "c", level=0.8, metric="resolution", clock_id="clk_2")
    breach(driver)
    assert task_of(driver, "c")["priority"] == 15
    withdraw(driver)
    assert task_of(driver, "c")["priority"] == 7
    withdraw(driver, EARLY)
    assert task_of(driver, "c")["priority"] == 5
    assert task_of(driver, "c")["escalation"]["fired"] == ["half", "other"]


def test_requirements_are_asked_again_and_offers_that_only_met_less_are_revoked():
    driver = laddered(level("late", BREACHED, {"relax": "all"}), require=[{"skill": "x", "relax": [{"after_s": 900, "drop": True}]}])  # fmt: skip
    come(driver, "ana")
    assert offered(driver, "ana") == []
    breach(driver)
    assert offered(driver, "ana") == ["c"]
    withdraw(driver)
    assert offered(driver, "ana") == [] and task_of(driver, "c")["state"] == "pending"
    driver.wait(901)
    assert offered(driver, "ana") == ["c"], "by itself it is relaxed as before"


def test_who_lost_the_task_may_have_it_again():
    driver = laddered(level("late", BREACHED, {"reclaim": "lose_place"}))
    come(driver, "ana")
    before = task_of(driver, "c")["waiting_since"]
    accept(driver, "ana")
    driver.wait(5)
    breach(driver)
    assert has(driver, "ana") == offered(driver, "ana") == []
    withdraw(driver)
    assert offered(driver, "ana") == ["c"]
    assert task_of(driver, "c")["waiting_since"] == before


def by_accepting(driver: Driver) -> None:
    come(driver, "sam")
    accept(driver, "sam")


def by_assigning(driver: Driver) -> None:
    driver.command(cmd.AssignTask(task=task_of(driver, "c")["id"], to="sam"))


def by_priority(driver: Driver) -> None:
    driver.command(cmd.ReprioritizeTask(task=task_of(driver, "c")["id"], priority=5))


def by_transfer(driver: Driver) -> None:
    to = cmd.TransferTo(queue="main")
    driver.command(cmd.TransferTask(task=task_of(driver, "c")["id"], to=to))


def by_escalating(driver: Driver) -> None:
    driver.command(cmd.EscalateTask(task=task_of(driver, "c")["id"]))


ACTS = (by_accepting, by_assigning, by_priority, by_transfer, by_escalating)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_what_somebody_acted_on_stands_and_is_recorded(act: Any):
    more = level("more", {"waiting_s": 9_000}, {"notify": "sam"})
    driver = laddered(level("late", BREACHED, {"raise_priority": 5}, {"offer_to": "sam"}), more)
    breach(driver)
    act(driver)
    shown = task_of(driver, "c")
    withdraw(driver)
    after = task_of(driver, "c")
    assert after["priority"] == 5 and "late" in after["escalation"]["fired"]
    assert after["state"] == shown["state"]
    assert "escalation_stands" in decisions(driver)
    assert driver.found("task.escalation_withdrawn") == []
    withdraw(driver)
    assert decisions(driver).count("escalation_stands") == 1


def test_an_offer_that_was_declined_is_no_act():
    driver = laddered(level("late", BREACHED, {"raise_priority": 5}, {"offer_to": "supervisors"}))
    come(driver, "sam")
    breach(driver)
    decline(driver, "sam")
    withdraw(driver)
    assert task_of(driver, "c")["priority"] == 0


def test_what_comes_after_an_act_is_taken_back_alone():
    driver = laddered(level("risk", USED, {"raise_priority": 1}), level("late", BREACHED, {"raise_priority": 2}))  # fmt: skip
    driver.clock("sla.clock.warning.v1", "c", level=0.8)
    come(driver, "ana")
    accept(driver, "ana")
    breach(driver)
    withdraw(driver, {**EARLY, "level": 0.0})
    assert task_of(driver, "c")["priority"] == 3, "breached is more than warned"
    withdraw(driver)
    assert task_of(driver, "c")["priority"] == 1


def test_after_a_take_over_it_is_taken_back_with_the_same_bytes():
    driver = laddered(
        level("late", BREACHED, {"raise_priority": 5}, {"add_queue": "other"}, {"offer_to": "supervisors"})
    )  # fmt: skip
    come(driver, "sam", "xen")
    breach(driver)
    twin = Driver()
    twin.core = RouterFactory().create(WORKSPACE, driver.core.seed)
    twin.core.load(driver.core.dump())
    twin.now_us, twin.number = driver.now_us, driver.number
    withdraw(driver)
    withdraw(twin)
    assert [one.data for one in twin.last.events] == [one.data for one in driver.last.events]
    assert stored(twin) == stored(driver)
