"""A step of a policy ends in its time, however many agents are still to be asked in it; but never under an
open offer."""

from services.router.domain import commands as cmd
from services.router.domain.core import RouterFactory
from services.router.domain.invariants import check
from services.router.driver import WORKSPACE, Driver
from shared.contracts.core import BEHIND, LIVE
from tests.unit.router_centre import centre, come, decline, leave, offered, task_of

MANY = tuple(f"a{number}" for number in range(6))


def stepped(**rule) -> Driver:
    """Six agents to ask for 20 s each in the first 30 s; then the queue `next`, with zed."""
    own = {name: {"queues": [{"queue": "main"}]} for name in MANY}
    driver = centre(own, offer={"ttl_s": 20, "misses_before_away": 99})
    driver.put("queue", "next")
    driver.put("agent", "zed", channels={"chat": 9}, queues=[{"queue": "next"}])
    steps = [{"queue": "main", "timeout_s": 30}, {"queue": "next"}]
    driver.put("policy", "default", rules=[{"steps": steps, **rule}])
    come(driver, *MANY, "zed")
    driver.say("c1")
    return driver


def asked(driver: Driver) -> list[str]:
    return [name for name in driver.core.desks if offered(driver, name)]


def test_who_misses_it_last_ends_the_step():
    driver = stepped()
    driver.wait(39)
    assert (asked(driver), task_of(driver, "c1")["policy"]["step"]) == (["a1"], 0), "offer open"
    driver.wait(1)
    assert (asked(driver), task_of(driver, "c1")["policy"]["step"]) == (["zed"], 1)
    assert check(driver.core) == []


def test_a_decline_ends_it_too_and_so_does_leaving():
    for act in (lambda driver, name: decline(driver, name), leave):
        driver = stepped()
        driver.wait(31)
        (name,) = asked(driver)
        act(driver, name)
        assert asked(driver) == ["zed"]


def test_before_its_time_the_next_agent_of_the_step_is_asked():
    driver = stepped()
    driver.wait(29)
    decline(driver, "a1")
    assert asked(driver) == ["a2"]


def test_several_open_offers_end_it_with_the_last():
    driver = stepped()
    driver.put("queue", "main", offer={"ttl_s": 20, "parallel": 2, "misses_before_away": 99})
    driver.wait(31)
    first, second = asked(driver)
    decline(driver, first)
    assert task_of(driver, "c1")["policy"]["step"] == 0
    decline(driver, second)
    assert "zed" in asked(driver)


def test_supervisors_who_are_asked_one_by_one_do_not_stop_it():
    driver = stepped()
    driver.put("team", "t", supervisors=list(MANY))
    level = {"name": "lead", "when": {"waiting_s": 5}, "do": [{"offer_to": "supervisors"}]}
    driver.put("escalation", "ladder", levels=[level])
    steps = [{"queue": "main", "timeout_s": 30}, {"queue": "next"}]
    rule = {"steps": steps, "escalation": "ladder", "require": [{"skill": "none"}]}
    driver.put("policy", "default", rules=[rule])
    driver.say("c2")
    driver.wait(46)
    assert task_of(driver, "c2")["policy"]["step"] == 1
    assert check(driver.core) == []


def test_a_take_over_under_the_open_offer_ends_it_the_same_way():
    driver = stepped()
    driver.wait(35)
    fresh = Driver(core=RouterFactory().create(WORKSPACE, 1))
    fresh.core.load(driver.core.dump())
    fresh.now_us, fresh.number = driver.now_us, driver.number
    assert fresh.core.last_seq
    for one in (driver, fresh):
        one.command(cmd.DeclineOffer(agent="a1", offer=next(iter(one.core.desks["a1"].offers))))
    assert fresh.core.dump() == driver.core.dump()
    assert asked(fresh) == ["zed"]


def test_while_the_log_is_behind_no_step_ends():
    driver = stepped()
    driver.wait(31)
    driver.lifecycle(BEHIND)
    decline(driver, "a1")
    assert task_of(driver, "c1")["policy"]["step"] == 0
    driver.lifecycle(LIVE)
    assert (asked(driver), task_of(driver, "c1")["policy"]["step"]) == (["zed"], 1)
