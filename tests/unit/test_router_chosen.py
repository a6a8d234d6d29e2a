"""What somebody chose for a task, its priority, its queue, what it asks there, and how long that holds."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain.core import RouterFactory
from services.router.domain.state import Task
from services.router.driver import WORKSPACE, Driver
from shared.contracts.problems import Refused
from tests.unit.router_centre import accept, centre, come, offered

RULE: dict[str, Any] = {"priority": 3, "steps": [{"queue": "main"}]}


def edit(driver: Driver, on_edit: str = "take", **rule: Any) -> None:
    driver.put("policy", "default", on_edit=on_edit, rules=[{**RULE, **rule}])


def made(driver: Driver, **more: Any) -> str:
    driver.put("customer", "kim")
    return driver.command(cmd.CreateTask(channel="chat", customer_id="kim", **more))["id"]


def task(driver: Driver, name: str) -> Task:
    return driver.core.tasks[name]


def reloaded(driver: Driver) -> None:
    core = RouterFactory().create(WORKSPACE, 1)
    core.load(driver.core.dump())
    assert core.dump() == driver.core.dump()
    driver.core = core


@pytest.mark.parametrize("how", ["created", "reprioritized", "the same again"])
def test_a_priority_that_was_given_survives_an_edit(how: str) -> None:
    driver = centre({}, RULE)
    if how == "created":
        name = made(driver, priority=40)
    else:
        name = made(driver)
        wanted = 40 if how == "reprioritized" else task(driver, name).priority
        driver.command(cmd.ReprioritizeTask(task=name, priority=wanted))
    given = task(driver, name).priority
    reloaded(driver)
    edit(driver, priority=7)
    assert task(driver, name).priority == given
    assert task(driver, name).policy.version == 2  # type: ignore[union-attr]
    driver.put("policy", "other", rules=[RULE])
    driver.command(cmd.TransferTask(task=name, to=cmd.TransferTo(policy="other")))
    assert task(driver, name).priority == 3


def test_nobody_gave_it_so_the_edit_does() -> None:
    driver = centre({}, RULE)
    name = made(driver)
    edit(driver, priority=7)
    assert task(driver, name).priority == 7


def test_ladders_add_to_what_was_given() -> None:
    driver = centre({}, RULE)
    level = {"name": "late", "when": {"waiting_s": 10}, "do": [{"raise_priority": 5}]}
    driver.put("escalation", "ladder", levels=[level])
    edit(driver, escalation="ladder")
    name = made(driver, priority=40)
    driver.wait(11)
    assert task(driver, name).priority == 45
    edit(driver, priority=7, escalation="ladder")
    assert task(driver, name).priority == 45


def test_a_rule_may_read_what_was_given() -> None:
    driver = centre({}, RULE)
    driver.put("queue", "vip")
    rules = [{"when": "task.priority > 30", "steps": [{"queue": "vip"}]}, RULE]
    driver.put("policy", "default", rules=rules)
    assert task(driver, made(driver, priority=40)).queues == ["vip"]


def two_queues() -> Driver:
    """Ana serves the other queue, and has not the skill that the rule asks."""
    agents = {"ana": {"queues": [{"queue": "other"}]}, "ben": {"skills": {"de": 4}}}
    driver = centre({}, {**RULE, "require": [{"skill": "de", "level": 3}]})
    driver.put("queue", "other")
    for agent, body in agents.items():
        driver.put("agent", agent, channels={"chat": 9}, **body)
    return come(driver, "ana")


def transfer(driver: Driver, name: str, **more: Any) -> Any:
    to = more.pop("to", cmd.TransferTo(queue="other"))
    return driver.command(cmd.TransferTask(task=name, to=to, **more))


def test_a_transfer_to_a_queue_keeps_or_drops_what_is_asked() -> None:
    for more, asked, found in (({}, ["de >= 3"], 0), ({"requires": "drop"}, [], 1)):
        driver = two_queues()
        name = made(driver)
        shown = transfer(driver, name, **more)
        assert [one["text"] for one in shown["requires"]] == asked
        assert len(offered(driver, "ana")) == found
        told = driver.found("task.relaxed")
        assert [one["because"] for one in told] == ["transferred"] * found
        reloaded(driver)


def test_warm_it_drops_them_too() -> None:
    driver = come(two_queues(), "ben")
    name = made(driver)
    assert accept(driver, "ben") == name
    shown = transfer(driver, name, mode="warm", requires="drop")
    assert (shown["state"], shown["agent_id"], shown["requires"]) == ("assigned", "ben", [])
    assert len(offered(driver, "ana")) == 1


@pytest.mark.parametrize("to", [{"agent": "ana"}, {"policy": "default"}])
def test_only_a_transfer_to_a_queue_drops_anything(to: dict[str, str]) -> None:
    driver = two_queues()
    name = made(driver)
    before = driver.core.dump()
    with pytest.raises(Refused) as refused:
        transfer(driver, name, to=cmd.TransferTo(**to), requires="drop")
    assert [(one.pointer, one.code) for one in refused.value.errors] == [
        ("/requires", "only_queue")
    ]
    assert driver.core.dump() == before


@pytest.mark.parametrize("requires", ["keep", "drop"])
def test_an_edit_moves_no_task_that_was_sent_to_a_queue(requires: str) -> None:
    driver = two_queues()
    name = made(driver)
    transfer(driver, name, requires=requires)
    asked = task(driver, name).requires
    edit(driver, priority=7)
    assert task(driver, name).queues == ["other"]
    assert task(driver, name).requires == asked
    transfer(driver, name, to=cmd.TransferTo(policy="default"))
    assert task(driver, name).queues == ["main"]
    edit(driver, priority=8)
    assert task(driver, name).priority == 8
