"""Who gets which task: agent choice, order of work, capacity, offers, presence, ladders, hours."""

from typing import Any

import pytest

from services.router.domain import capacity, dispatch, explanation, invariants, views
from services.router.domain import commands as cmd
from services.router.domain.pools import PoolKey
from services.router.driver import Driver
from shared.contracts.core import BEHIND, LIVE
from shared.contracts.problems import Refused
from tests.unit.router_life import Life


def centre(agents: dict[str, dict[str, Any]], rule: Any = None, **queue: Any) -> Driver:
    driver = Driver()
    driver.put("queue", "main", **queue)
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}], **(rule or {})}])
    for agent, body in agents.items():
        driver.put("agent", agent, **{"channels": {"chat": 9}, **body})
    return driver


def come(driver: Driver, *agents: str) -> None:
    for agent in agents:
        driver.command(cmd.SetPresence(agent=agent, status="available"))


def work(driver: Driver, agent: str) -> dict[str, Any]:
    return views.work(driver.core, agent)[1]


def offered(driver: Driver, agent: str) -> list[str]:
    return [offer["conversation_id"] for offer in work(driver, agent)["offers"]]


def accept(driver: Driver, agent: str) -> str:
    offer = work(driver, agent)["offers"][0]
    return driver.command(cmd.AcceptOffer(agent=agent, offer=offer["id"]))["id"]


def winners(driver: Driver, threads: int) -> list[str]:
    before = len(driver.found("offer.created"))
    for number in range(threads):
        driver.say(f"w{number}")
    return [event["agent_id"] for event in driver.found("offer.created")[before:]]


# -- which agent


def test_least_loaded_then_longest_available_golden_vector() -> None:
    """facts/routing.md §2.2 (Azure): A 3/5 used, free since 5 min; B 3/4, 3 min; C 3/5, 7 min;
    D 0/3, 2 min -> D, C, A, B."""
    sizes = {"A": 5, "B": 4, "C": 5, "D": 3}
    driver = centre(
        {name: {"capacity": units} for name, units in sizes.items()}, offer={"ttl_s": 9999}
    )
    driver.config("workspace", "acme", 1, {"channels": {"chat": {"cost": 1}}})
    for name, wait_s in (("C", 120), ("A", 120), ("B", 60), ("D", 0)):
        come(driver, name)
        driver.wait(wait_s)
    for number, agent in enumerate("AAABBBCCC"):
        made = driver.command(cmd.CreateTask(channel="chat", conversation_id=f"t{number}"))
        driver.command(cmd.AssignTask(task=made["id"], to=agent))
    pool = next(iter(driver.core.pools.values()))
    order = sorted(driver.core.desks.values(), key=pool.agent_key)
    assert [desk.id for desk in order] == ["D", "C", "A", "B"]
    driver.say("next")
    assert offered(driver, "D") == ["next"]


def test_longest_idle_starts_by_id_and_counts_from_the_end_of_work() -> None:
    driver = centre({"b": {"capacity": 30}, "a": {"capacity": 30}}, select="longest_idle")
    come(driver, "b", "a")
    assert winners(driver, 2) == ["a", "b"]
    done = [accept(driver, "a"), accept(driver, "b")]
    for seconds, task in ((5, done[1]), (5, done[0])):
        driver.wait(seconds)
        driver.command(cmd.CompleteTask(task=task))
    driver.say("x")
    assert offered(driver, "b") == ["x"]


def test_round_robin_takes_turns() -> None:
    driver = centre({name: {} for name in "abc"}, select="round_robin")
    come(driver, *"abc")
    assert winners(driver, 5) == ["a", "b", "c", "a", "b"]


def test_best_skilled_and_ranked() -> None:
    skills = {"a": {"skills": {"x": 2}}, "b": {"skills": {"x": 7}}}
    driver = centre(skills, {"require": [{"skill": "x"}]}, select="best_skilled")
    come(driver, "a", "b")
    assert winners(driver, 1) == ["b"]
    tiers = {
        name: {"queues": [{"queue": "main", "tier": tier}]} for name, tier in (("a", 2), ("b", 1))
    }
    driver = centre(tiers, select="ranked")
    come(driver, "a", "b")
    assert winners(driver, 1) == ["b"]


