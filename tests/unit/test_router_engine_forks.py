"""Whoever loads a workspace at any moment goes on with the same bytes as whoever lived it, with every
feature in use; a refused command leaves no trace; no agent stands idle beside work."""

import pytest

from services.router.domain import commands as cmd
from services.router.domain import invariants, presence
from services.router.domain.core import RouterCore, RouterFactory
from services.router.driver import WORKSPACE, Driver
from shared.contracts.core import BEHIND, LIVE, Input
from shared.contracts.problems import Refused
from tests.unit.router_life import Life

STEPS = 110
FORK_EVERY = 9
FORKS = 5


def loaded(core: RouterCore) -> RouterCore:
    fresh = RouterFactory().create(WORKSPACE, core.seed)
    fresh.load(core.dump())
    return fresh


@pytest.mark.parametrize("seed", range(8))
def test_who_loads_at_any_moment_goes_on_with_the_same_bytes(seed: int) -> None:
    life = Life(seed)
    driver = life.driver
    forks: list[RouterCore] = []
    inputs, events = len(driver.log), len(driver.journal)
    for step in range(STEPS):
        if step % FORK_EVERY == 0:
            forks = [*forks[1 - FORKS :], loaded(driver.core)]
        if step % 5 == 0:
            refusals_leave_no_trace(life)
        life.step()
        came, inputs = driver.log[inputs:], len(driver.log)
        told, events = driver.journal[events:], len(driver.journal)
        state = driver.core.dump()
        for fork in forks:
            assert [event for one in came for event in fork.apply(*one).events] == told, step
            assert fork.dump() == state, step
        if driver.core.meta.now_us == driver.now_us:
            assert invariants.check(driver.core) == [], step


def refusals_leave_no_trace(life: Life) -> None:
    """Also where much has come due before: that happens again with the next input."""
    driver = life.driver
    before = driver.core.dump()
    driver.now_us += life.pick(0, 0, 3, 30) * 1_000_000
    with pytest.raises(Refused):
        driver.command(cmd.SetPresence(agent="nobody", status="away"))
    assert driver.core.dump() == before


# -- the same, one by one, small


def office(**queue: object) -> Driver:
    driver = Driver()
    driver.put("queue", "q", **queue)
    driver.put("policy", "default", rules=[{"steps": [{"queue": "q"}]}])
    for agent in ("ana", "ben"):
        driver.put("agent", agent, channels={"chat": 1})
    return driver


def alike(driver: Driver, fork: RouterCore, what: Input) -> list[str]:
    told = driver.apply(what).events
    assert fork.apply(*driver.log[-1]).events == told
    assert fork.dump() == driver.core.dump()
    return driver.types()


def test_who_became_free_to_leave_while_the_log_was_behind_leaves_after_a_load() -> None:
    driver = office()
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    driver.say("c1")
    (offer,) = driver.core.offers.values()
    driver.command(cmd.AcceptOffer(agent="ana", offer=offer.id))
    driver.command(cmd.SetPresence(agent="ana", status="away", after_current=True))
    driver.lifecycle(BEHIND)
    driver.command(cmd.CompleteTask(task=offer.task_id))
    assert alike(driver, loaded(driver.core), Input("lifecycle", LIVE)) == ["agent.presence"]
    assert not presence.is_leaving(driver.core.desks["ana"])


def test_what_came_while_the_log_was_behind_meets_the_limit_after_a_load() -> None:
    driver = office(limit={"waiting": 1})
    driver.lifecycle(BEHIND)
    for thread in ("c1", "c2", "c3"):
        driver.say(thread)
    told = alike(driver, loaded(driver.core), Input("lifecycle", LIVE))
    assert told.count("task.cancelled") == 2 and told.count("task.estimate") == 1


def test_hours_that_began_while_the_log_was_behind_begin_after_a_load() -> None:
    driver = Driver()
    start = driver.now_us
    windows = [[start - 10**6, start + 10 * 10**6], [start + 60 * 10**6, start + 90 * 10**6]]
    driver.config("calendar", "office", 1, {"id": "office"}, windows)
    driver.put("queue", "q", calendar="office")
    driver.put("policy", "default", rules=[
        {"when": "queues.q.open", "priority": 5, "steps": [{"queue": "q"}]},
        {"steps": [{"queue": "q"}]},
    ])  # fmt: skip
    driver.lifecycle(BEHIND)
    driver.now_us += 30 * 10**6
    driver.apply(Input("timer", "due"))
    fork = loaded(driver.core)
    driver.say("c1")
    assert fork.apply(*driver.log[-1]).events == driver.last.events
    driver.now_us += 35 * 10**6
    alike(driver, fork, Input("lifecycle", LIVE))
    assert fork.wake_at_us() == driver.core.wake_at_us()


def test_an_agent_deleted_while_work_waits_for_him_alone_is_in_no_pool() -> None:
    driver = office()
    driver.put("agent", "ana", channels={"chat": 1}, skills={"x": 3})
    prefer = {"agent": "ana", "hard": True}
    driver.put("policy", "default", rules=[{"steps": [{"queue": "q"}], "prefer": prefer}])
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    for thread in ("c1", "c2"):
        driver.say(thread)
    driver.command(cmd.DeleteResource(resource="agent", id="ana"))
    driver.command(cmd.SetPresence(agent="ben", status="available"))
    assert driver.found("offer.created")[-1]["agent_id"] == "ben"


def test_more_offers_at_once_reach_what_is_offered_already() -> None:
    driver = office()
    for agent in ("ana", "ben"):
        driver.command(cmd.SetPresence(agent=agent, status="available"))
    driver.say("c1")
    driver.put("queue", "q", offer={"parallel": 2})
    assert [one["agent_id"] for one in driver.found("offer.created")] == ["ana", "ben"]


def test_the_words_of_an_offer_do_not_depend_on_who_asked_the_same_before() -> None:
    german, billing = {"skill": "de", "level": 1}, {"skill": "billing", "level": 1}
    driver = office()
    driver.put("agent", "ana", channels={"chat": 3}, skills={"de": 4, "billing": 2})
    driver.put("policy", "default", rules=[
        {"when": 'task.language == "de"', "require": [german, billing], "steps": [{"queue": "q"}]},
        {"require": [billing, german], "steps": [{"queue": "q"}]},
    ])  # fmt: skip
    driver.say("c1", language="de")
    driver.say("c2")
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    why = {one["conversation_id"]: one["why"] for one in driver.found("offer.created")}
    assert why == {
        "c1": "de 4, billing 2, least loaded of 1",
        "c2": "billing 2, de 4, least loaded of 1",
    }


def test_a_delay_that_an_agent_has_got_since_holds() -> None:
    driver = office(select="longest_idle")
    for delay_s in (0, 30):
        serves = [{"queue": "q", "delay_s": delay_s}]
        driver.put("agent", "ana", channels={"chat": 2}, queues=serves)
        driver.command(cmd.SetPresence(agent="ana", status="available"))
        driver.say(f"c{delay_s}")
    assert [one["conversation_id"] for one in driver.found("offer.created")] == ["c0"]
    driver.wait(30)
    assert driver.found("offer.created")[-1]["conversation_id"] == "c30"
