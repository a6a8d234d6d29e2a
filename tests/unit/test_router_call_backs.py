"""Scheduled work: who is waited for and where it waits is judged when its time comes."""

from services.router.domain import commands as cmd
from services.router.driver import Driver
from shared.contracts.instants import span_us
from tests.unit.router_centre import accept, centre, come, complete, leave, offered, task_of

KIM = [{"scheme": "crm", "value": "kim"}]
LAST = {"prefer": {"agent": "last", "hold_s": 30}}
DAY_S = 86_400


def planned(driver: Driver, in_s: float = DAY_S) -> str:
    """A call-back for Kim, asked for now."""
    begins_us = driver.now_us + span_us(in_s)
    command = cmd.CreateTask(channel="chat", customer_id="kim", not_before_us=begins_us)
    return driver.command(command)["id"]


def house() -> Driver:
    """Ana had Kim last, and is at home now."""
    one = {"channels": {"chat": 1}}
    driver = centre({"ana": one, "ben": one}, LAST)
    driver.put("customer", "kim", identities=KIM)
    come(driver, "ana")
    driver.say("c1", identities=KIM)
    complete(driver, accept(driver, "ana"))
    leave(driver, "ana")
    return driver


def test_a_call_back_waits_for_the_preferred_agent_when_its_time_has_come():
    driver = house()
    planned(driver)
    driver.wait(DAY_S - 60)
    come(driver, "ana", "ben")
    driver.say("c2")
    driver.command(cmd.AssignTask(task=task_of(driver, "c2")["id"], to="ana"))
    driver.wait(60)
    assert offered(driver, "ben") == [], "kept for Ana, who is busy"
    driver.wait(31)
    assert len(offered(driver, "ben")) == 1


def test_a_step_that_nobody_could_take_in_the_night_is_taken_in_the_morning():
    driver = centre({})
    driver.put("queue", "special")
    driver.put("agent", "ana", channels={"chat": 9}, queues=[{"queue": "special"}])
    steps = [{"queue": "special", "skip_if": "nobody_could"}, {"queue": "main"}]
    driver.put("policy", "default", rules=[{"steps": steps}])
    driver.put("customer", "kim", identities=KIM)
    name = planned(driver)
    assert driver.core.tasks[name].queues == ["main"]
    driver.wait(DAY_S - 60)
    come(driver, "ana")
    driver.wait(60)
    assert driver.core.tasks[name].queues == ["special"]
    assert len(offered(driver, "ana")) == 1


def test_a_call_back_that_no_rule_fitted_is_planned_by_the_policy_that_was_mended():
    driver = centre({"ana": {}}, {"when": 'task.channel == "phone"'})
    driver.put("customer", "kim", identities=KIM)
    name = planned(driver)
    assert driver.core.tasks[name].reason == "no_rule"
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}]}])
    come(driver, "ana")
    driver.wait(DAY_S)
    assert driver.core.tasks[name].reason is None
    assert len(offered(driver, "ana")) == 1


def test_an_edited_policy_holds_for_call_backs_where_it_says_so():
    for on_edit, queue in (("keep", "main"), ("take", "other")):
        driver = centre({})
        driver.put("queue", "other")
        driver.put("customer", "kim", identities=KIM)
        name = planned(driver)
        driver.put("policy", "default", on_edit=on_edit, rules=[{"steps": [{"queue": "other"}]}])
        driver.wait(DAY_S)
        assert driver.core.tasks[name].queues == [queue]


def test_call_backs_come_when_their_time_does_not_when_they_are_asked_for():
    driver = centre({})
    driver.put("customer", "kim", identities=KIM)
    for number in range(40):
        driver.say(f"usual{number}")
        driver.wait(15)
    for number in range(30):
        planned(driver, 3_600 + number)
    assert driver.found("queue.surge") == []
    driver.wait(3_700)
    assert [one["surging"] for one in driver.found("queue.surge")][:1] == [True]
