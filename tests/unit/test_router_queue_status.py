"""What `queues/{id}/status` counts on from look to look is what a look at every task and agent finds."""

import pytest

from services.router.domain import capacity, counts, views
from services.router.domain import commands as cmd
from services.router.domain.core import RouterFactory
from services.router.domain.state import OWNED
from services.router.driver import WORKSPACE
from tests.unit.router_centre import accept, centre, come, complete, decline, leave, task_of
from tests.unit.router_life import QUEUES, Life


def seen(core, name):
    """The same by looking at everything."""
    pending = [t for t in core.tasks.values() if t.state == "pending" and name in t.queues]
    since = min((task.waiting_since_us for task in pending), default=core.now)
    agents = {"available": 0, "busy": 0, "away": 0}
    for desk in core.desks.values():
        status = desk.agent.shown_status
        if desk.config.serves(name) is not None and status != "offline":
            full = not any(capacity.has_room(core, desk, one) for one in desk.config.channels)
            agents["away" if status == "away" else "busy" if full else "available"] += 1
    return {
        "waiting": len(pending),
        "longest_wait_s": max(0, core.now - since) / 1e6,
        "reserved": sum(t.state == "reserved" and name in t.queues for t in core.tasks.values()),
        "assigned": sum(t.state in OWNED and t.queue == name for t in core.tasks.values()),
        "agents": agents,
    }


def agree(core):
    for name in core.queues:
        status = views.queue_status(core, name)
        assert status is not None
        assert {key: status[key] for key in seen(core, name)} == seen(core, name)


@pytest.mark.parametrize("seed", range(6))
def test_counts_agree_with_a_look_at_everything(seed):
    """Looked at after every seventh input, after a take-over and after refusals."""
    life = Life(seed)
    for step in range(280):
        life.step()
        if step % 7 == 0:
            agree(life.driver.core)
        if step % 90 == 89:
            life.driver.core.changes()
            fresh = RouterFactory().create(WORKSPACE, seed)
            fresh.load(life.driver.core.dump())
            life.driver.core = fresh
    agree(life.driver.core)
    assert set(life.driver.core.queues) >= set(QUEUES)


def test_what_nobody_asks_for_is_not_remembered_for_ever(monkeypatch):
    monkeypatch.setattr(counts, "UNCOUNTED_MAX", 5)
    driver = come(centre({"ana": {}}), "ana")
    agree(driver.core)
    for number in range(20):
        driver.say(f"c{number}")
        driver.core.changes()
        assert len(driver.core.uncounted) <= 6
    assert driver.core.counts is None
    agree(driver.core)


def test_who_waits_no_more_does_not_fill_the_memory_of_waits():
    driver = centre({"ana": {"channels": {"chat": 1}}})
    driver.say("first")
    driver.wait(9)
    for number in range(400):
        driver.say(f"c{number}")
        agree(driver.core)
        driver.command(cmd.CancelTask(task=task_of(driver, f"c{number}")["id"]))
        agree(driver.core)
    found = counts.look(driver.core)
    assert len(found.waits["main"]) <= counts.SLACK + 2
    assert views.queue_status(driver.core, "main")["longest_wait_s"] == 9


def test_each_word_of_the_status():
    driver = centre({"ana": {}, "ben": {}, "cleo": {"queues": []}}, offer={"cool_down_s": 600})
    come(driver, "ana", "cleo")
    leave(driver, "ben", "away")
    driver.say("c1")
    driver.say("c2")
    decline(driver, "ana")
    accept(driver, "ana")
    driver.wait(5)
    driver.core.begin(driver.now_us)
    status = views.queue_status(driver.core, "main")
    words = ("waiting", "longest_wait_s", "reserved", "assigned", "agents")
    assert [status[word] for word in words] == [
        1, 5, 0, 1, {"available": 1, "busy": 0, "away": 1},
    ]  # fmt: skip
    complete(driver, driver.core.desks["ana"].tasks.copy().popitem()[0])
    driver.command(cmd.DeleteResource(resource="agent", id="ben"))
    status = views.queue_status(driver.core, "main")
    assert (status["assigned"], status["agents"]["away"]) == (0, 0)
    agree(driver.core)
