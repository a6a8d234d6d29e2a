"""Who may get whose work: agents named or excluded, never-pair lists, preferred skills, cool-downs."""

import pytest

from services.router.domain import capacity, explanation, invariants, lifecycle, views, workspace
from services.router.domain import commands as cmd
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE
from shared.contracts.problems import Refused
from tests.unit.router_centre import (
    accept,
    answer,
    centre,
    come,
    complete,
    decline,
    has,
    leave,
    offered,
    task_of,
    work,
)

KIM = {"identities": [{"scheme": "email", "value": "kim@example.org"}]}
HER = [{"scheme": "email", "value": "kim@example.org"}]


def test_agents_are_required_or_excluded_by_name():
    driver = centre({"ana": {}, "ben": {}, "cleo": {}}, {"require": [{"agents": ["ben", "ana"]}]})
    come(driver, "ana", "ben", "cleo")
    driver.say("c1")
    assert offered(driver, "ana") == ["c1"]
    driver.put(
        "policy",
        "default",
        rules=[{"steps": [{"queue": "main"}], "require": [{"not_agents": ["ana", "ben"]}]}],
    )
    driver.say("c2")
    assert offered(driver, "cleo") == ["c2"]
    asks = [item["text"] for item in task_of(driver, "c2")["requires"]]
    assert asks == ["agent is not ana or ben"]


def test_a_customer_is_never_paired_with_an_agent():
    driver = come(centre({"ana": {}, "ben": {}}), "ana")
    driver.put("customer", "kim", never_pair=["ana"], **KIM)
    driver.say("c1", identities=HER)
    assert offered(driver, "ana") == []
    found = explanation.explain_task(driver.core, task_of(driver, "c1")["id"])
    assert found["candidates"]["by_reason"]["never_pair"] == 1
    for command in (
        cmd.AssignTask(task=task_of(driver, "c1")["id"], to="ana"),
        cmd.TransferTask(task=task_of(driver, "c1")["id"], to=cmd.TransferTo(agent="ana")),
    ):
        with pytest.raises(Refused, match="never paired"):
            driver.command(command)
    driver.put("customer", "kim", **KIM)
    assert offered(driver, "ana") == ["c1"]
    driver.put("customer", "kim", never_pair=["ana"], **KIM)
    assert offered(driver, "ana") == [], "the offer that was open is revoked"
    assert [one["reason"] for one in driver.found("offer.revoked")] == ["never_pair"]
    come(driver, "ben")
    assert offered(driver, "ben") == ["c1"]


def test_of_several_offers_only_that_to_whom_is_never_paired_is_revoked():
    driver = come(centre({"ana": {}, "ben": {}, "cleo": {}}, offer={"parallel": 2}), "ana", "ben")
    driver.put("customer", "kim", **KIM)
    driver.say("c1", identities=HER)
    come(driver, "cleo")
    driver.put("customer", "kim", never_pair=["ana"], **KIM)
    assert (offered(driver, "ana"), offered(driver, "ben")) == ([], ["c1"])
    assert offered(driver, "cleo") == ["c1"]
    assert task_of(driver, "c1")["state"] == "reserved"


def test_a_warm_transfers_offer_is_revoked_and_who_has_the_work_keeps_it():
    driver = come(centre({"ana": {}, "ben": {}}), "ana")
    driver.put("customer", "kim", **KIM)
    driver.say("c1", identities=HER)
    name = accept(driver, "ana")
    come(driver, "ben")
    driver.command(cmd.TransferTask(task=name, to=cmd.TransferTo(agent="ben"), mode="warm"))
    assert offered(driver, "ben") == ["c1"]
    driver.put("customer", "kim", never_pair=["ana", "ben"], **KIM)
    assert offered(driver, "ben") == [] and has(driver, "ana") == ["c1"]
    assert invariants.check(driver.core) == []