def test_random_gives_everybody_a_share_and_the_same_seed_the_same_draw() -> None:
    def draw(seed: int) -> list[str]:
        driver = centre(
            {name: {"capacity": 10**6, "channels": {"chat": 10**4}} for name in "abcd"},
            select="random",
        )
        driver.core.seed = seed
        come(driver, *"abcd")
        return winners(driver, 400)

    first = draw(1)
    assert draw(1) == first != draw(2)
    assert all(70 <= first.count(name) <= 130 for name in "abcd")


# -- which task


def freed_order(driver: Driver, threads: int) -> list[str]:
    """One agent with a single slot takes everything, one after the other."""
    come(driver, "a")
    order = []
    for _ in range(threads):
        order.extend(offered(driver, "a"))
        driver.command(cmd.CompleteTask(task=accept(driver, "a")))
    return order


def waiting(order: str, *tasks: tuple[str, float, float], **queue: Any) -> list[str]:
    """Tasks as (name, priority, waited seconds) in a queue of that order; the order they are taken."""
    driver = centre({"a": {"capacity": 30}}, order=order, **queue)
    longest = max(waited for _, _, waited in tasks)
    for name, priority, waited in sorted(tasks, key=lambda task: -task[2]):
        driver.now_us += round((longest - waited) * 1e6)
        longest = waited
        driver.command(cmd.CreateTask(channel="chat", conversation_id=name, priority=priority))
    driver.now_us += round(longest * 1e6)
    return freed_order(driver, len(tasks))


def test_head_start_one_point_is_worth_its_seconds() -> None:
    """facts/routing.md §2.3 (Genesys): entry - 60 s x priority, smallest first."""
    tasks = (("old", 0, 100.0), ("new", 2, 0.0), ("mid", 1, 30.0))
    assert waiting("head_start", *tasks) == ["new", "old", "mid"]
    assert waiting("head_start", *tasks, head_start_s=10) == ["old", "mid", "new"]


def test_strict_priority_and_weighted_wait() -> None:
    tasks = (("old", 0, 100.0), ("new", 2, 10.0), ("mid", 1, 90.0))
    assert waiting("strict_priority", *tasks) == ["new", "mid", "old"]
    assert waiting("weighted_wait", *tasks) == ["old", "mid", "new"]
    heavy = (("old", 0, 100.0), ("new", 20, 10.0))
    assert waiting("weighted_wait", *heavy) == ["new", "old"]


def test_deadline_order_follows_the_clocks() -> None:
    driver = centre({"a": {"capacity": 30}}, order="deadline")
    for name in ("late", "soon"):
        driver.say(name)
    for name, due in (("late", "2030-01-01T00:00:00Z"), ("soon", "2029-01-01T00:00:00Z")):
        driver.clock("sla.clock.started.v1", name, clock_id=name, due_at=due, target_s=60)
    assert freed_order(driver, 2) == ["soon", "late"]


def test_a_freed_agent_takes_from_the_lowest_rank_and_after_its_delay() -> None:
    queues = [{"queue": "vip"}, {"queue": "main", "rank": 2, "delay_s": 30}]
    driver = centre({"a": {"capacity": 30, "channels": {"chat": 1}}})
    driver.put("queue", "vip")
    driver.put("agent", "a", capacity=30, channels={"chat": 1}, queues=queues)
    rules = [
        {"when": 'task.language == "de"', "steps": [{"queue": "vip"}]},
        {"steps": [{"queue": "main"}]},
    ]
    driver.put("policy", "default", rules=rules)
    driver.say("plain")
    come(driver, "a")
    assert offered(driver, "a") == []
    driver.wait(29)
    assert offered(driver, "a") == []
    driver.wait(1)
    assert offered(driver, "a") == ["plain"]
    driver.say("older")
    driver.wait(5)
    driver.say("vip", language="de")
    driver.wait(5)
    driver.command(cmd.CompleteTask(task=accept(driver, "a")))
    assert offered(driver, "a") == ["vip"]


def test_an_agent_who_comes_later_with_a_delay_is_offered_what_waits_when_it_is_over() -> None:
    driver = centre({"a": {"capacity": 30, "channels": {"chat": 1}}})
    driver.say("early")
    driver.wait(10)
    queues = [{"queue": "main", "delay_s": 30}]
    driver.put("agent", "b", capacity=30, channels={"chat": 1}, queues=queues)
    come(driver, "b")
    driver.wait(19)
    assert offered(driver, "b") == []
    driver.wait(1)
    assert offered(driver, "b") == ["early"]


# -- capacity


