"""What has ended leaves the core's heaps, whatever their order and however far their instants lie."""

from typing import Any

from services.router.domain import commands as cmd
from services.router.domain import explanation, invariants, opening, pools
from services.router.domain.state import OPEN
from services.router.domain.workspace import TIMERS_MIN
from services.router.driver import Driver


def open_centre(agents: int = 3, **rule: Any) -> Driver:
    driver = Driver()
    driver.put("queue", "main", offer={"ttl_s": 86_400})
    driver.put("escalation", "slow", levels=[
        {"name": "late", "when": {"waiting_s": 86_400}, "do": [{"raise_priority": 1}]}
    ])  # fmt: skip
    rules = [{"steps": [{"queue": "main"}], "escalation": "slow", **rule}]
    driver.put("policy", "default", rules=rules)
    for number in range(agents):
        driver.put("agent", f"a{number}", channels={"chat": 3})
        driver.command(cmd.SetPresence(agent=f"a{number}", status="available"))
    return driver


def serve(driver: Driver, *threads: str) -> None:
    """All at once, so that agents are compared while they are busy."""
    for thread in threads:
        driver.say(thread)
        driver.now_us += 1_000_000
    for offer in [one for one in driver.core.offers.values() if one.state == "open"]:
        driver.command(cmd.AcceptOffer(agent=offer.agent_id, offer=offer.id))
        driver.command(cmd.CompleteTask(task=offer.task_id))
    driver.core.changes()


def test_an_idle_centre_keeps_no_old_places_of_its_agents() -> None:
    """Nobody is ever busy enough for the void entries of the others to surface."""
    driver = open_centre()
    for number in range(400):
        serve(driver, f"a{number}", f"b{number}", f"c{number}")
    (pool,) = driver.core.pools.values()
    assert all(len(heap) <= 2 * 3 + pools.SLACK + 1 for heap in pool.heaps.values())
    assert invariants.check(driver.core) == []


def test_abandoned_tasks_leave_a_pool_that_nobody_serves() -> None:
    driver = open_centre(agents=0)
    for number in range(400):
        driver.say(f"c{number}")
        (task,) = (one for one in driver.core.tasks.values() if one.state in OPEN)
        driver.command(cmd.CancelTask(task=task.id))
    (pool,) = driver.core.pools.values()
    assert len(pool.tasks) <= pools.SLACK + 1


def test_timers_of_what_has_ended_leave_before_their_time() -> None:
    driver = open_centre(prefer={"agent": "a0", "hard": True})
    for number in range(TIMERS_MIN // 2):
        serve(driver, f"c{number}")
    assert len(driver.core.timers) <= TIMERS_MIN + 3


def test_timers_of_what_goes_on_still_ring() -> None:
    driver = open_centre(agents=0)
    driver.say("first")
    (first,) = driver.core.tasks
    for number in range(TIMERS_MIN + 10):
        driver.say(f"c{number}")
        task = next(reversed(driver.core.tasks.values()))
        driver.command(cmd.CancelTask(task=task.id))
    assert len(driver.core.timers) < TIMERS_MIN
    driver.wait(86_401)
    assert driver.core.tasks[first].fired == ["late"]
    assert explanation.explain_task(driver.core, first) is not None


def test_what_leaves_memory_and_comes_back_is_stored_once() -> None:
    """In one batch: it is open then, and not history."""
    driver = open_centre()
    driver.say("c0")
    core = driver.core
    core.changes()
    core.forget("conversation", "c0")
    opening.conversation_of(core, "c0", "chat")
    changed = [(one.key, one.open) for one in core.changes() if one.kind == "conversation"]
    assert changed == [("c0", True)]
