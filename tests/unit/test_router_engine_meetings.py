"""Where features meet: reopening, transfers, merges, limits, call-backs and edits, one within another."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain import invariants
from services.router.domain.evaluate import evaluate
from services.router.driver import Driver
from services.router.evaluation import EvaluationBody, read_evaluation
from shared.contracts.problems import Refused
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

KIM = [{"scheme": "crm", "value": "kim"}]
SECOND_US = 1_000_000


def customer(driver: Driver, name: str, *never: str) -> None:
    identities = [{"scheme": "crm", "value": name}]
    driver.put("customer", name, identities=identities, never_pair=list(never))


def transfer(driver: Driver, thread: str, mode: Any = "blind", **to: str) -> dict[str, Any]:
    name = task_of(driver, thread)["id"]
    return driver.command(cmd.TransferTask(task=name, to=cmd.TransferTo(**to), mode=mode))


# -- limits of queues


def test_a_transfer_is_let_into_a_full_queue() -> None:
    driver = come(centre({"ana": {"channels": {"chat": 1}}}, limit={"waiting": 0}), "ana")
    driver.say("c1")
    accept(driver, "ana")
    leave(driver, "ana", "away")
    assert transfer(driver, "c1", queue="main")["state"] == "pending"
    driver.say("c2")
    assert task_of(driver, "c2")["reason"] == "queue_full"


def test_a_transfer_to_a_busy_agent_waits_for_him_though_the_queue_is_full() -> None:
    one_chat = {"channels": {"chat": 1}}
    driver = come(centre({"ana": one_chat, "ben": one_chat}, limit={"waiting": 0}), "ana", "ben")
    for thread in ("c1", "c2"):
        driver.say(thread)
    accept(driver, "ana")
    accept(driver, "ben")
    first = task_of(driver, "c1")["agent_id"]
    assert transfer(driver, "c1", agent="ben" if first == "ana" else "ana")["state"] == "pending"


def test_a_call_back_is_let_into_a_full_queue_when_its_time_has_come() -> None:
    driver = centre({}, limit={"waiting": 0})
    later = driver.now_us + 60 * SECOND_US
    driver.command(cmd.CreateTask(channel="chat", conversation_id="c1", not_before_us=later))
    driver.wait(61)
    assert task_of(driver, "c1")["state"] == "pending"


def test_an_edited_policy_moves_waiting_work_into_a_full_queue_and_cancels_none() -> None:
    driver = centre({})
    driver.put("queue", "small", limit={"waiting": 1})
    for number in range(3):
        driver.say(f"c{number}")
    rules = [{"steps": [{"queue": "small"}]}]
    driver.put("policy", "default", on_edit="take", rules=rules)
    assert [task_of(driver, f"c{n}")["queues"] for n in range(3)] == [["small"]] * 3
    assert {task_of(driver, f"c{n}")["state"] for n in range(3)} == {"pending"}


def test_a_reopened_task_is_subject_to_the_limit_again() -> None:
    driver = come(centre({"ana": {}}, {"prefer": {"reopen_within_s": 900}}, limit={"waiting": 0}),
                  "ana")  # fmt: skip
    driver.say("c1")
    accept(driver, "ana")
    assert transfer(driver, "c1", queue="main")["state"] == "pending"
    driver.wait(61)
    complete(driver, accept(driver, "ana"))
    leave(driver, "ana")
    driver.say("c1")
    assert task_of(driver, "c1")["reason"] == "queue_full"


# -- reopening


def test_a_customer_is_not_reopened_to_an_agent_he_is_never_paired_with_since() -> None:
    prefer = {"hold_s": 30, "reopen_within_s": 900}
    driver = come(centre({"ana": {}}, {"prefer": prefer}), "ana")
    customer(driver, "kim")
    driver.say("c1", identities=KIM)
    complete(driver, accept(driver, "ana"))
    customer(driver, "kim", "ana")
    driver.say("c1", identities=KIM)
    assert (task_of(driver, "c1")["state"], offered(driver, "ana")) == ("pending", [])
    assert invariants.check(driver.core) == []


def test_what_was_completed_on_hold_is_not_on_hold_when_it_reopens() -> None:
    driver = come(centre({"ana": {}}, {"prefer": {"reopen_within_s": 900}}), "ana")
    settings = {"channels": {"chat": {"cost": 30, "held_cost": 0}}}
    driver.config("workspace", "acme", 2, settings)
    driver.say("c1")
    name = accept(driver, "ana")
    driver.command(cmd.HoldTask(task=name, agent="ana", reason="parts"))
    complete(driver, name)
    assert task_of(driver, "c1")["held"] is False
    driver.say("c1")
    accept(driver, "ana")
    assert work(driver, "ana")["agent"]["load"]["used"] == 30


def ladder_of_two_steps() -> Driver:
    driver = come(centre({"ana": {}}), "ana")
    driver.put("queue", "more")
    levels = [{"name": "waited", "when": {"waiting_s": 10}, "do": [{"raise_priority": 5}]}]
    driver.put("escalation", "up", levels=levels)
    rule: dict[str, Any] = {
        "priority": 2,
        "escalation": "up",
        "prefer": {"reopen_within_s": 900},
        "steps": [{"queue": "main", "timeout_s": 20}, {"queue": "more", "keep_previous": True}],
    }
    driver.put("policy", "default", rules=[rule])
    return driver


def test_a_reopened_task_waits_in_all_queues_of_its_step() -> None:
    driver = ladder_of_two_steps()
    leave(driver, "ana")
    driver.say("c1")
    driver.wait(30)
    assert task_of(driver, "c1")["queues"] == ["main", "more"]
    come(driver, "ana")
    complete(driver, accept(driver, "ana"))
    driver.say("c1")
    assert task_of(driver, "c1")["queues"] == ["main", "more"]


def test_a_queue_that_a_ladder_added_while_an_agent_had_the_task_is_waited_in_once_he_gives_it_back():
    driver = centre({"ana": {}})
    driver.put("queue", "spare")
    driver.put("agent", "sam", channels={"chat": 9}, queues=[{"queue": "spare"}])
    level = {"name": "silent", "when": {"agent_silent_s": 30}, "do": [{"add_queue": "spare"}]}
    driver.put("escalation", "up", levels=[level])
    rules = [{"escalation": "up", "steps": [{"queue": "main"}]}]
    driver.put("policy", "default", rules=rules)
    come(driver, "ana")
    driver.say("c1")
    name = accept(driver, "ana")
    driver.wait(31)
    assert (has(driver, "ana"), task_of(driver, "c1")["queues"]) == (["c1"], ["main", "spare"])
    leave(driver, "ana", "away")
    come(driver, "sam")
    driver.command(cmd.RequeueTask(task=name, agent="ana"))
    assert offered(driver, "sam") == ["c1"]
    assert invariants.check(driver.core) == []


def test_what_ladders_added_to_a_priority_lasts_for_the_cycle() -> None:
    driver = ladder_of_two_steps()
    for _ in range(3):
        leave(driver, "ana")
        driver.say("c1")
        assert task_of(driver, "c1")["priority"] == 2
        driver.wait(12)
        assert task_of(driver, "c1")["priority"] == 7
        come(driver, "ana")
        complete(driver, accept(driver, "ana"))
    changes = [(one["from"], one["to"]) for one in driver.found("task.priority_changed")]
    assert changes == [(2, 7), (7, 2), (2, 7), (7, 2), (2, 7)]
    assert {one["by"] for one in driver.found("task.priority_changed")} == {"escalation"}


def test_a_priority_set_by_hand_outlasts_the_cycle() -> None:
    driver = ladder_of_two_steps()
    leave(driver, "ana")
    driver.say("c1")
    driver.wait(12)
    driver.command(cmd.ReprioritizeTask(task=task_of(driver, "c1")["id"], priority=9))
    come(driver, "ana")
    complete(driver, accept(driver, "ana"))
    driver.say("c1")
    assert task_of(driver, "c1")["priority"] == 9


# -- queues that go


def test_a_queue_that_waiting_work_will_come_to_is_not_deleted() -> None:
    driver = ladder_of_two_steps()
    leave(driver, "ana")
    driver.say("c1")
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}]}])
    with pytest.raises(Refused, match="a step of theirs"):
        driver.command(cmd.DeleteResource(resource="queue", id="more"))


def test_a_queue_that_others_send_work_to_is_not_deleted() -> None:
    driver = centre({})
    gone = cmd.DeleteResource(resource="queue", id="spare")
    driver.put("queue", "spare")
    driver.put("queue", "main", limit={"waiting": 0, "overflow_to": "spare"})
    with pytest.raises(Refused, match="'main' overflows to"):
        driver.command(gone)
    driver.put("queue", "main")
    level = {"name": "more", "when": {"waiting_s": 5}, "do": [{"add_queue": "spare"}]}
    driver.put("escalation", "up", levels=[level])
    with pytest.raises(Refused, match="escalation 'up' names"):
        driver.command(gone)
    driver.put("escalation", "up", levels=[])
    assert driver.command(gone) == {"id": "spare"}


def test_a_task_that_reopens_after_its_queue_is_gone_is_planned_anew() -> None:
    driver = ladder_of_two_steps()
    driver.say("c1")
    complete(driver, accept(driver, "ana"))
    driver.put("queue", "new")
    driver.put("policy", "default", rules=[{"steps": [{"queue": "new"}]}])
    for name in ("main", "more"):
        driver.command(cmd.DeleteResource(resource="queue", id=name))
    driver.say("c1")
    assert (task_of(driver, "c1")["queues"], offered(driver, "ana")) == (["new"], ["c1"])
    assert set(driver.core.pending.values()) == {0}
    assert invariants.check(driver.core) == []


# -- who is preferred


@pytest.mark.parametrize("mode", ["blind", "warm"])
@pytest.mark.parametrize("prefer", [{"hold_s": 30}, {"hard": True}])
def test_who_transfers_to_a_policy_is_not_preferred_by_it(mode: str, prefer: dict) -> None:
    driver = come(centre({"ana": {}, "ben": {}}), "ana")
    driver.put("policy", "tech", rules=[{"steps": [{"queue": "main"}], "prefer": prefer}])
    driver.say("c1")
    accept(driver, "ana")
    come(driver, "ben")
    transfer(driver, "c1", mode=mode, policy="tech")
    assert offered(driver, "ben") == ["c1"]


def test_a_hold_ends_when_a_warm_transfer_is_accepted() -> None:
    driver = come(centre({"ana": {}, "ben": {}}), "ana")
    settings = {"channels": {"chat": {"cost": 30, "held_cost": 0}}}
    driver.config("workspace", "acme", 2, settings)
    driver.say("c1")
    name = accept(driver, "ana")
    come(driver, "ben")
    driver.command(cmd.HoldTask(task=name, agent="ana", reason="consult"))
    transfer(driver, "c1", mode="warm", agent="ben")
    assert task_of(driver, "c1")["held"] is True
    accept(driver, "ben")
    assert driver.types() == ["offer.accepted", "task.assigned", "task.resumed"]
    assert driver.found("task.resumed")[0]["agent_id"] == "ben"
    assert work(driver, "ben")["agent"]["load"]["used"] == 30
    assert invariants.check(driver.core) == []


def test_an_edited_policy_does_not_hold_work_for_who_has_refused_it() -> None:
    rule: dict[str, Any] = {"steps": [{"queue": "main"}], "prefer": {"agent": "ana", "hold_s": 30}}
    driver = come(centre({"ana": {}, "ben": {}}, rule), "ana")
    driver.say("c1")
    [offer] = work(driver, "ana")["offers"]
    driver.command(cmd.DeclineOffer(agent="ana", offer=offer["id"]))
    driver.put("policy", "default", on_edit="take", rules=[{**rule, "priority": 1}])
    come(driver, "ben")
    assert offered(driver, "ben") == ["c1"]


def test_work_is_kept_no_longer_for_who_is_never_paired_with_the_customer_since() -> None:
    rule = {"prefer": {"agent": "ana", "hard": True}}
    driver = come(centre({"ana": {}, "ben": {}}, rule), "ben")
    customer(driver, "kim")
    driver.say("c1", identities=KIM)
    assert offered(driver, "ben") == []
    customer(driver, "kim", "ana")
    assert offered(driver, "ben") == ["c1"]


# -- ladders and plans


def two_policies(ladder: str | None) -> Driver:
    """`default` with the ladder `up`, and `tech` with another one, which asks for German."""
    driver = centre({"ana": {}, "ben": {"skills": {"de": 3}}})
    waited = {"name": "waited", "when": {"waiting_s": 5}}
    driver.put("escalation", "up", levels=[{**waited, "do": [
        {"raise_priority": 5}, {"drop_requirement": "de"}, {"relax": "all"}]}])  # fmt: skip
    driver.put("escalation", "other", levels=[{**waited, "do": [{"raise_priority": 2}]}])
    rule: dict[str, Any] = {"steps": [{"queue": "main"}], "priority": 1}
    driver.put("policy", "default", on_edit="take", rules=[{**rule, "escalation": "up"}])
    german = {**rule, "require": [{"skill": "de", "level": 3}], "escalation": ladder}
    driver.put("policy", "tech", rules=[german])
    driver.say("c1")
    driver.wait(6)
    assert task_of(driver, "c1")["priority"] == 6
    return driver


@pytest.mark.parametrize(("ladder", "fired", "priority"), [("other", ["waited"], 3), (None, [], 1)])
def test_a_policy_with_another_ladder_begins_it_and_asks_what_it_asks(
    ladder: str | None, fired: list[str], priority: float
) -> None:
    driver = two_policies(ladder)
    transfer(driver, "c1", policy="tech")
    driver.wait(1)
    task = task_of(driver, "c1")
    assert task["escalation"] == {"ladder": ladder, "fired": fired}
    assert (task["priority"], task["requires"][0]["text"]) == (priority, "de >= 3")
    come(driver, "ana")
    assert offered(driver, "ana") == []


def test_a_policy_that_a_task_is_transferred_to_tells_its_priority() -> None:
    driver = two_policies(None)
    transfer(driver, "c1", policy="tech")
    [_, told] = driver.found("task.priority_changed")
    assert (told["from"], told["to"], told["by"]) == (6, 1, "policy")


def test_what_a_ladder_added_stands_when_its_policy_is_edited() -> None:
    driver = two_policies(None)
    rule = {"steps": [{"queue": "main"}], "priority": 2, "escalation": "up"}
    driver.put("policy", "default", on_edit="take", rules=[rule])
    task = task_of(driver, "c1")
    assert (task["priority"], task["escalation"]["fired"]) == (7, ["waited"])


# -- merges


def test_what_came_while_customers_were_merged_is_each_ones_own_after_the_undoing() -> None:
    driver = centre({"ana": {}})
    customer(driver, "kim", "ana")
    customer(driver, "lee")
    driver.command(cmd.MergeCustomer(customer="kim", into="lee"))
    driver.say("c1", identities=KIM)
    assert task_of(driver, "c1")["customer_id"] == "lee"
    driver.command(cmd.UnmergeCustomer(customer="kim"))
    come(driver, "ana")
    assert (task_of(driver, "c1")["customer_id"], offered(driver, "ana")) == ("kim", [])


# -- call-backs and presence


def test_who_has_written_is_answered_also_after_the_window_of_his_call_back() -> None:
    driver = centre({})
    start = driver.now_us
    driver.command(
        cmd.CreateTask(
            channel="chat",
            conversation_id="c1",
            not_before_us=start + 60 * SECOND_US,
            not_after_us=start + 600 * SECOND_US,
        )
    )
    driver.wait(100)
    driver.say("c1")
    driver.wait(600)
    assert (task_of(driver, "c1")["state"], task_of(driver, "c1")["not_after"]) == ("pending", None)


def test_going_offline_in_other_words_does_not_begin_the_orphans_time_anew() -> None:
    driver = come(centre({"ana": {}}, orphans={"after_s": 120}), "ana")
    driver.say("c1")
    accept(driver, "ana")
    driver.lifecycle(cmd.PRESENCE_LAPSED, agent="ana")
    driver.wait(100)
    driver.command(cmd.SetPresence(agent="ana", status="offline", reason="home"))
    driver.wait(21)
    assert task_of(driver, "c1")["state"] == "pending"


# -- what is tried, and what then happens


def tried(driver: Driver, **body: Any) -> dict[str, Any]:
    [found] = evaluate(driver.core, read_evaluation(EvaluationBody(**body)))["results"]
    return found


def by_language() -> Driver:
    driver = come(centre({"ana": {}}), "ana")
    steps = [{"queue": "main"}]
    german = {"name": "german", "when": 'task.language == "de"', "steps": steps}
    driver.put(
        "policy", "default", rules=[german, {"name": "other", "priority": 3, "steps": steps}]
    )
    identities = [{"scheme": "crm", "value": "kim"}]
    driver.put("customer", "kim", language="de", identities=identities, never_pair=["ana"])
    return driver


@pytest.mark.parametrize("whose", [{"customer_id": "kim"}, {"conversation_id": "c9"}])
def test_a_task_is_evaluated_as_it_would_be_created(whose: dict[str, str]) -> None:
    driver = by_language()
    task = {"channel": "chat", "kind": "call_back", "priority": 7, **whose}
    seen = tried(driver, tasks=[task])
    made = driver.command(cmd.CreateTask(**task))
    assert (seen["rule"], seen["priority"]) == (made["policy"]["rule"], made["priority"])
    assert seen["rule"] == ("german" if "customer_id" in whose else "other")


@pytest.mark.parametrize(("given", "rule"), [(5.0, "six"), (5, "six"), (5.5, None)])
def test_rules_count_with_a_whole_priority_however_it_came(given: float, rule: str | None) -> None:
    driver = come(centre({"ana": {}}), "ana")
    six = {"name": "six", "when": "task.priority + 1 == 6", "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[six])
    driver.put("customer", "kim", identities=[{"scheme": "crm", "value": "kim"}])
    made = driver.command(cmd.CreateTask(channel="chat", customer_id="kim", priority=given))
    assert (made["policy"]["rule"], made["priority"]) == (rule, given)


def test_an_event_of_a_known_conversation_is_evaluated_with_its_language_and_customer() -> None:
    driver = by_language()
    driver.say("c1", language="de", identities=KIM)
    driver.command(cmd.CancelTask(task=task_of(driver, "c1")["id"]))
    seen = tried(driver, events=[{"channel": "chat", "conversation_id": "c1", "text": "again"}])
    driver.say("c1", "again")
    assert seen["rule"] == task_of(driver, "c1")["policy"]["rule"] == "german"
    assert seen["agents"] == offered(driver, "ana") == []


def test_rules_read_the_priority_that_a_task_is_created_with() -> None:
    driver = centre({})
    urgent = {"name": "urgent", "when": "task.priority >= 5", "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[urgent])
    made = driver.command(cmd.CreateTask(channel="chat", conversation_id="c1", priority=6))
    assert (made["policy"]["rule"], made["priority"]) == ("urgent", 6)
