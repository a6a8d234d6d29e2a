"""Golden vectors of other engines (facts/routing.md §2) where our semantics claim the same."""

import random
from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.driver import Driver
from tests.unit.router_centre import accept, centre, come, complete, has, leave, offered, task_of

AUTO = {"auto_accept": True}


def agent(channels: dict[str, int], costs: dict[str, Any], **more: Any) -> Driver:
    driver = centre({"a": {"channels": channels, **more}}, offer=AUTO)
    driver.config("workspace", "acme", 1, {"channels": costs})
    return come(driver, "a")


def says(driver: Driver, name: str) -> bool:
    """The conversation `chat1`, `email2` comes; whether the agent has it at once."""
    driver.wait(1)
    driver.say(name, channel=name.rstrip("0123456789"))
    return name in has(driver, "a")


# -- capacity (§2.5)


def test_azure_one_call_or_five_chats_never_both():
    costs = {"phone": {"cost": 100}, "chat": {"cost": 20}}
    driver = agent({"phone": 1, "chat": 9}, costs)
    assert [says(driver, f"chat{n}") for n in range(6)] == [True] * 5 + [False]
    assert not says(driver, "phone1")
    driver = agent({"phone": 1, "chat": 9}, costs)
    assert says(driver, "phone1") and not says(driver, "chat1")


def test_azure_a_call_always_fits_beside_the_rest():
    costs = {"phone": {"cost": 60}, "chat": {"cost": 10}, "email": {"cost": 10}}
    driver = agent({"phone": 1, "chat": 2, "email": 2}, costs)
    assert [says(driver, f"chat{n}") for n in range(3)] == [True, True, False]
    assert [says(driver, f"email{n}") for n in range(3)] == [True, True, False]
    assert says(driver, "phone1")


def test_connect_seven_steps_of_cross_channel_concurrency():
    """Chat denies other channels, tasks (here e-mail) allow them, voice denies; chats 2, tasks 1."""
    costs = {
        "phone": {"cost": 100},
        "chat": {"cost": 50},
        "email": {"cost": 100, "interruptible_by": ["chat", "phone"]},
    }
    driver = agent({"phone": 1, "chat": 2, "email": 1}, costs)
    assert says(driver, "chat1")
    assert not says(driver, "email1"), "a task waits while he is on a chat"
    assert says(driver, "chat2"), "a second chat is admitted"
    for name in ("chat1", "chat2"):
        complete(driver, task_of(driver, name)["id"])
    assert has(driver, "a") == ["email1"], "the task comes after both chats"
    assert says(driver, "chat3"), "a chat while on a task is admitted"
    assert not says(driver, "phone1"), "voice is refused while a chat is open"
    complete(driver, task_of(driver, "chat3")["id"])
    assert has(driver, "a") == ["email1", "phone1"], "voice is admitted with only a task"
    assert not says(driver, "email2"), "a second task is refused"


# -- order of work (§2.3)


def test_connect_priorities_and_delays_of_a_routing_profile():
    """T1 and T2: priority 1; T3: 2, delay 20 s; T4: 3, delay 80 s. A delay only gates visibility."""
    driver = centre({})
    queues = [{"queue": "t1"}, {"queue": "t2"}, {"queue": "t3", "rank": 2, "delay_s": 20},
              {"queue": "t4", "rank": 3, "delay_s": 80}]  # fmt: skip
    for queue in ("t1", "t2", "t3", "t4"):
        driver.put("queue", queue, offer={"ttl_s": 9999})
    rules = [
        {"when": f'task.attributes.t == "{name}"', "steps": [{"queue": name}]}
        for name in ("t1", "t2", "t3", "t4")
    ]
    driver.put("policy", "default", rules=rules)
    driver.put("agent", "a", channels={"chat": 1}, queues=queues)
    driver.say("c4", attributes={"t": "t4"})
    driver.say("c3", attributes={"t": "t3"})
    driver.wait(19)
    come(driver, "a")
    assert offered(driver, "a") == []
    driver.wait(1.1)
    assert offered(driver, "a") == ["c3"], "after 20 s, T1 and T2 being empty"
    driver.say("c2", attributes={"t": "t2"})
    driver.wait(1)
    driver.say("c1", attributes={"t": "t1"})
    driver.wait(90)
    leave(driver, "a")
    come(driver, "a")
    order: list[str] = []
    while offered(driver, "a"):
        order += offered(driver, "a")
        complete(driver, accept(driver, "a"))
    assert order == ["c2", "c1", "c3", "c4"], "equal priority: the oldest; then by rank"


def test_genesys_score_is_enqueue_time_less_a_minute_a_point():
    chance = random.Random(11)
    driver = centre({"a": {"channels": {"chat": 1}}}, offer=AUTO)
    rule = {"priority": "int(task.attributes.p)", "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[rule])
    scores: dict[str, int] = {}
    for number in range(60):
        driver.wait(chance.randrange(1, 90))
        priority = chance.choice([-5, 0, 0, 1, 3, 10])
        driver.say(f"c{number}", attributes={"p": str(priority)})
        scores[f"c{number}"] = driver.now_us // 1000 - 60_000 * priority
    come(driver, "a")
    order: list[str] = []
    while has(driver, "a"):
        order += has(driver, "a")
        complete(driver, task_of(driver, order[-1])["id"])
    assert [scores[name] for name in order] == sorted(scores.values())


def test_a_changed_priority_acts_at_once():
    """Connect takes a minute or more; here the next free agent goes by the new one."""
    driver = centre({"a": {"channels": {"chat": 1}}})
    driver.say("c1")
    driver.say("c2")
    driver.command(cmd.ReprioritizeTask(task=task_of(driver, "c2")["id"], priority=1))
    come(driver, "a")
    assert offered(driver, "a") == ["c2"]


# -- skipping a step (§2.4, Wazo)


@pytest.mark.parametrize(
    ("ben", "queue"),
    [
        ("available", "experts"),  # he could
        ("full", "experts"),  # busy is not never
        ("offline", "main"),  # nobody who is logged in ever could
    ],
)
def test_wazo_a_step_is_skipped_only_when_nobody_logged_in_ever_could(ben: str, queue: str):
    driver = centre({"ana": {"queues": [{"queue": "main"}]}})
    driver.put("queue", "experts", offer=AUTO)
    driver.put("agent", "ben", channels={"chat": 1}, queues=[{"queue": "experts"}])
    steps = [{"queue": "experts", "timeout_s": 60, "skip_if": "nobody_could"}, {"queue": "main"}]
    driver.put("policy", "default", rules=[{"steps": steps}])
    come(driver, "ana")
    if ben != "offline":
        come(driver, "ben")
    if ben == "full":
        driver.say("first")
        assert has(driver, "ben") == ["first"]
    driver.say("c1")
    assert task_of(driver, "c1")["queue"] == queue


# -- round robin has two meanings (§2.2): least recently assigned survives changes of membership


def test_round_robin_is_least_recently_assigned():
    driver = come(centre({"a": {}, "b": {}, "c": {}}, select="round_robin"), "a", "b", "c")
    for number in range(4):
        driver.say(f"c{number}")
    leave(driver, "b")
    driver.put("agent", "aa", channels={"chat": 9})
    come(driver, "aa", "b")
    before = len(driver.found("offer.created"))
    for number in range(4):
        driver.say(f"d{number}")
    made = [event["agent_id"] for event in driver.found("offer.created")[before:]]
    assert made == ["aa", "b", "a", "c"], "c was asked again when b left"