@pytest.mark.parametrize(
    ("costs", "has", "wants", "fits"),
    [
        ({"phone": 100, "chat": 20}, ["phone"], "chat", False),
        ({"phone": 100, "chat": 20}, ["chat"], "phone", False),
        ({"phone": 100, "chat": 20}, ["chat"] * 4, "chat", True),
        ({"phone": 100, "chat": 20}, ["chat"] * 5, "chat", False),
        ({"phone": 60, "chat": 10, "email": 10}, ["chat", "chat", "email", "email"], "phone", True),
    ],
)
def test_capacity_units(costs: dict[str, int], has: list[str], wants: str, fits: bool) -> None:
    """facts/routing.md §2.5 (Azure): voice 100, chat 20: one voice or five chats, never mixed."""
    driver = centre({"a": {"channels": {"phone": 1, "chat": 9, "email": 9}}})
    driver.config("workspace", "acme", 1, {"channels": {n: {"cost": c} for n, c in costs.items()}})
    come(driver, "a")
    for number, channel in enumerate(has):
        driver.say(f"h{number}", channel=channel)
        accept(driver, "a")
    driver.say("want", channel=wants)
    assert (offered(driver, "a") == ["want"]) is fits
    assert invariants.check(driver.core) == [] == invariants.over_capacity(driver.core)


def test_interruptible_work_does_not_keep_a_call_away() -> None:
    driver = centre({"a": {"channels": {"phone": 1, "email": 5}}})
    email = {"cost": 20, "interruptible_by": ["phone"]}
    driver.config("workspace", "acme", 1, {"channels": {"phone": {"cost": 100}, "email": email}})
    come(driver, "a")
    driver.say("mail", channel="email")
    accept(driver, "a")
    driver.say("call", channel="phone")
    assert offered(driver, "a") == ["call"]
    driver.say("mail2", channel="email")
    assert offered(driver, "a") == ["call"]


def test_requirements_relax_while_waiting() -> None:
    relax = [{"after_s": 60, "level": 1}, {"after_s": 180, "drop": True}]
    rule = {"require": [{"skill": "de", "level": 3, "relax": relax}]}
    driver = centre({"weak": {"skills": {"de": 1}}, "none": {}}, rule)
    come(driver, "weak", "none")
    driver.say("c")
    driver.wait(59)
    assert offered(driver, "weak") == []
    driver.wait(1)
    assert offered(driver, "weak") == ["c"]
    driver.command(cmd.SetPresence(agent="weak", status="offline"))
    assert offered(driver, "none") == []
    driver.wait(120)
    assert offered(driver, "none") == ["c"]


# -- offers


def test_a_dead_offer_says_why() -> None:
    driver = centre({"a": {}, "b": {}}, offer={"ttl_s": 20, "parallel": 2})
    come(driver, "a", "b")
    driver.say("c")
    mine, other = (work(driver, name)["offers"][0]["id"] for name in "ab")
    done = driver.command(cmd.AcceptOffer(agent="a", offer=mine))
    assert driver.command(cmd.AcceptOffer(agent="a", offer=mine))["id"] == done["id"]
    with pytest.raises(Refused) as caught:
        driver.command(cmd.AcceptOffer(agent="b", offer=other))
    assert (caught.value.kind, caught.value.reason) == ("conflict", "taken")


def test_expiry_is_judged_by_now_and_not_by_the_timer() -> None:
    driver = centre({"a": {}}, offer={"ttl_s": 20})
    come(driver, "a")
    driver.say("c")
    offer = work(driver, "a")["offers"][0]["id"]
    driver.now_us += 20_000_000
    before = driver.core.dump()
    with pytest.raises(Refused) as caught:
        driver.command(cmd.AcceptOffer(agent="a", offer=offer))
    assert caught.value.reason == "expired"
    assert driver.core.dump() == before
    driver.wait(0)
    assert driver.types() == ["offer.expired", "task.estimate"]


def test_misses_send_away_and_a_lone_agent_is_asked_again_after_the_cool_down() -> None:
    driver = centre({"a": {}}, offer={"ttl_s": 10, "misses_before_away": 2, "cool_down_s": 60})
    come(driver, "a")
    driver.say("c")
    driver.wait(10)
    assert offered(driver, "a") == []
    driver.wait(60)
    assert offered(driver, "a") == ["c"]
    driver.wait(10)
    presence = work(driver, "a")["agent"]["presence"]
    assert (presence["status"], presence["reason"]) == ("away", "missed_offers")


