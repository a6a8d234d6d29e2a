"""Cheap work cannot lock an agent out of dear work (facts/routing.md §2.5)."""

from services.router.domain import commands as cmd
from services.router.domain import explanation, invariants
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE, Driver
from tests.unit.router_centre import centre, come, complete, has, leave, task_of

BOTH = {"channels": {"chat": 3, "phone": 1}}


def busy(agents: int = 1, **queue: object) -> tuple[Driver, list[str]]:
    """Agents with three chats each, a call that waits, and chats that wait behind it."""
    names = [f"a{number}" for number in range(agents)]
    queue = {"offer": {"auto_accept": True}, "drain": {"limit_s": 600}, **queue}
    driver = come(centre(dict.fromkeys(names, BOTH), **queue), *names)
    for number in range(3 * agents):
        driver.say(f"t{number}")
    driver.wait(5)
    driver.say("call", channel="phone")
    driver.wait(5)
    for number in range(5):
        driver.say(f"later{number}")
    return driver, names


def finish(driver: Driver, thread: str) -> None:
    complete(driver, task_of(driver, thread)["id"])


def test_a_call_gets_the_agent_though_chats_would_fill_every_slot():
    driver, _ = busy()
    for number in range(3):
        finish(driver, f"t{number}")
        assert invariants.check(driver.core) == []
    assert has(driver, "a0") == ["call"]


def test_without_draining_chats_lock_the_call_out():
    driver, _ = busy(drain={"limit_s": 0})
    for number in range(3):
        finish(driver, f"t{number}")
    assert has(driver, "a0") == ["later0", "later1", "later2"]


def test_one_agent_is_kept_free_and_the_nearest_to_it():
    driver, names = busy(agents=3)
    finish(driver, "t1")
    assert list(driver.core.drains) == ["a0"]
    finish(driver, has(driver, "a0")[0])
    assert [len(has(driver, name)) for name in names] == [2, 3, 3]


def test_the_drain_ends_in_time_is_named_and_goes_to_another_agent():
    driver, names = busy(agents=2, drain={"limit_s": 100})
    [(kept, task)] = driver.core.drains.items()
    other = next(name for name in names if name != kept)
    finish(driver, next(iter(has(driver, kept))))
    chat = task_of(driver, "later0")["id"]
    found = explanation.explain_task(driver.core, chat, agent=kept)
    failed = [one for one in found["agents"][0]["conditions"] if not one["passed"]]
    assert [one["text"] for one in failed] == [f"not kept free for {task}"]
    assert found["candidates"]["by_reason"]["drain"] == 1
    assert explanation.explain_task(driver.core, task)["next_change"]["what"].startswith(kept)
    driver.wait(100)
    assert len(has(driver, kept)) == 3, "he takes chats again"
    assert list(driver.core.drains) == [other]
    assert invariants.check(driver.core) == []
    driver.wait(100)
    assert driver.core.drains == {}, "nobody is kept free for it twice"


def test_what_comes_first_or_could_interrupt_or_be_interrupted_is_not_kept_away():
    driver, _ = busy(drain={"limit_s": 900})
    made = driver.command(
        cmd.CreateTask(channel="chat", conversation_id="vip", attributes={}, priority=5)
    )
    finish(driver, "t0")
    assert has(driver, "a0") == ["t1", "t2", "vip"]
    assert task_of(driver, "vip")["id"] == made["id"]

    driver = centre({"a": {"channels": {"chat": 2, "email": 1}}}, offer={"auto_accept": True})
    driver.config(
        "workspace", "acme", 1,
        {"channels": {"chat": {"cost": 50}, "email": {"cost": 100, "interruptible_by": ["chat"]}}},
    )  # fmt: skip
    come(driver, "a")
    driver.say("c1")
    driver.say("m1", channel="email")
    driver.wait(5)
    driver.say("c2")
    assert has(driver, "a") == ["c1", "c2"], "a chat could interrupt the e-mail anyway"


def test_an_agent_who_leaves_is_kept_free_for_nobody_and_a_take_over_remembers():
    driver, names = busy(agents=2)
    [(kept, task)] = driver.core.drains.items()
    fresh = RouterFactory().create(WORKSPACE, 1)
    fresh.load(driver.core.dump())
    assert fresh.last_seq and fresh.drains == driver.core.drains
    leave(driver, kept)
    other = next(name for name in names if name != kept)
    assert driver.core.drains == {other: task}
    driver.command(cmd.CancelTask(task=task))
    assert driver.core.drains == {}


def test_a_rank_before_the_calls_goes_on():
    driver = centre({})
    driver.put("queue", "chats", offer={"auto_accept": True})
    driver.put("agent", "a", **BOTH, queues=[{"queue": "chats"}, {"queue": "main", "rank": 2}])
    rules = [
        {"when": 'task.channel == "chat"', "steps": [{"queue": "chats"}]},
        {"steps": [{"queue": "main"}]},
    ]
    driver.put("policy", "default", rules=rules)
    come(driver, "a")
    for number in range(3):
        driver.say(f"t{number}")
    driver.say("call", channel="phone")
    driver.wait(5)
    driver.say("later")
    finish(driver, "t0")
    assert has(driver, "a") == ["t1", "t2", "later"]
