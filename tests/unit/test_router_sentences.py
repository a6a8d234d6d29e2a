"""Explanations as sentences: what people who know no code of ours understand."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain.capacity import Condition
from services.router.domain.sentences import lack, of_ended, span
from services.router.domain.state import Task
from shared.contracts.instants import format_instant
from tests.unit.test_router_policy_explanation import SECOND, START, Scene


def task_of(state: Any, **fields: Any) -> Task:
    whole: dict[str, Any] = {"id": "tsk_1", "number": 1, "kind": "conversation", "channel": "chat"}
    return Task(**whole, state=state, conversation_id="cnv_1", **fields)


TASK = task_of("pending", customer_id="kim")


@pytest.mark.parametrize(
    ("failed", "says"),
    [
        (Condition("30 units free", 15, False, "capacity"), "it needs 30 units, 15 free"),
        (Condition("30 units free", 0, False, "capacity"), "it needs 30 units, none free"),
        (
            Condition("20 units free, 2 in wrap-up", -30, False, "wrap_up"),
            "it needs 20 units, 30 over capacity, 2 in wrap-up",
        ),
        (
            Condition("fewer than 2 of chat", 2, False, "channel_cap"),
            "2 of chat in hand, which is the limit",
        ),
        (Condition("cool-down over", 12.4, False, "cool_down"), "cooling down from it for another 12 s"),
        (Condition("may be paired with kim", False, False, "never_pair"), "never to be paired with kim"),
        (Condition("not kept for ana", "ana", False, "hold"), "it is kept for ana"),
        (Condition("not kept free for tsk_2", "tsk_2", False, "drain"), "kept free for tsk_2, which comes first"),
        (Condition("waited 60 s", 12.5, False, "delay"), "due after it has waited 60 s, so far 12 s"),
        (Condition("queue open", False, False, "closed"), "its queue is closed"),
        (Condition("queue a or b", None, False, "queue"), "does not serve the queue a or b"),
        (Condition("channel phone", 0, False, "channel"), "does not serve the channel phone"),
        (Condition("skill de >= 3", 2, False, "skill de >= 3"), "skill de >= 3 (is 2)"),
    ],
)  # fmt: skip
def test_what_an_agent_lacks_is_said_in_words(failed: Condition, says: str) -> None:
    assert lack(TASK, failed) == says


@pytest.mark.parametrize(
    ("whole_s", "says"),
    [
        (0.4, "0 s"), (380, "380 s"), (725, "12 min"), (3600, "1 h"), (11_130, "3 h 5 min"),
        (187_300, "2 d 4 h"),
    ],
)  # fmt: skip
def test_spans_are_said_as_people_say_them(whole_s: float, says: str) -> None:
    assert span(whole_s) == says


def test_ends_say_why() -> None:
    gone = task_of("cancelled", reason="abandoned")
    assert of_ended(gone) == "Cancelled: abandoned, the customer gave up."
    by_hand = task_of("cancelled", reason="spam")
    assert of_ended(by_hand) == "Cancelled: spam."


def test_what_a_rule_reads_of_the_task_stands_beside_it() -> None:
    scene = Scene()
    asks = "task.language == null || skill(task.language) >= 1 || task.attributes.topic == 'x'"
    scene.put(
        "policy", "default", {"rules": [{"require": [asks], "steps": [{"queue": "general"}]}]}
    )
    scene.agent("ben", skills={"de": 5})
    french = scene.message(language="fr")
    assert (
        "(its language is fr, its topic is billing): of 1 agents" in scene.task(french)["summary"]
    )


def test_who_it_is_kept_for_is_named_with_the_end_of_it() -> None:
    scene = Scene()
    scene.put("queue", "main", {})
    prefer = {"agent": "ana", "hold_s": 25}
    rules = [{"prefer": prefer, "steps": [{"queue": "main"}]}]
    scene.put("policy", "default", {"rules": rules})
    scene.agent("ben")
    scene.agent("ana")
    busy = scene.message()
    assert scene.task(busy)["state"] == "reserved"
    waits = scene.message(key="b")
    until = format_instant(START + 25 * SECOND)
    summary = scene.task(waits)["summary"]
    assert (
        f"for ana, who is preferred until {until}, and then for an agent with any skill" in summary
    )


def test_a_hold_says_until_when() -> None:
    scene = Scene()
    scene.agent("ana", skills={"billing": 4, "de": 4})
    task = scene.message()
    scene.command(cmd.AcceptOffer(agent="ana", offer=scene.core.tasks[task].offers[0]))
    scene.command(cmd.HoldTask(task=task, agent="ana", reason="waiting_on_customer"))
    assert (
        "on hold, waiting_on_customer, until the customer's next message"
        in (scene.task(task)["summary"])
    )


def test_a_warm_transfer_and_a_leave_to_come_are_said() -> None:
    scene = Scene()
    scene.agent("ana", skills={"billing": 4, "de": 4})
    task = scene.message()
    scene.command(cmd.AcceptOffer(agent="ana", offer=scene.core.tasks[task].offers[0]))
    scene.command(cmd.SetPresence(agent="ana", status="away", reason="lunch", after_current=True))
    assert scene.work_of("ana")["summary"] == (
        "ana has 1 task and 0 offers; nothing more is offered, away (lunch) comes after it."
    )
    scene.agent("ben", skills={"billing": 4})
    scene.command(
        cmd.TransferTask(task=task, agent="ana", to=cmd.TransferTo(agent="ben"), mode="warm")
    )
    assert scene.task(task)["summary"].endswith(
        "; handed on to ben, where nobody has accepted it yet."
    )