def test_decline_with_retry_at() -> None:
    driver = centre({"a": {}})
    come(driver, "a")
    driver.say("c")
    offer = work(driver, "a")["offers"][0]["id"]
    retry = driver.now_us + 5_000_000
    driver.command(cmd.DeclineOffer(agent="a", offer=offer, reason="busy", retry_us=retry))
    driver.wait(4)
    assert offered(driver, "a") == []
    driver.wait(1)
    assert offered(driver, "a") == ["c"]


def test_auto_accept() -> None:
    driver = centre({"a": {}}, offer={"auto_accept": True})
    come(driver, "a")
    driver.say("c")
    assert driver.types() == ["task.created", "offer.created", "offer.accepted", "task.assigned"]


def test_preferred_agent_is_waited_for_while_he_is_there() -> None:
    rule = {"prefer": {"agent": "a", "hold_s": 30}}
    driver = centre({"a": {"capacity": 30}, "b": {}}, rule)
    come(driver, "a", "b")
    assert winners(driver, 1) == ["a"]
    accept(driver, "a")
    driver.say("second")
    assert offered(driver, "b") == []
    driver.wait(30)
    assert offered(driver, "b") == ["second"]
    driver.command(cmd.SetPresence(agent="a", status="offline"))
    driver.say("third")
    assert offered(driver, "b") == ["second", "third"]


# -- presence


def test_offline_revokes_offers_and_requeues_assigned_work_later() -> None:
    driver = centre({"a": {"capacity": 60}, "b": {}}, orphans={"after_s": 120})
    come(driver, "a")
    driver.say("mine")
    accept(driver, "a")
    driver.say("open")
    come(driver, "b")
    driver.lifecycle(cmd.PRESENCE_LAPSED, agent="a")
    assert work(driver, "a")["agent"]["presence"]["reason"] == "lease"
    assert driver.found("offer.revoked")[0]["reason"] == "presence"
    assert offered(driver, "b") == ["open"]
    driver.lifecycle(cmd.PRESENCE_RETURNED, agent="a")
    assert work(driver, "a")["agent"]["presence"]["status"] == "available"
    driver.wait(300)
    assert work(driver, "a")["tasks"] != []
    driver.lifecycle(cmd.PRESENCE_LAPSED, agent="a")
    come(driver, "b")
    driver.wait(119)
    assert work(driver, "a")["tasks"] != []
    driver.wait(1)
    assert work(driver, "a")["tasks"] == []
    assert "mine" in offered(driver, "b")


def test_after_current_is_the_next_status_and_the_last_write_wins() -> None:
    driver = centre({"a": {}})
    come(driver, "a")
    driver.say("c")
    task = accept(driver, "a")
    driver.command(cmd.SetPresence(agent="a", status="offline", after_current=True))
    driver.command(cmd.SetPresence(agent="a", status="away", reason="lunch", after_current=True))
    driver.say("new")
    assert offered(driver, "a") == []
    driver.command(cmd.CompleteTask(task=task))
    presence = work(driver, "a")["agent"]["presence"]
    assert (presence["status"], presence["reason"], presence["next_status"]) == (
        "away",
        "lunch",
        None,
    )


# -- hours, ladders, catching up


def test_offers_only_while_the_queue_is_open() -> None:
    driver = centre({"a": {}})
    now = driver.now_us
    driver.config("calendar", "office", 1, {"id": "office"}, [[now + 60 * 10**6, now + 90 * 10**6]])
    driver.put("queue", "main", calendar="office")
    come(driver, "a")
    driver.say("c1")
    assert offered(driver, "a") == []
    driver.wait(60)
    assert offered(driver, "a") == ["c1"]
    accept(driver, "a")
    driver.wait(30)
    driver.say("c2")
    assert offered(driver, "a") == []


