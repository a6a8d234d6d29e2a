"""A ladder that turns to a team: to its agents who are on duty, each in his own time zone."""

from datetime import UTC, datetime

import pytest

from services.router.domain import commands as cmd
from services.router.domain import duty
from services.router.driver import Driver
from services.router.resources import parse
from shared.calendars import expand
from shared.contracts.instants import SECOND_US
from shared.contracts.problems import Refused
from tests.unit.router_centre import accept, centre, come, decline, has, offered, task_of

TO_TEAM = {"offer_to": {"team": "north"}}


def laddered(*more: dict, **agents: dict) -> Driver:
    """Work that nobody has the skill for turns to the team `north` after 10 s."""
    driver = centre({name: {"team": "north", **body} for name, body in agents.items()})
    driver.put("team", "north", supervisors=["sam"])
    level = {"name": "team", "when": {"waiting_s": 10}, "do": [TO_TEAM, *more]}
    driver.put("escalation", "ladder", levels=[level])
    rule = {"steps": [{"queue": "main"}], "escalation": "ladder", "require": [{"skill": "none"}]}
    driver.put("policy", "default", rules=[rule])
    return driver


def test_the_agents_of_the_team_are_offered_it_past_the_requirements():
    driver = laddered(ana={}, ben={}, sam={"team": None}, far={"team": "south"})
    come(driver, "ana", "ben", "sam", "far")
    driver.say("c1")
    assert offered(driver, "ana") == []
    driver.wait(11)
    found = {name: offered(driver, name) for name in ("ana", "ben", "sam", "far")}
    assert found == {"ana": ["c1"], "ben": ["c1"], "sam": [], "far": []}
    decline(driver, "ana")
    accept(driver, "ben")
    assert (offered(driver, "ana"), has(driver, "ben")) == ([], ["c1"])
    assert driver.found("task.escalated")[-1]["actions"] == [TO_TEAM]


def test_only_those_on_duty_and_the_level_waits_while_nobody_is():
    driver = laddered(ana={}, ben={})
    start = driver.now_us
    window = [[start + 60 * SECOND_US, start + 900 * SECOND_US]]
    driver.config("calendar", "late", 1, {"id": "late"}, window)
    never = [[start + 5_000 * SECOND_US, start + 6_000 * SECOND_US]]
    driver.config("calendar", "night", 1, {"id": "night"}, never)
    shifts = [{"calendar": "late", "agents": ["ana"]}, {"calendar": "night", "agents": ["ben"]}]
    driver.put("team", "north", shifts=shifts)
    come(driver, "ana", "ben")
    driver.say("c1")
    driver.wait(59)
    assert task_of(driver, "c1")["escalation"]["fired"] == []
    driver.wait(2)
    assert (offered(driver, "ana"), offered(driver, "ben")) == (["c1"], [])


def test_a_team_of_nobody_is_passed_over_until_somebody_joins_it():
    driver = laddered(ana={"team": "south"})
    come(driver, "ana")
    driver.say("c1")
    driver.wait(30)
    assert driver.core.skipped and task_of(driver, "c1")["escalation"]["fired"] == []
    driver.put("agent", "ana", team="north", channels={"chat": 9})
    assert offered(driver, "ana") == ["c1"]
    assert driver.core.skipped == {}


def test_a_large_team_is_asked_in_part_those_with_the_least_to_do_first(monkeypatch):
    monkeypatch.setattr(duty, "TEAM_REACHED_MAX", 2)
    driver = laddered(ana={}, ben={}, cleo={}, dan={})
    driver.put("queue", "main", offer={"auto_accept": True})
    come(driver, "cleo", "ana", "ben")
    driver.command(cmd.CreateTask(channel="chat", conversation_id="x", text="x"))
    driver.command(cmd.AssignTask(task=task_of(driver, "x")["id"], to="cleo"))
    assert duty.members(driver.core, "north") == ["ana", "ben"]


@pytest.mark.parametrize("kind", ["offer_to", "notify"])
def test_who_is_turned_to_must_be_somebody(kind: str):
    def faults(who: object) -> list[tuple[str, str]]:
        level = {"name": "a", "when": {"waiting_s": 1}, "do": [{kind: who}]}
        found = parse("escalation", {"id": "l", "levels": [level]}, "l").faults
        return [(one.pointer.removeprefix(f"/levels/0/do/0/{kind}"), one.code) for one in found]

    assert faults({"team": "north"}) == faults("sam") == faults("supervisors") == []
    assert faults({"team": 5}) == [("/team", "type")]
    assert faults({"team": "a b"}) == [("/team", "id")]
    assert faults({"tem": "north"}) == faults([]) == faults({}) == [("", "type")]


def test_a_team_that_is_not_there_yet_is_doubted():
    driver = centre({})
    level = {"name": "a", "when": {"waiting_s": 1}, "do": [TO_TEAM]}
    reply = driver.put("escalation", "ladder", levels=[level])
    assert [one["pointer"] for one in reply["warnings"]] == ["/levels/0/do/0/offer_to/team"]
    with pytest.raises(Refused):
        duty.roster(driver.core, "north")


def test_a_shift_is_judged_in_the_zone_of_its_calendar():
    """Nine to five, in Berlin for ana and in New York for ben: half past three and half past nine."""
    driver = laddered(ana={"timezone": "Europe/Berlin"}, ben={"timezone": "America/New_York"})
    moment = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    driver.now_us = round(moment.timestamp()) * SECOND_US
    for name, zone in (("berlin", "Europe/Berlin"), ("york", "America/New_York")):
        days = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
        body = {"id": name, "timezone": zone, "hours": days}
        week_us = 7 * 86_400 * SECOND_US
        windows = [list(one) for one in expand(body, driver.now_us, week_us, week_us).windows]
        driver.config("calendar", name, 1, body, windows)
    shifts = [{"calendar": "berlin", "agents": ["ana"]}, {"calendar": "york", "agents": ["ben"]}]
    driver.put("team", "north", shifts=shifts)

    def on_duty(hour: int) -> list[str]:
        at = moment.replace(hour=hour)
        driver.wait(max(0, round(at.timestamp()) - driver.now_us // SECOND_US))
        driver.core.begin(driver.now_us)
        return duty.members(driver.core, "north")

    assert on_duty(14) == ["ana", "ben"]
    assert on_duty(17) == ["ben"], "half past five in Berlin"
    assert on_duty(22) == []
