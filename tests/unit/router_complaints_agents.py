"""What users of other engines complain of about agents, their presence and shifts: more scenes, as in
router_complaints.py. Their mutants are in router_mutants_agents.py.
"""

import asyncio

from services.router.domain import commands as cmd
from services.router.domain import duty, explanation
from services.router.driver import Driver
from tests.unit.router_centre import (
    accept,
    centre,
    come,
    complete,
    has,
    leave,
    offered,
    task_of,
    work,
)
from tests.unit.router_complaints import AUTO
from tests.unit.test_router_presence_leases import Centre as Leases
from tests.unit.test_router_shift_zones import answer as derived
from tests.unit.test_router_shift_zones import on_duty
from tests.unit.test_router_shift_zones import shifted as zoned


def presence(driver: Driver, agent: str) -> tuple[str, str | None]:
    found = work(driver, agent)["agent"]["presence"]
    return found["status"], found["reason"]


def goes(driver: Driver, agent: str) -> None:
    """His lease runs out."""
    driver.lifecycle(cmd.PRESENCE_LAPSED, agent=agent)


def returns(driver: Driver, agent: str) -> None:
    """He calls again."""
    driver.lifecycle(cmd.PRESENCE_RETURNED, agent=agent)


# -- 3.3 presence


def who_was_set_offline_stays_offline():
    for when in ("before", "meanwhile"):
        driver = come(centre({"ana": {}}), "ana")
        if when == "before":
            leave(driver, "ana")
        goes(driver, "ana")
        if when == "meanwhile":
            leave(driver, "ana")
        returns(driver, "ana")
        driver.say("c1")
        assert (presence(driver, "ana")[0], offered(driver, "ana")) == ("offline", []), when


def a_call_that_fails_leaves_him_resting():
    driver = come(centre({"ana": {}}), "ana")
    leave(driver, "ana", "away")
    made = driver.command(cmd.CreateTask(channel="chat", conversation_id="out", text="call"))
    driver.command(cmd.AssignTask(task=made["id"], to="ana"))
    driver.command(cmd.CancelTask(task=made["id"], reason="no_answer"))
    driver.say("c1")
    assert (presence(driver, "ana")[0], offered(driver, "ana")) == ("away", [])


def a_phone_keeps_him_while_the_tab_sleeps():
    async def story() -> list[tuple[str, str]]:
        leases = Leases()
        await leases.live(60, 25, 10)  # two devices
        await leases.live(240, 25)  # the tab is asleep
        return leases.told

    assert asyncio.run(story()) == []


def a_ghost_is_offline():
    driver = come(centre({"ana": {}}), "ana")
    driver.say("c1")
    goes(driver, "ana")
    driver.say("c2")
    assert presence(driver, "ana") == ("offline", "lease")
    assert offered(driver, "ana") == []
    told = driver.found("agent.presence")[-1]
    assert (told["status"], told["reason"]) == ("offline", "lease")


def who_calls_again_is_back_at_once():
    driver = come(centre({"ana": {}}), "ana")
    goes(driver, "ana")
    driver.say("c1")
    returns(driver, "ana")
    assert (presence(driver, "ana")[0], offered(driver, "ana")) == ("available", ["c1"])


def a_gap_within_the_grace_costs_nobody_his_work():
    driver = come(centre({"ana": {}, "ben": {}}, orphans={"after_s": 60}, offer=AUTO), "ana")
    driver.say("c1")
    for _ in range(3):
        goes(driver, "ana")
        driver.wait(59)
        returns(driver, "ana")
    come(driver, "ben")
    driver.wait(300)
    assert (has(driver, "ana"), driver.found("task.requeued")) == (["c1"], [])


# -- 3.6 fairness


def who_is_quick_is_not_punished():
    driver = centre({"ana": {}, "ben": {}}, select="round_robin", offer=AUTO)
    come(driver, "ana", "ben")
    for number in range(6):
        driver.say(f"c{number}")
        for name in has(driver, "ana"):
            complete(driver, task_of(driver, name)["id"])
        driver.wait(5)
    winners = [event["agent_id"] for event in driver.found("task.assigned")]
    assert winners == ["ana", "ben"] * 3


