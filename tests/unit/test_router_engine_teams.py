"""A ladder that turns to a team: to its agents who are on duty, each in his own time zone."""

from datetime import UTC, datetime

import pytest

from services.router.domain import commands as cmd
from services.router.domain import duty
from services.router.domain.invariants import check
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


def held_by(driver: Driver, *agents: str) -> list[str]:
    """Who of them is offered the task now."""
    return [name for name in agents if offered(driver, name)]


def test_a_team_is_offered_it_past_the_requirements_one_after_the_other():
    driver = laddered(ana={}, ben={}, sam={"team": None}, far={"team": "south"})
    everybody = come(driver, "ana", "ben", "sam", "far").core.desks
    driver.say("c1")
    assert offered(driver, "ana") == []
    driver.wait(11)
    assert held_by(driver, *everybody) == ["ana"], "one more offer, not one to each"
    decline(driver, "ana")
    assert held_by(driver, *everybody) == ["ben"]
    assert driver.last.events[-1].type == "routing.offer.created.v1"
    driver.wait(21)
    assert held_by(driver, *everybody) == [], "ben has missed it, ana has declined it"
    driver.wait(40)
    assert held_by(driver, *everybody) == ["ana"], "her cool-down is over"
    accept(driver, "ana")
    assert has(driver, "ana") == ["c1"]
    assert driver.found("task.escalated")[-1]["actions"] == [TO_TEAM]
    assert check(driver.core) == []


def test_a_queue_that_offers_in_parallel_asks_several_of_the_team_at_once():
    driver = laddered(ana={}, ben={}, cleo={})
    driver.put("queue", "main", offer={"parallel": 2})
    come(driver, "ana", "ben", "cleo")
    driver.say("c1")
    driver.wait(11)
    assert held_by(driver, "ana", "ben", "cleo") == ["ana", "ben"]
    decline(driver, "ben")
    assert held_by(driver, "ana", "ben", "cleo") == ["ana", "cleo"]
    accept(driver, "cleo")
    assert held_by(driver, "ana", "ben", "cleo") == []


def test_the_offer_of_a_level_comes_on_top_of_those_by_the_rules():
    driver = laddered(ana={}, ben={}, able={"team": None, "skills": {"none": 1}})
    come(driver, "ana", "ben", "able")
    driver.put("queue", "main", offer={"ttl_s": 60})
    driver.say("c1")
    driver.wait(11)
    assert held_by(driver, "ana", "ben", "able") == ["ana", "able"]
    decline(driver, "able")
    assert held_by(driver, "ana", "ben", "able") == ["ana"], "ben waits for his turn"
    assert check(driver.core) == []


def test_each_level_adds_one_and_turns_to_its_own_people_first():
    driver = laddered(ana={}, ben={}, boss={"team": "south"})
    levels = [
        {"name": "team", "when": {"waiting_s": 10}, "do": [TO_TEAM]},
        {"name": "boss", "when": {"waiting_s": 15}, "do": [{"offer_to": "boss"}]},
    ]
    driver.put("escalation", "ladder", levels=levels)
    come(driver, "ana", "ben", "boss")
    driver.say("c1")
    driver.wait(16)
    assert held_by(driver, "ana", "ben", "boss") == ["ana", "boss"]
    decline(driver, "boss")
    assert held_by(driver, "ana", "ben", "boss") == ["ana", "ben"]


def test_whose_turn_it_is_follows_load_and_who_is_busy_gets_it_when_he_is_free():
    driver = laddered(ana={"channels": {"chat": 1}}, ben={"channels": {"chat": 1}})
    come(driver, "ana", "ben")
    driver.put("queue", "own", offer={"auto_accept": True})
    for name in ("ana", "ben"):
        driver.command(cmd.CreateTask(channel="chat", conversation_id=f"x-{name}", text="x"))
        driver.command(cmd.AssignTask(task=task_of(driver, f"x-{name}")["id"], to=name))
    driver.say("c1")
    driver.wait(11)
    assert held_by(driver, "ana", "ben") == []
    driver.command(cmd.CompleteTask(task=task_of(driver, "x-ben")["id"]))
    assert held_by(driver, "ana", "ben") == ["ben"]
    driver.command(cmd.CompleteTask(task=task_of(driver, "x-ana")["id"]))
    assert held_by(driver, "ana", "ben") == ["ben"]


def test_a_taken_back_level_revokes_its_offer_and_calls_nobody_more():
    driver = laddered(ana={}, ben={})
    breached = {"sla": {"metric": "first_response", "breached": True}}
    driver.put("escalation", "ladder", levels=[{"name": "late", "when": breached, "do": [TO_TEAM]}])
    come(driver, "ana", "ben")
    driver.say("c1")
    driver.clock("sla.clock.breached.v1", "c1", detected_lag_s=0)
    assert held_by(driver, "ana", "ben") == ["ana"]
    driver.clock("sla.clock.corrected.v1", "c1", because="late", withdrawn="breached")
    assert held_by(driver, "ana", "ben") == []
    driver.clock("sla.clock.breached.v1", "c1", detected_lag_s=0)
    assert held_by(driver, "ana", "ben") == ["ana"]


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


@pytest.mark.parametrize("reclaims_first", [True, False])
def test_what_a_level_takes_back_it_offers_in_whichever_order_that_is_written(reclaims_first: bool):
    driver = come(centre({"ana": {}}), "ana")
    actions = [{"reclaim": "keep_place"}, {"offer_to": "sam"}]
    do = actions if reclaims_first else actions[::-1]
    level = {"name": "manager", "when": {"cel": 'message.text.contains("manager")'}, "do": do}
    driver.put("queue", "other")
    driver.put("agent", "sam", channels={"chat": 9}, queues=[{"queue": "other"}])
    driver.put("escalation", "calls", levels=[level])
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}], "escalation": "calls"}])
    driver.say("c1")
    accept(driver, "ana")
    come(driver, "sam")
    driver.say("c1", "your manager, please")
    assert offered(driver, "sam") == ["c1"]
    assert driver.found("task.escalated")[-1]["actions"] == do
    assert check(driver.core) == []
