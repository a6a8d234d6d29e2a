"""Whoever takes a workspace over decides as the owner before would have."""

import msgspec

from services.router.domain import commands as cmd
from services.router.domain import views
from services.router.domain.core import RouterFactory
from services.router.domain.state import QueueFigures, Task
from services.router.domain.workspace import pack, unpack
from services.router.driver import WORKSPACE, Driver
from shared.contracts.core import Input


def office() -> Driver:
    driver = Driver()
    driver.put("queue", "q", offer={"ttl_s": 200})
    driver.put("policy", "default", rules=[{"steps": [{"queue": "q"}]}])
    for agent in ("ana", "ben"):
        driver.put("agent", agent, channels={"chat": 1})
    return driver


def decline(driver: Driver, agent: str, after_s: float) -> None:
    (offer,) = views.work(driver.core, agent)[1]["offers"]
    retry_us = driver.now_us + round(after_s * 1_000_000)
    driver.command(cmd.DeclineOffer(agent=agent, offer=offer["id"], retry_us=retry_us))


def test_a_cool_down_that_is_over_rings_no_second_time_after_a_load():
    driver = office()
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    driver.say("first")
    decline(driver, "ana", 5)
    driver.command(cmd.SetPresence(agent="ana", status="away"))
    driver.wait(6)
    driver.command(cmd.SetPresence(agent="ben", status="available"))
    decline(driver, "ben", 30)
    driver.say("second")
    decline(driver, "ben", 20)
    both_decide_alike(driver)


def test_a_cool_down_that_a_transfer_ended_rings_for_nobody():
    driver = office()
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    driver.say("first")
    decline(driver, "ana", 20)
    driver.command(cmd.SetPresence(agent="ana", status="away"))
    (task,) = driver.core.tasks
    driver.command(cmd.TransferTask(task=task, to=cmd.TransferTo(queue="q")))
    driver.command(cmd.SetPresence(agent="ben", status="available"))
    decline(driver, "ben", 40)
    driver.say("second")
    decline(driver, "ben", 30)
    both_decide_alike(driver)


def both_decide_alike(driver: Driver) -> None:
    """The owner after a minute of silence, and whoever took over at its beginning."""
    successor = RouterFactory().create(WORKSPACE, driver.core.seed)
    successor.load(driver.core.dump())
    driver.now_us += 60_000_000
    due = Input("timer", "due")
    told = driver.core.apply(driver.now_us, driver.number + 1, due).events
    assert told and successor.apply(driver.now_us, driver.number + 1, due).events == told


def test_state_stored_before_fields_were_added_still_loads():
    """Structs are arrays whose new fields come last, with defaults."""
    task = Task(id="t", number=1, kind="k", state="pending", conversation_id="c", channel="chat")
    whole = msgspec.msgpack.decode(pack(task))
    older = msgspec.msgpack.encode(whole[: Task.__struct_fields__.index("never")])
    assert unpack("task", older) == task
    figures = msgspec.msgpack.encode(["main", 5, 7])
    assert unpack("queue_figures", figures) == QueueFigures(id="main", interval_us=5, last_us=7)


def test_an_estimate_that_was_due_while_the_task_was_offered_is_not_told_after_a_load():
    driver = office()
    driver.say("c1")
    for agent in ("ana", "ben"):
        driver.command(cmd.SetPresence(agent=agent, status="available"))
    driver.wait(100)
    assert driver.core.tasks[driver.core.conversations["c1"].task_id or ""].state == "reserved"
    fresh = RouterFactory().create(WORKSPACE, 1)
    fresh.load(driver.core.dump())
    assert fresh.wake_at_us() == driver.core.wake_at_us()
    version = views.tasks(driver.core)[0][1]["version"]
    assert version < driver.number, "what is told of the wait makes no new version"
