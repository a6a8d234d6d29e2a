"""Teams: supervisors, shifts, who is on duty, and levels of a ladder that reach nobody."""

import pytest

from services.router.domain import duty, explanation
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE, Driver
from shared.contracts.problems import Refused
from tests.unit.router_centre import centre, come, offered, task_of

LEVELS = [
    {"name": "lead", "when": {"waiting_s": 10}, "do": [{"offer_to": "supervisors"}]},
    {"name": "louder", "when": {"waiting_s": 20}, "do": [{"raise_priority": 5}]},
]


def shifts() -> Driver:
    """Sam leads by day (from second 100 to 200), Kay whenever Sam does not; nobody until 100."""
    driver = centre({"sam": {}, "kay": {}, "ana": {"queues": []}})
    start = driver.now_us
    for name, (first, last) in {"day": (100, 200), "night": (200, 300)}.items():
        window = [[start + first * 10**6, start + last * 10**6]]
        driver.config("calendar", name, 1, {"id": name}, window)
    driver.put(
        "team", "t", supervisors=["sam", "kay"],
        shifts=[{"calendar": "day", "agents": ["sam"]}, {"calendar": "night", "agents": ["kay"]}],
    )  # fmt: skip
    driver.put("escalation", "ladder", levels=LEVELS)
    rule = {"steps": [{"queue": "main"}], "escalation": "ladder", "require": [{"skill": "none"}]}
    driver.put("policy", "default", rules=[rule])
    return come(driver, "sam", "kay")


def test_a_level_that_reaches_nobody_is_passed_over_until_somebody_is_on_duty():
    driver = shifts()
    driver.say("c1")
    driver.wait(50)
    task = task_of(driver, "c1")
    assert task["escalation"]["fired"] == ["louder"]
    found = explanation.explain_task(driver.core, task["id"])
    assert ("skipped", "lead: nobody on duty") in [
        (one["kind"], one["because"]) for one in found["decisions"]
    ]
    fresh = RouterFactory().create(WORKSPACE, 1)
    fresh.load(driver.core.dump())
    assert fresh.last_seq and fresh.skipped == driver.core.skipped
    driver.wait(51)
    assert offered(driver, "sam") == ["c1"]
    assert offered(driver, "kay") == []
    assert driver.found("task.escalated")[-1]["supervisors"] == ["sam"]
    assert driver.core.skipped == {}


def test_who_is_on_duty_changes_with_the_shifts():
    driver = shifts()
    driver.put("agent", "ana", team="t", channels={"chat": 1})
    assert duty.roster(driver.core, "t")["on_duty"] == ["ana"], "no shift names ana"
    driver.wait(250)
    driver.core.begin(driver.now_us)
    found = duty.roster(driver.core, "t")
    assert (found["supervisors"], found["off_duty"]) == (["kay"], ["sam"])
    assert found["present"] == ["kay", "sam"]
    with pytest.raises(Refused):
        duty.roster(driver.core, "none")


def test_a_shift_without_agents_is_of_the_whole_team_and_its_calendar_must_exist():
    driver = shifts()
    driver.put("agent", "ana", team="t", channels={"chat": 1})
    driver.put("team", "t", supervisors=["sam"], shifts=[{"calendar": "day"}])
    assert duty.roster(driver.core, "t")["off_duty"] == ["ana", "sam"]
    assert duty.on_duty(driver.core, "kay")
    with pytest.raises(Refused) as refused:
        driver.put("team", "t", shifts=[{"calendar": "nights"}])
    assert refused.value.errors[0].pointer == "/shifts/0/calendar"


def test_without_shifts_every_level_fires():
    driver = shifts()
    driver.put("team", "t", supervisors=["sam"])
    driver.say("c1")
    driver.wait(15)
    assert offered(driver, "sam") == ["c1"]


def test_an_explanation_shows_all_agents_in_pages():
    driver = centre({f"a{number:02}": {"skills": {"x": number % 3}} for number in range(45)})
    rule = {"steps": [{"queue": "main"}], "require": [{"skill": "x", "level": 2}]}
    driver.put("policy", "default", rules=[rule])
    driver.say("c1")
    task = task_of(driver, "c1")["id"]
    start, seen = 0, []
    while start is not None:
        page = explanation.Page(start, 20)
        found = explanation.explain_task(driver.core, task, page=page)
        seen += [one["id"] for one in found["agents"]]
        start = found["next"]
    assert sorted(seen) == sorted(driver.core.desks)
    assert [driver.core.desks[name].config.skills["x"] == 2 for name in seen[:15]] == [True] * 15
    assert explanation.explain_task(driver.core, task)["next"] is None