def test_preferred_skills_put_agents_in_order_and_rule_nobody_out():
    rule = {"require": [{"skill": "de", "level": 4, "preferred": True}]}
    driver = centre({"ana": {"skills": {"de": 3}}, "ben": {"skills": {"de": 4}}, "cleo": {}}, rule)
    come(driver, "ana", "ben", "cleo")
    driver.say("c1")
    driver.say("c2")
    assert offered(driver, "ben") == ["c1", "c2"]
    leave(driver, "ben")
    assert sorted(offered(driver, "ana") + offered(driver, "cleo")) == ["c1", "c2"]
    assert task_of(driver, "c1")["requires"][0]["text"] == "de >= 4 preferred"
    assert invariants.check(driver.core) == []


def test_each_outcome_has_its_own_cool_down():
    cools = {"declined_s": 10, "missed_s": 30, "requeued_s": 5}
    driver = come(centre({"ana": {}}, offer={"cool_down": cools, "cool_down_s": 99}), "ana")
    driver.say("c1")
    decline(driver, "ana")
    driver.wait(9.9)
    assert offered(driver, "ana") == []
    driver.wait(0.2)
    assert offered(driver, "ana") == ["c1"]
    driver.wait(20)
    assert offered(driver, "ana") == []
    driver.wait(29.8)
    assert offered(driver, "ana") == []
    driver.wait(0.3)
    task = accept(driver, "ana")
    driver.command(cmd.RequeueTask(task=task))
    driver.wait(4.9)
    assert offered(driver, "ana") == []
    driver.wait(0.2)
    assert offered(driver, "ana") == ["c1"]


def test_a_hard_preference_holds_on_reopening_too():
    prefer = {"agent": "last", "hard": True, "reopen_within_s": 600}
    driver = come(centre({"ana": {}, "ben": {}}, {"prefer": prefer}), "ana")
    driver.say("c1")
    complete(driver, accept(driver, "ana"))
    leave(driver, "ana")
    come(driver, "ben")
    driver.say("c1", "again")
    driver.wait(300)
    assert offered(driver, "ben") == []
    come(driver, "ana")
    assert offered(driver, "ana") == ["c1"]


def test_completed_tasks_that_may_reopen_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lifecycle, "REOPENABLE_TASKS_MAX", 3)
    driver = come(centre({"ana": {}}, {"prefer": {"reopen_within_s": 9999}}), "ana")
    for number in range(5):
        driver.say(f"c{number}")
        complete(driver, accept(driver, "ana"))
    assert sorted(driver.core.tasks) == sorted(driver.core.reopenable)
    assert [task["conversation_id"] for _, task in views.tasks(driver.core)] == ["c2", "c3", "c4"]
    driver.say("c0", "too late")
    assert driver.types()[0] == "task.created"
    driver.say("c4", "in time")
    assert driver.types()[0] == "task.reopened"
    assert list(driver.core.reopenable.values()) == [None] * 2
    fresh = RouterFactory().create(WORKSPACE, 1)
    fresh.load(driver.core.dump())
    assert fresh.last_seq and list(fresh.reopenable) == list(driver.core.reopenable)
    assert workspace.REOPENABLE_TASKS_MAX > 3


# -- after assignment


def test_a_silent_agent_loses_the_task_any_number_of_times_and_messages_restart_nothing():
    driver = centre({"ana": {}, "ben": {}}, response={"limit_s": 100}, offer={"auto_accept": True})
    come(driver, "ana", "ben")
    driver.say("c1")
    for number in range(4):
        agent, other = ("ana", "ben") if number % 2 == 0 else ("ben", "ana")
        driver.wait(60)
        driver.say("c1", "hello?")
        assert has(driver, agent) == ["c1"]
        driver.wait(39.8)
        assert has(driver, agent) == ["c1"]
        driver.wait(0.2)
        assert has(driver, agent) == [] and has(driver, other) == ["c1"]
    reasons = [event["reason"] for event in driver.found("task.requeued")]
    assert reasons == ["no_response"] * 4
    answer(driver, "c1", "ana")
    driver.wait(1000)
    assert len(driver.found("task.requeued")) == 4


