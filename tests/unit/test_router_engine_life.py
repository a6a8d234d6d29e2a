"""The life of a task: what opens one, what happens to it, and what each command does (DESIGN §2)."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain import invariants, views
from services.router.driver import Driver
from shared.contracts import interactions
from shared.contracts.problems import Refused


def office(queue: dict[str, Any] | None = None, rule: dict[str, Any] | None = None) -> Driver:
    """One queue, one rule, two agents who take everything."""
    driver = Driver()
    driver.put("queue", "main", **(queue or {}))
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}], **(rule or {})}])
    for agent in ("ana", "ben"):
        driver.put("agent", agent, channels={"chat": 3, "email": 5, "phone": 1})
    return driver


def present(driver: Driver, *agents: str) -> Driver:
    for agent in agents:
        driver.command(cmd.SetPresence(agent=agent, status="available"))
    return driver


def work(driver: Driver, agent: str) -> dict[str, Any]:
    return views.work(driver.core, agent)[1]


def offer_of(driver: Driver, agent: str) -> str:
    return work(driver, agent)["offers"][0]["id"]


def accept(driver: Driver, agent: str) -> dict[str, Any]:
    return driver.command(cmd.AcceptOffer(agent=agent, offer=offer_of(driver, agent)))


def task(driver: Driver, number: int = 1) -> dict[str, Any]:
    return next(shown for n, shown in views.tasks(driver.core) if n == number)


def refused(driver: Driver, command: cmd.Command) -> Refused:
    before = driver.core.dump()
    with pytest.raises(Refused) as caught:
        driver.command(command)
    assert driver.core.dump() == before
    return caught.value


def test_a_message_becomes_a_task_is_offered_accepted_completed() -> None:
    driver = present(office(), "ana")
    driver.say("c1", ago_s=5)
    assert driver.types() == ["task.created", "offer.created"]
    shown = work(driver, "ana")
    assert shown["agent"]["load"] == {"used": 30, "capacity": 100, "channels": {"chat": 1}}
    assert shown["offers"][0]["waited_s"] == 5
    assert accept(driver, "ana")["state"] == "assigned"
    assert driver.types() == ["offer.accepted", "task.assigned"]
    driver.wait(60)
    done = driver.command(cmd.CompleteTask(task=task(driver)["id"], agent="ana", disposition="ok"))
    assert done["state"] == "completed"
    assert driver.found("task.completed")[0]["handle_s"] == 60
    assert work(driver, "ana")["agent"]["load"]["used"] == 0
    assert not invariants.check(driver.core)


@pytest.mark.parametrize(
    "more",
    [
        {"name": interactions.MESSAGE_EDITED, "replaces_message_id": "msg_x"},
        {"name": interactions.MESSAGE_DELETED, "replaces_message_id": "msg_x"},
        {"name": interactions.CONVERSATION_STARTED},
        {"name": interactions.DELIVERY_STATUS},
        {"replay_of": "evt_1"},
        {"direction": "outbound", "author": {"role": "agent"}},
        {"author": {"role": "bot"}},
        *({"flags": [flag]} for flag in sorted(interactions.SILENT_FLAGS)),
    ],
)
def test_what_opens_no_task(more: dict[str, Any]) -> None:
    driver = present(office(), "ana")
    driver.say("c1", **more)
    assert driver.last.events == []
    assert views.tasks(driver.core) == []


def test_a_final_transcript_segment_counts_as_a_message() -> None:
    driver = present(office(), "ana")
    driver.say("c1", channel="phone", name=interactions.TRANSCRIPT_SEGMENT)
    assert "task.created" in driver.types()


def test_an_edit_that_comes_early_is_kept_until_its_message() -> None:
    driver = present(office(), "ana")
    driver.say("c1", "corrected", name=interactions.MESSAGE_EDITED, replaces_message_id="msg_7")
    driver.say("c1", "wrnog", message_id="msg_7")
    assert work(driver, "ana")["offers"][0]["preview"] == "corrected"


def test_waiting_since_is_never_in_the_future() -> None:
    driver = office()
    driver.say("c1", ago_s=-3600)
    assert task(driver)["waiting_since"] == task(driver)["created_at"]


def test_one_open_task_per_conversation_and_later_messages_go_to_it() -> None:
    driver = present(office(), "ana")
    driver.say("c1")
    accept(driver, "ana")
    driver.say("c1", "and another thing")
    assert driver.types() == ["task.message"]
    assert work(driver, "ana")["tasks"][0]["unread"] == 2
    driver.say("c1", direction="outbound", author={"role": "agent"})
    assert work(driver, "ana")["tasks"][0]["unread"] == 0
    fault = refused(driver, cmd.CreateTask(channel="chat", conversation_id="c1"))
    assert (fault.kind, fault.reason) == ("conflict", "state")


def test_a_message_returns_a_wrapping_task_to_assigned() -> None:
    driver = present(office({"wrap_up": {"limit_s": 60}}), "ana")
    driver.say("c1")
    accept(driver, "ana")
    name = task(driver)["id"]
    assert driver.command(cmd.CompleteTask(task=name, agent="ana"))["state"] == "wrapping"
    driver.wait(30)
    driver.say("c1")
    assert task(driver)["state"] == "assigned"
    driver.wait(120)
    assert task(driver)["state"] == "assigned"
    driver.command(cmd.CompleteTask(task=name, agent="ana"))
    driver.wait(60)
    assert task(driver)["state"] == "completed"
    assert not invariants.check(driver.core)


def test_wrap_up_ends_with_close() -> None:
    driver = present(office({"wrap_up": {"limit_s": 60}}), "ana")
    driver.say("c1")
    accept(driver, "ana")
    name = task(driver)["id"]
    assert refused(driver, cmd.CloseTask(task=name)).reason == "state"
    driver.command(cmd.CompleteTask(task=name))
    assert work(driver, "ana")["agent"]["load"]["used"] == 30
    assert driver.command(cmd.CloseTask(task=name, tags=["t"]))["tags"] == ["t"]
    assert work(driver, "ana")["agent"]["load"]["used"] == 0


def test_what_calls_add_to_a_task_stays_within_bounds() -> None:
    driver = present(office({"wrap_up": {"limit_s": 60}, "offer": {"auto_accept": True}}), "ana")
    driver.say("c1")
    name = task(driver)["id"]
    for each in range(4):
        driver.command(cmd.CompleteTask(task=name, tags=[f"{each}-{tag}" for tag in range(50)]))
        driver.say("c1")
    fault = refused(driver, cmd.CompleteTask(task=name, tags=["one more"])).errors[0]
    assert (fault.pointer, fault.expected) == ("/tags", "at most 200 in all")
    driver.command(cmd.CompleteTask(task=name, tags=["0-0"]))
    driver.say("c1")

    def passed_on(name: str) -> cmd.TransferTask:
        to = cmd.TransferTo(queue="main")
        return cmd.TransferTask(task=task(driver)["id"], to=to, attributes={name: "x" * 200_000})

    driver.command(passed_on("a"))
    driver.command(passed_on("b"))
    assert refused(driver, passed_on("c")).errors[0].pointer == "/attributes"
    driver.command(passed_on("b"))


def test_a_completed_task_reopens_within_its_window_with_the_same_agent() -> None:
    prefer = {"agent": "last", "hold_s": 30, "reopen_within_s": 3600}
    driver = present(office(rule={"prefer": prefer}), "ana", "ben")
    driver.say("c1")
    accept(driver, "ana")
    driver.command(cmd.CompleteTask(task=task(driver)["id"]))
    driver.wait(3599)
    driver.say("c1")
    assert driver.types() == ["task.reopened", "offer.created"]
    assert offer_of(driver, "ana")
    accept(driver, "ana")
    driver.command(cmd.CompleteTask(task=task(driver)["id"]))
    driver.wait(3601)
    driver.say("c1")
    assert "task.created" in driver.types()
    assert not invariants.check(driver.core)


def test_a_cancelled_task_does_not_reopen() -> None:
    driver = office(rule={"prefer": {"reopen_within_s": 3600}})
    driver.say("c1")
    driver.command(cmd.CancelTask(task=task(driver)["id"], reason="spam"))
    driver.say("c1")
    assert "task.created" in driver.types()


@pytest.mark.parametrize(
    ("channel", "reason", "cancelled"),
    [("chat", "abandoned", True), ("chat", "ended", False), ("phone", "ended", True)],
)
def test_the_end_of_a_conversation(channel: str, reason: str, cancelled: bool) -> None:
    driver = present(office(), "ana")
    driver.say("c1", channel=channel)
    driver.say("c1", channel=channel, name=interactions.CONVERSATION_ENDED, reason=reason)
    assert (task(driver)["state"] == "cancelled") is cancelled
    if cancelled:
        assert driver.types() == ["task.cancelled", "offer.revoked"]
        assert task(driver)["reason"] == "abandoned"
        assert work(driver, "ana")["offers"] == []


def test_an_assigned_call_goes_on_after_its_end() -> None:
    driver = present(office(), "ana")
    driver.say("c1", channel="phone")
    accept(driver, "ana")
    driver.say("c1", channel="phone", name=interactions.CONVERSATION_ENDED, reason="ended")
    assert task(driver)["state"] == "assigned"


def test_a_call_back_waits_for_its_time_and_not_too_long() -> None:
    driver = present(office(), "ana")
    later, too_late = driver.now_us + 60_000_000, driver.now_us + 600_000_000
    made = driver.command(
        cmd.CreateTask(
            channel="chat", conversation_id="c1", not_before_us=later, not_after_us=too_late
        )
    )
    assert made["state"] == "scheduled"
    assert work(driver, "ana")["offers"] == []
    driver.wait(60)
    assert work(driver, "ana")["offers"][0]["task_id"] == made["id"]
    driver.command(cmd.SetPresence(agent="ana", status="away"))
    driver.wait(540)
    assert (task(driver)["state"], task(driver)["reason"]) == ("cancelled", "expired")


def test_a_message_makes_a_scheduled_task_pending() -> None:
    driver = office()
    driver.command(
        cmd.CreateTask(channel="chat", conversation_id="c1", not_before_us=driver.now_us + 10**9)
    )
    driver.say("c1")
    assert task(driver)["state"] == "pending"


def test_no_rule_waits_until_a_policy_fits() -> None:
    driver = present(Driver(), *())
    driver.say("c1")
    assert (task(driver)["state"], task(driver)["reason"]) == ("pending", "no_rule")
    driver.put("queue", "main")
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}]}])
    assert (task(driver)["queue"], task(driver)["reason"]) == ("main", None)


def test_hold_costs_less_and_ends_with_the_customers_message() -> None:
    driver = present(office(), "ana")
    driver.config("workspace", "acme", 1, {"channels": {"email": {"cost": 20, "held_cost": 0}}})
    driver.say("c1", channel="email")
    accept(driver, "ana")
    name = task(driver)["id"]
    driver.command(cmd.HoldTask(task=name, agent="ana", reason="waiting_on_customer"))
    assert work(driver, "ana")["agent"]["load"] == {"used": 0, "capacity": 100, "channels": {}}
    driver.say("c1", channel="email")
    assert driver.types() == ["task.message", "task.resumed"]
    assert work(driver, "ana")["agent"]["load"]["used"] == 20
    assert not invariants.check(driver.core)


def test_transfer_blind_to_a_queue_keeps_the_place() -> None:
    driver = present(office(), "ana")
    driver.put("queue", "second")
    driver.say("c1")
    accept(driver, "ana")
    since = task(driver)["waiting_since"]
    driver.wait(10)
    to = cmd.TransferTo(queue="second")
    moved = driver.command(cmd.TransferTask(task=task(driver)["id"], agent="ana", to=to))
    assert (moved["queues"], moved["state"]) == (["second"], "pending")
    assert moved["waiting_since"] == since
    assert work(driver, "ana")["offers"] == []  # cooling down from it
    present(driver, "ben")
    assert offer_of(driver, "ben")


def test_transfer_warm_to_an_agent_stays_until_accepted() -> None:
    driver = present(office(), "ana", "ben")
    driver.say("c1")
    accept(driver, "ana")
    name = task(driver)["id"]
    to = cmd.TransferTo(agent="ben")
    driver.command(cmd.TransferTask(task=name, agent="ana", to=to, mode="warm"))
    assert work(driver, "ana")["tasks"][0]["id"] == name
    assert accept(driver, "ben")["agent_id"] == "ben"
    assert work(driver, "ana")["tasks"] == []
    assert not invariants.check(driver.core)


def test_a_warm_transfer_that_is_declined_leaves_the_task_where_it_is() -> None:
    driver = present(office(), "ana", "ben")
    driver.say("c1")
    accept(driver, "ana")
    to = cmd.TransferTo(agent="ben")
    driver.command(cmd.TransferTask(task=task(driver)["id"], to=to, mode="warm"))
    driver.command(cmd.DeclineOffer(agent="ben", offer=offer_of(driver, "ben")))
    assert (task(driver)["state"], task(driver)["agent_id"]) == ("assigned", "ana")
    assert not invariants.check(driver.core)


def test_assign_refuses_beyond_capacity_unless_overridden() -> None:
    driver = office()
    driver.put("agent", "ana", capacity=20, channels={"chat": 1})
    driver.say("c1")
    name = task(driver)["id"]
    assert refused(driver, cmd.AssignTask(task=name, to="ana")).reason == "state"
    done = driver.command(cmd.AssignTask(task=name, to="ana", override_capacity=True))
    assert done["agent_id"] == "ana"
    assert driver.found("task.assigned")[0]["over_capacity"] is True


def test_only_the_assignee_may_act_and_versions_are_checked() -> None:
    driver = present(office(), "ana")
    driver.say("c1")
    accept(driver, "ana")
    name = task(driver)["id"]
    assert refused(driver, cmd.CompleteTask(task=name, agent="ben")).kind == "forbidden"
    assert refused(driver, cmd.CompleteTask(task=name, if_version=1)).kind == "precondition-failed"
    assert refused(driver, cmd.CompleteTask(task="tsk_no")).kind == "not-found"


def test_a_full_queue_overflows_and_then_refuses() -> None:
    driver = office({"limit": {"waiting": 1, "overflow_to": "spare"}})
    driver.put("queue", "spare", limit={"waiting": 1})
    for number in (1, 2, 3):
        driver.say(f"c{number}")
    assert [task(driver, n)["queues"] for n in (1, 2)] == [["main"], ["spare"]]
    assert (task(driver, 3)["state"], task(driver, 3)["reason"]) == ("cancelled", "queue_full")


def test_a_stale_write_of_a_resource_is_refused_and_the_same_again_changes_nothing() -> None:
    driver = office()
    assert driver.put("queue", "main", head_start_s=10)["version"] == 2
    assert driver.put("queue", "main", head_start_s=10)["version"] == 2
    assert driver.last.events == []
    gone = cmd.DeleteResource(resource="queue", id="main")
    assert refused(driver, gone).reason == "state"  # the policy names it
    stale = cmd.DeleteResource(resource="agent", id="ana", if_version=9)
    assert refused(driver, stale).kind == "precondition-failed"


def test_a_ladder_counts_declines_as_they_happen() -> None:
    levels = [{"name": "refused", "when": {"declines": 2}, "do": [{"raise_priority": 5}]}]
    driver = Driver()
    driver.put("escalation", "l", levels=levels)
    driver.put("queue", "main", offer={"cool_down_s": 0})
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}], "escalation": "l"}])
    driver.put("agent", "ana", channels={"chat": 3})
    present(driver, "ana")
    driver.say("c1")
    fired: list[list[str]] = []
    for _ in range(2):
        driver.command(cmd.DeclineOffer(agent="ana", offer=offer_of(driver, "ana")))
        fired.append(task(driver)["escalation"]["fired"])
    assert fired == [[], ["refused"]]
    assert task(driver)["priority"] == 5


def test_a_call_back_speaks_its_customers_language() -> None:
    driver = office()
    driver.put("customer", "kim", language="de")
    driver.command(cmd.CreateTask(channel="phone", customer_id="kim"))
    driver.command(cmd.CreateTask(channel="phone", customer_id="kim", language="en"))
    assert [task(driver, n)["language"] for n in (1, 2)] == ["de", "en"]