def it_is_not_always_the_same_one_first():
    driver = come(centre({"ana": {}, "ben": {}}), "ana", "ben")
    for number in range(6):
        driver.say(f"c{number}")
        agent = "ana" if offered(driver, "ana") else "ben"
        driver.wait(5)
        complete(driver, accept(driver, agent))
        driver.wait(5)
    winners = [event["agent_id"] for event in driver.found("task.assigned")]
    assert winners == ["ana", "ben"] * 3


def who_has_just_had_a_long_one_comes_last():
    agents = {name: {"channels": {"chat": 1}} for name in ("ana", "ben")}
    driver = come(centre(agents, select="longest_idle"), "ana", "ben")
    driver.say("long")
    driver.say("short")
    long, short = accept(driver, "ana"), accept(driver, "ben")
    driver.wait(10)
    complete(driver, short)
    driver.wait(600)
    complete(driver, long)
    driver.say("next")
    assert (offered(driver, "ana"), offered(driver, "ben")) == ([], ["next"])


# -- 3.13 wrap-up


def wrap_up_is_seen_as_the_reason():
    driver = come(centre({"ana": {"channels": {"chat": 1}}}, wrap_up={"limit_s": 60}), "ana")
    driver.say("c1")
    complete(driver, accept(driver, "ana"))
    driver.say("c2")
    found = explanation.explain_task(driver.core, task_of(driver, "c2")["id"])
    assert found["candidates"]["by_reason"] == {"wrap_up": 1}
    assert "1 in wrap-up" in found["summary"]
    assert found["next_change"]["what"] == "ana ends a wrap-up"
    assert "1 in wrap-up" in explanation.explain_agent(driver.core, "ana")["summary"]


def several_wrap_ups_end_one_by_one():
    driver = centre({"ana": {"channels": {"chat": 2}}}, wrap_up={"limit_s": 60}, offer=AUTO)
    come(driver, "ana")
    for name in ("c1", "c2", "c3"):
        driver.say(name)
    for name in ("c1", "c2"):
        complete(driver, task_of(driver, name)["id"])
    assert [one["state"] for one in work(driver, "ana")["tasks"]] == ["wrapping", "wrapping"]
    driver.command(cmd.CloseTask(task=task_of(driver, "c2")["id"], agent="ana"))
    assert has(driver, "ana") == ["c1", "c3"]
    assert [task_of(driver, name)["state"] for name in ("c1", "c3")] == ["wrapping", "assigned"]


# -- 3.14 shifts, leave, hours


def shifted(seconds: int) -> Driver:
    """Sam's shift begins in so many seconds; ana and kay have no part in it; work turns to its
    supervisors after 10 s."""
    driver = centre({"sam": {"team": "t"}, "kay": {"team": "u"}, "ana": {"team": "t"}})
    opens = driver.now_us + seconds * 1_000_000
    driver.config("calendar", "shift", 1, {"id": "shift"}, [[opens, opens + 10**9]])
    driver.put("team", "t", supervisors=["sam"], shifts=[{"calendar": "shift", "agents": ["sam"]}])
    driver.put("team", "u", shifts=[])
    level = {"name": "lead", "when": {"waiting_s": 10}, "do": [{"offer_to": "supervisors"}]}
    driver.put("escalation", "ladder", levels=[level])
    rule = {"steps": [{"queue": "main"}], "escalation": "ladder", "require": [{"skill": "none"}]}
    driver.put("policy", "default", rules=[rule])
    return come(driver, "sam", "kay", "ana")


def when_nobody_is_on_duty_it_does_not_go_to_everybody():
    driver = shifted(100)
    driver.say("c1")
    driver.wait(60)
    assert [offered(driver, name) for name in ("sam", "kay", "ana")] == [[], [], []]
    assert task_of(driver, "c1")["escalation"]["fired"] == []
    driver.wait(41)
    assert [offered(driver, name) for name in ("sam", "kay", "ana")] == [["c1"], [], []]


def nine_to_five_is_by_his_own_clock():
    """Half past seven in New York is not in the shift, though it is half past one in Berlin."""
    driver = zoned()
    derived(driver)
    assert on_duty(driver, 12) == ["ana", "cleo"]
    assert on_duty(driver, 17) == ["ben"]


def who_is_on_leave_is_told_apart():
    driver = shifted(100)
    found = duty.roster(driver.core, "t")
    assert (found["on_duty"], found["off_duty"]) == (["ana"], ["sam"])