def test_the_response_timer_rests_while_held_and_in_wrap_up():
    driver = centre({"ana": {}}, response={"limit_s": 50}, wrap_up={"limit_s": 500})
    come(driver, "ana")
    driver.say("c1")
    task = accept(driver, "ana")
    driver.command(cmd.HoldTask(task=task, reason="lookup"))
    driver.wait(80)
    assert has(driver, "ana") == ["c1"]
    driver.command(cmd.ResumeTask(task=task))
    driver.wait(49)
    assert has(driver, "ana") == ["c1"]
    complete(driver, task)
    driver.wait(200)
    assert driver.found("task.requeued") == []


# -- bots first


def test_a_bot_hands_over_in_place_with_what_it_learned():
    driver = centre({"helper": {"kind": "bot", "skills": {"triage": 5}}, "ana": {}})
    rules = [
        {"when": "has(task.attributes.intent)", "steps": [{"queue": "main"}],
         "require": [{"cel": 'agent.kind == "human"'}]},
        {"steps": [{"queue": "main"}], "require": [{"skill": "triage"}]},
    ]  # fmt: skip
    driver.put("policy", "default", rules=rules)
    come(driver, "helper")
    driver.say("c1")
    since = task_of(driver, "c1")["waiting_since"]
    task = accept(driver, "helper")
    driver.wait(30)
    driver.command(
        cmd.TransferTask(
            task=task,
            agent="helper",
            to=cmd.TransferTo(policy="default"),
            note="wants a refund",
            attributes={"intent": "refund"},
        )
    )
    come(driver, "ana")
    shown = work(driver, "ana")["offers"][0]
    assert (shown["note"], shown["attributes"]) == ("wants a refund", {"intent": "refund"})
    assert task_of(driver, "c1")["waiting_since"] == since
    complete(driver, accept(driver, "ana"))
    assert driver.found("task.completed")[-1]["deflected"] is False


def test_what_a_bot_settles_alone_is_deflected():
    driver = come(centre({"helper": {"kind": "bot"}}), "helper")
    driver.say("c1")
    complete(driver, accept(driver, "helper"))
    assert driver.found("task.completed")[-1]["deflected"] is True


# -- policies that change


def test_waiting_tasks_keep_or_take_an_edited_policy():
    driver = come(centre({"ana": {"capacity": 30}, "ben": {"queues": []}}), "ana", "ben")
    driver.put("queue", "other")
    driver.say("c1")  # reserved
    driver.say("c2")  # pending
    rules = [{"steps": [{"queue": "other"}], "priority": 7, "name": "new"}]
    driver.put("policy", "default", rules=rules)
    assert [task_of(driver, name)["queue"] for name in ("c1", "c2")] == ["main", "main"]
    driver.put("policy", "default", on_edit="take", rules=rules)
    for name in ("c1", "c2"):
        task = task_of(driver, name)
        assert (task["queue"], task["priority"], task["policy"]["rule"]) == ("other", 7, "new")
    assert offered(driver, "ana") == ["c1"], "an open offer goes on"
    assert [e["by"] for e in driver.found("task.priority_changed")] == ["policy"] * 2
    assert invariants.check(driver.core) == []


def test_parallel_offers_and_losers():
    driver = come(centre({"a": {}, "b": {}, "c": {}}, offer={"parallel": 2}), "a", "b", "c")
    driver.say("c1")
    assert [offered(driver, name) for name in "abc"] == [["c1"], ["c1"], []]
    loser = work(driver, "b")["offers"][0]["id"]
    decline(driver, "a")
    assert [offered(driver, name) for name in "abc"] == [[], ["c1"], ["c1"]]
    accept(driver, "c")
    assert [e["reason"] for e in driver.found("offer.revoked")] == ["taken"]
    with pytest.raises(Refused) as refused:
        driver.command(cmd.AcceptOffer(agent="b", offer=loser))
    assert refused.value.reason == "taken"
    assert all(capacity.free_for(driver.core, driver.core.desks[n], "chat") for n in "ab")