def test_a_ladder_fires_each_level_once() -> None:
    driver = centre({"a": {"skills": {"x": 1}}, "sam": {}}, {"require": [{"skill": "x"}]})
    breached = {"sla": {"metric": "first_response", "breached": True}}
    used = {"sla": {"metric": "first_response", "used": 0.75}}
    driver.put("team", "t", supervisors=["sam"])
    driver.put(
        "escalation",
        "l",
        levels=[
            {"name": "waited", "when": {"waiting_s": 120}, "do": [{"raise_priority": 5}]},
            {"name": "risk", "when": used, "do": [{"raise_priority": 1}]},
            {"name": "late", "when": breached, "do": [{"offer_to": "supervisors"}]},
        ],
    )
    driver.put(
        "policy",
        "default",
        rules=[{"steps": [{"queue": "main"}], "require": [{"skill": "x"}], "escalation": "l"}],
    )
    come(driver, "sam")
    driver.say("c")
    driver.wait(500)
    assert views.tasks(driver.core)[0][1]["priority"] == 5
    driver.clock("sla.clock.warning.v1", "c", level=0.5)
    driver.clock("sla.clock.warning.v1", "c", level=0.8)
    driver.clock("sla.clock.warning.v1", "c", level=0.9)
    assert views.tasks(driver.core)[0][1]["priority"] == 6
    driver.clock("sla.clock.breached.v1", "c", detected_lag_s=0)
    assert offered(driver, "sam") == ["c"]
    assert views.tasks(driver.core)[0][1]["escalation"]["fired"] == ["waited", "risk", "late"]


def test_a_silent_agent_loses_the_task_in_its_place() -> None:
    level = {"name": "silent", "when": {"agent_silent_s": 300}, "do": [{"reclaim": "keep_place"}]}
    driver = centre({"a": {}, "b": {}})
    driver.put("escalation", "l", levels=[level])
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}], "escalation": "l"}])
    come(driver, "a")
    driver.say("c")
    task = accept(driver, "a")
    come(driver, "b")
    driver.wait(200)
    driver.say("c", direction="outbound", author={"role": "agent"})
    driver.wait(200)
    driver.say("c", "hello?")
    driver.wait(200)
    driver.say("c", "still there?")
    driver.wait(99)
    assert offered(driver, "b") == []
    driver.wait(1)
    assert offered(driver, "b") == ["c"]
    driver.command(cmd.AcceptOffer(agent="b", offer=work(driver, "b")["offers"][0]["id"]))
    assert driver.core.tasks[task].agent_id == "b"


def test_while_behind_nothing_is_offered_and_nobody_is_blamed() -> None:
    driver = centre({"a": {"capacity": 30}}, offer={"ttl_s": 20, "misses_before_away": 1})
    come(driver, "a")
    driver.say("first")
    driver.lifecycle(BEHIND)
    driver.now_us += 60_000_000
    driver.say("second")
    assert driver.types() == ["task.created"]
    assert driver.core.wake_at_us() is None
    driver.lifecycle(LIVE)
    assert driver.types() == ["offer.expired", "offer.created", "task.estimate"]
    assert offered(driver, "a") == ["first"]
    assert work(driver, "a")["agent"]["presence"]["status"] == "available"


def test_steps_time_out_into_the_next_queue_but_not_beneath_an_open_offer() -> None:
    steps = [{"queue": "main", "timeout_s": 10}, {"queue": "more", "keep_previous": True}]
    driver = centre({"a": {"queues": [{"queue": "main"}]}, "b": {}}, offer={"ttl_s": 15})
    driver.put("queue", "more")
    driver.put("agent", "b", channels={"chat": 1}, queues=[{"queue": "more"}])
    driver.put("policy", "default", rules=[{"steps": steps}])
    come(driver, "a", "b")
    driver.say("c")
    driver.wait(14)
    assert (offered(driver, "a"), offered(driver, "b")) == (["c"], [])
    driver.wait(1)
    assert offered(driver, "b") == ["c"]


def test_explanations_agree_with_what_happened() -> None:
    driver = centre({"a": {}, "b": {"skills": {"x": 1}}}, {"require": [{"skill": "x"}]})
    driver.say("c")
    task = views.tasks(driver.core)[0][1]["id"]
    shown = explanation.explain_task(driver.core, task)
    assert shown["candidates"]["total"] == 2
    assert shown["candidates"]["admissible"] == 0
    desk, found = driver.core.desks["b"], driver.core.tasks[task]
    failed = [c.kind for c in capacity.conditions(driver.core, found, desk) if not c.passed]
    assert failed == ["presence"]
    assert all(isinstance(key, PoolKey) for key in driver.core.pools)


@pytest.mark.parametrize("seed", range(3))
def test_the_first_of_all_is_found_by_places_alone_as_by_a_closer_look(seed: int) -> None:
    life, found = Life(seed), 0
    for _ in range(250):
        life.step()
        ws = life.driver.core
        for desk in ws.desks.values():
            room = list(desk.config.channels)
            task = dispatch.by_closer_look(ws, desk, room)
            assert dispatch.foremost(ws, desk, room) is task
            found += task is not None
    assert found > 50
