"""Surges: when they begin and end, what is usual, and what a policy does that turns them elsewhere."""

import pytest

from services.router.domain import commands as cmd
from services.router.domain import views, week
from services.router.driver import Driver
from tests.unit.router_centre import accept, centre, come, task_of

HOUR_S = 3_600
DAY_S = 24 * HOUR_S


def busy(driver: Driver, minutes: int, per_min: int) -> None:
    """So many come in each minute, spread over it; none of them stays."""
    for _ in range(minutes * per_min):
        thread = f"c{driver.messages}"
        driver.say(thread)
        name = driver.core.conversations[thread].task_id
        driver.command(cmd.CancelTask(task=name or ""))
        driver.wait(60 / per_min)


def days(driver: Driver, count: int, per_min: int = 2) -> None:
    """Days with two busy hours, and quiet ones around them; ends when the next one would begin."""
    for _ in range(count):
        busy(driver, 120, per_min)
        driver.wait(22 * HOUR_S)


def told(driver: Driver) -> list[bool]:
    return [one["surging"] for one in driver.found("queue.surge")]


def quick() -> Driver:
    driver = centre({})
    driver.put("queue", "main", surge={"min_per_min": 2})
    driver.wait(HOUR_S - driver.now_us // 1_000_000 % HOUR_S)
    return driver


def test_no_morning_is_a_surge_once_another_is_known():
    driver = quick()
    days(driver, 1)
    first = len(told(driver))
    days(driver, 3)
    assert len(told(driver)) == first


def test_an_outage_of_two_hours_does_not_become_usual():
    driver = quick()
    days(driver, 2)
    before = len(told(driver))
    busy(driver, 120, 6)
    assert told(driver)[before:] == [True], "it lasts as long as they come"
    driver.wait(120)
    assert told(driver)[before:] == [True, False]


def test_what_lasts_for_a_working_day_becomes_usual():
    driver = quick()
    days(driver, 2)
    before = len(told(driver))
    busy(driver, 9 * 60, 5)
    assert told(driver)[before:] == [True, False]


def test_a_surge_is_half_of_what_other_weeks_say_and_no_more_than_a_surge():
    driver = quick()
    at_us = driver.now_us
    days(driver, 7)
    assert week.known(driver.core, "main", at_us) == 2
    busy(driver, 61, 20)
    assert week.known(driver.core, "main", at_us) == 3, "of 2 and 4, not of 2 and 20"


def test_a_policy_that_turns_a_surge_elsewhere_does_not_end_it():
    driver = quick()
    driver.put("queue", "relief")
    rules = [
        {"when": "queues.main.surge", "steps": [{"queue": "relief"}]},
        {"steps": [{"queue": "main"}]},
    ]
    driver.put("policy", "default", rules=rules)
    busy(driver, 10, 1)
    busy(driver, 10, 6)
    assert told(driver) == [True]
    driver.say("last")
    assert task_of(driver, "last")["queue"] == "relief"
    driver.wait(120)
    assert told(driver) == [True, False]


def test_what_bots_hand_over_comes_to_the_queue():
    driver = quick()
    driver.put("queue", "bots", offer={"auto_accept": True})
    at = [{"queue": "bots"}]
    driver.put("agent", "helper", kind="bot", capacity=9_999, channels={"chat": 99}, queues=at)
    driver.put("policy", "default", rules=[{"steps": [{"queue": "bots"}]}])
    come(driver, "helper")
    for per_min in (1, 6):
        for _ in range(10 * per_min):
            thread = f"c{driver.messages}"
            driver.say(thread)
            name = driver.core.conversations[thread].task_id or ""
            driver.command(cmd.TransferTask(task=name, to=cmd.TransferTo(queue="main")))
            driver.command(cmd.CancelTask(task=name))
            driver.wait(60 / per_min)
    assert "main" in [one["queue"] for one in driver.found("queue.surge")]


def test_a_surge_begins_and_ends_and_policies_see_it():
    driver = centre({})
    driver.put("queue", "relief")
    rules = [
        {"when": "queues.main.surge", "name": "relief", "steps": [{"queue": "relief"}]},
        {"steps": [{"queue": "main"}]},
    ]
    driver.put("policy", "default", rules=rules)
    for number in range(40):
        driver.say(f"usual{number}")
        driver.wait(15)
    assert driver.found("queue.surge") == []
    for number in range(20):
        driver.say(f"much{number}")
        driver.wait(1)
    [event] = driver.found("queue.surge")
    assert (event["queue"], event["surging"], event["rate_per_min"]) == ("main", True, 10)
    assert event["usual_per_min"] == pytest.approx(4, abs=0.5)
    status = views.queue_status(driver.core, "main")
    assert status and status["surge"] is True
    assert task_of(driver, "much19")["policy"]["rule"] == "relief"
    driver.wait(200)
    assert [one["surging"] for one in driver.found("queue.surge")] == [True, False]
    assert driver.core.wake_at_us() is not None
    driver.say("after")
    assert task_of(driver, "after")["queue"] == "main"


def test_nothing_is_unusual_in_the_first_minutes():
    driver = centre({})
    for number in range(50):
        driver.say(f"c{number}")
    assert driver.found("queue.surge") == []


def test_what_lasts_becomes_usual():
    driver = centre({})
    for number in range(40):
        driver.say(f"few{number}")
        driver.wait(15)
    for number in range(900):
        driver.say(f"many{number}")
        driver.wait(4)
    assert [one["surging"] for one in driver.found("queue.surge")] == [True, False]


def test_assignments_alone_make_nothing_usual():
    driver = come(centre({"ana": {"capacity": 9_999, "channels": {"chat": 99}}}), "ana")
    driver.put("queue", "other")
    driver.say("first")
    name = accept(driver, "ana")
    driver.command(cmd.TransferTask(task=name, to=cmd.TransferTo(queue="other")))
    driver.wait(61)
    accept(driver, "ana")
    driver.put("policy", "default", rules=[{"steps": [{"queue": "other"}]}])
    for number in range(60):
        driver.say(f"c{number}")
        driver.wait(4)
    assert driver.found("queue.surge") == []
