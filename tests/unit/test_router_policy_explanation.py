"""Explanations and dry runs, on the engine itself."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain import commands as cmd
from services.router.domain import explanation
from services.router.domain.core import RouterCore
from services.router.domain.evaluate import SAMPLES_MAX, evaluate
from services.router.evaluation import EvaluationBody, read_evaluation
from services.router.resources import parse
from shared.contracts.core import Input
from shared.contracts.faults import decode_body
from shared.contracts.instants import format_instant
from shared.contracts.interactions import Author, Identity, Interaction
from shared.contracts.problems import Refused
from tests.unit.router_centre import centre

SECOND = 1_000_000
START = 1_795_428_000 * SECOND

POLICY = {
    "rules": [
        {
            "name": "German billing",
            "when": 'task.language == "de" && task.attributes.topic == "billing"',
            "priority": 'customer.tier == "gold" ? 10 : 5',
            "require": [
                {"skill": "billing", "level": 3},
                {"skill": "de", "level": 3, "relax": [{"after_s": 60, "level": 1}, {"after_s": 180, "drop": True}]},
            ],
            "escalation": "standard",
            "steps": [
                {"queue": "billing", "timeout_s": 300, "skip_if": "nobody_could"},
                {"queue": "general", "keep_previous": True},
            ],
        },
        {"require": ["skill(task.language) >= 1"], "steps": [{"queue": "general"}]},
    ]
}  # fmt: skip


class Scene:
    """One workspace, driven input by input."""

    def __init__(self) -> None:
        self.core = RouterCore("acme", 1)
        self.now = START
        self.number = 0
        self.said = 0
        self.put("queue", "billing", {"offer": {"cool_down_s": 30}, "wrap_up": {"limit_s": 60}})
        self.put("queue", "general", {})
        levels = [{"name": "waited", "when": {"waiting_s": 120}, "do": [{"raise_priority": 5}]}]
        self.put("escalation", "standard", {"levels": levels})
        self.put("policy", "default", POLICY)

    def apply(self, what: Input) -> Any:
        self.number += 1
        outcome = self.core.apply(self.now, self.number, what)
        return msgspec.json.decode(outcome.reply) if outcome.reply else None

    def command(self, command: cmd.Command) -> Any:
        return self.apply(Input("command", type(command).__name__, cmd.encode(command)))

    def put(self, kind: Any, name: str, body: dict[str, Any]) -> Any:
        parsed = parse(kind, body, name)
        assert parsed.faults == []
        raw = msgspec.Raw(msgspec.json.encode(parsed.canonical))
        return self.command(cmd.PutResource(resource=kind, id=name, body=raw))

    def agent(self, name: str, *, status: Any = "available", **body: Any) -> None:
        self.put("agent", name, {"channels": {"chat": 1}, **body})
        if status != "offline":
            self.command(cmd.SetPresence(agent=name, status=status))

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.apply(Input("timer", "due"))

    def message(self, *, key: str = "a", text: str = "Rechnung", **fields: Any) -> str:
        """A customer's message; returns the id of its task."""
        self.said += 1
        whole: dict[str, Any] = {"language": "de", "attributes": {"topic": "billing"}, **fields}
        data = Interaction(
            workspace="acme", connector="c", channel="chat", conversation_id=f"cnv_{key}",
            message_id=f"msg_{self.said}", received_at=format_instant(self.now),
            direction="inbound", author=Author("customer"), text=text, **whole,
        )  # fmt: skip
        body = msgspec.json.encode(data)
        self.apply(
            Input("event", "interaction.message.v1", body, id=f"evt_{self.said}", time_us=self.now)
        )
        return self.core.conversations[f"cnv_{key}"].task_id or ""

    def hours(self, version: int, windows: list[list[int]]) -> None:
        """The calendar `office`: open spans in microseconds."""
        body = {"id": "office", "version": version, "body": {"id": "office"}, "windows": windows}
        self.apply(Input("config", "calendar", msgspec.json.encode(body)))

    def task(self, task_id: str, **options: Any) -> dict[str, Any]:
        return as_json(explanation.explain_task(self.core, task_id, **options))

    def work_of(self, agent: str) -> dict[str, Any]:
        return as_json(explanation.explain_agent(self.core, agent))

    def evaluate(self, **body: Any) -> list[dict[str, Any]]:
        asked = read_evaluation(decode_body(msgspec.json.encode(body), EvaluationBody))
        return as_json(evaluate(self.core, asked))["results"]


def as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def crowd(scene: Scene) -> None:
    """Nobody can: one lacks a skill, one a level, one is away."""
    scene.agent("ana", skills={"billing": 4, "de": 2})
    scene.agent("ben", skills={"de": 5})
    scene.agent("cat", skills={"billing": 5, "de": 5}, status="away")
    scene.agent("dan", skills={"billing": 5, "de": 5}, channels={"email": 1})


# -- tasks


def test_a_waiting_task_says_who_could_have_it_and_why_not(scene: Scene):
    crowd(scene)
    task = scene.message()
    scene.wait(10)
    found = scene.task(task)
    assert (found["task_id"], found["state"]) == (task, "pending")
    assert found["at"] == format_instant(scene.now)
    assert found["policy"] == {"id": "default", "version": 1, "rule": "German billing", "step": 0}
    assert found["candidates"] == {
        "total": 4,
        "admissible": 0,
        "by_reason": {"channel": 1, "presence": 1, "skill billing >= 3": 1, "skill de >= 3": 1},
    }
    assert found["summary"] == (
        "Waits 10 s in billing for an agent with billing >= 3 and de >= 3: of 4 agents"
        " 1 not serving its channel, 1 not available, 1 without billing >= 3, 1 without de >= 3."
    )


def test_conditions_show_the_values_seen(scene: Scene):
    crowd(scene)
    found = scene.task(scene.message(), agent="ana")
    (ana,) = found["agents"]
    assert (ana["id"], ana["admissible"]) == ("ana", False)
    failed = [one for one in ana["conditions"] if not one["passed"]]
    assert failed == [{"text": "skill de >= 3", "value": 2, "passed": False}]
    assert {"text": "skill billing >= 3", "value": 4, "passed": True} in ana["conditions"]
    assert ana["order_keys"] == [0.0, format_instant(START), "ana"]
    with pytest.raises(Refused, match="no agent 'zoe'"):
        scene.task(found["task_id"], agent="zoe")


def test_conditions_name_what_is_not_there_at_all(scene: Scene):
    """Of the agent and of the customer, also under NOT; a value that does not suit is not missing."""
    ask = [
        'agent.attributes.site == "berlin"',
        '!(customer.attributes.region == "us")',
        {"skill": "billing", "level": 3},
    ]
    scene.put("policy", "default", {"rules": [{"require": ask, "steps": [{"queue": "general"}]}]})
    scene.agent("ana")
    scene.agent("ben", skills={"billing": 1}, attributes={"site": "rome"})
    found = scene.task(scene.message())
    missing = {
        agent["id"]: [one.get("missing") for one in agent["conditions"] if not one["passed"]]
        for agent in found["agents"]
    }
    assert missing == {
        "ana": ["agent.attributes.site", "customer.attributes.region", "skill billing"],
        "ben": [None, "customer.attributes.region", None],
    }


def test_the_nearest_come_first_and_are_twenty(scene: Scene):
    for number in range(30):
        scene.agent(f"a{number:02}", skills={})
    scene.agent("near", skills={"billing": 5, "de": 1})
    found = scene.task(scene.message())
    assert len(found["agents"]) == 20
    assert found["agents"][0]["id"] == "near"
    assert found["candidates"]["total"] == 31


def test_next_change_is_the_earliest_of_all(scene: Scene):
    crowd(scene)
    task = scene.message()

    def change() -> tuple[float, str]:
        found = scene.task(task)["next_change"]
        moments = {format_instant(START + at * SECOND): at for at in range(500)}
        return moments[found["at"]], found["what"]

    assert change() == (60, "relaxed to billing >= 3 and de >= 1")
    ana = scene.core.desks["ana"]
    ana.agent.status = "away"  # so that the relaxation finds nobody
    ana.look_up()
    scene.wait(60)
    assert change() == (120, "the next level of the ladder standard")
    scene.wait(60)
    assert change() == (180, "relaxed to billing >= 3")
    scene.wait(60)
    assert change() == (300, "the next step: billing or general")
    scene.wait(120)
    assert scene.task(task)["next_change"] is None


def test_an_offer_a_cool_down_and_a_decline(scene: Scene):
    scene.agent("ana", skills={"billing": 4, "de": 5})
    task = scene.message()
    found = scene.task(task)
    assert found["summary"] == "Offered to ana after waiting 0 s."
    assert found["next_change"]["what"] == "the offer to ana expires"
    assert [one["kind"] for one in found["decisions"]] == ["planned", "offered"]
    offered = found["decisions"][1]
    assert (offered["winner"], offered["considered"]) == ("ana", 1)
    assert offered["because"] and offered["at"] == format_instant(START)
    (offer,) = scene.core.desks["ana"].offers
    scene.command(cmd.DeclineOffer(agent="ana", offer=offer))
    found = scene.task(task)
    assert found["candidates"]["by_reason"] == {"cool_down": 1}
    assert found["next_change"]["what"] == "the cool-down of ana ends"


def test_an_assigned_a_wrapping_and_an_ended_task(scene: Scene):
    scene.agent("ana", skills={"billing": 4, "de": 5})
    task = scene.message()
    (offer,) = scene.core.desks["ana"].offers
    scene.command(cmd.AcceptOffer(agent="ana", offer=offer))
    found = scene.task(task)
    assert found["summary"].startswith(f"Assigned to ana since {format_instant(START)}: billing 4")
    assert found["candidates"]["by_reason"] == {"channel_cap": 1}
    other = scene.message(key="b")
    assert scene.task(other)["candidates"]["by_reason"] == {"channel_cap": 1}
    scene.command(cmd.CompleteTask(task=task, agent="ana"))
    assert scene.task(task)["summary"].startswith("In wrap-up with ana")
    assert scene.task(other)["next_change"] == {
        "at": format_instant(START + 60 * SECOND),
        "what": "ana ends a wrap-up" if scene.task(task)["state"] == "wrapping" else "",
    }
    scene.command(cmd.CloseTask(task=task, agent="ana"))
    ended = scene.core.tasks[task]
    for found in (scene.task(task), explanation.explain_stored(ended, "now")):
        assert found["summary"] == "Completed by ana."
        assert (found["agents"], found["next_change"]) == ([], None)
        assert found["candidates"]["total"] == 0


def test_no_rule_and_no_such_task(scene: Scene):
    scene.put("policy", "default", {"rules": [{"when": "false", "steps": [{"queue": "general"}]}]})
    task = scene.message()
    assert scene.task(task)["summary"] == (
        "Waits 0 s without a queue: no rule of its policy matches."
    )
    with pytest.raises(Refused, match="no task 'tsk_x'"):
        scene.task("tsk_x")


KEEPING = {
    "rules": [
        {**POLICY["rules"][0], "prefer": {"agent": "a1", "hold_s": 25, "reopen_within_s": 600}},
        POLICY["rules"][1],
    ]
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "message",
                "message",
                "presence",
                "accept",
                "decline",
                "complete",
                "close",
                "wait",
                "transfer",
                "hours",
            ]
        ),
        st.integers(0, 5),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_explanations_agree_with_the_engine(steps: list[tuple[str, int]]):
    """At rest nobody whom an explanation calls admissible stands beside a task that waits, and the
    reasons account for every agent."""
    scene = Scene()
    for number in range(4):
        skills = {"billing": 2 + number % 2, "de": 2 + number}
        queues = ["billing", {"queue": "general", "delay_s": 30}] if number == 3 else None
        more: dict[str, Any] = {"queues": queues} if queues else {"capacity": 40}
        scene.agent(f"a{number}", skills=skills, channels={"chat": 1 + number % 2}, **more)
    scene.put("policy", "default", KEEPING)
    scene.hours(1, [[0, 2**61]])
    scene.put("queue", "billing", {"calendar": "office"})
    for step, number in steps:
        _take(scene, step, number)
        for task in list(scene.core.tasks.values()):
            if task.state == "pending":
                found = scene.task(task.id)
                assert found["candidates"]["admissible"] == 0, found
                assert found["next_change"] is None or found["next_change"]["at"] > found["at"]
            if task.state in ("pending", "reserved"):
                shown = scene.task(task.id)["candidates"]
                assert sum(shown["by_reason"].values()) + shown["admissible"] == shown["total"]
        for number in range(4):
            scene.work_of(f"a{number}")


def _take(scene: Scene, step: str, number: int) -> None:
    name = f"a{number % 4}"
    desk = scene.core.desks[name]
    state = {"complete": "assigned", "close": "wrapping", "transfer": "assigned"}.get(step)
    mine = [task for task in desk.tasks if scene.core.tasks[task].state == state]
    if step == "message":
        scene.message(key=str(number), attributes={"topic": "billing" if number % 2 else "other"})
    elif step == "presence":
        status = "away" if desk.agent.status == "available" else "available"
        scene.command(cmd.SetPresence(agent=name, status=status))
    elif step == "accept" and desk.offers:
        scene.command(cmd.AcceptOffer(agent=name, offer=next(iter(desk.offers))))
    elif step == "decline" and desk.offers:
        scene.command(cmd.DeclineOffer(agent=name, offer=next(iter(desk.offers))))
    elif step == "complete" and mine:
        scene.command(cmd.CompleteTask(task=mine[0], agent=name))
    elif step == "close" and mine:
        scene.command(cmd.CloseTask(task=mine[0], agent=name))
    elif step == "transfer" and mine:
        to = cmd.TransferTo(agent=f"a{(number + 1) % 4}")
        command = cmd.TransferTask(task=mine[0], agent=name, to=to, mode="warm")
        with contextlib.suppress(Refused):
            scene.command(command)
    elif step == "hours":
        scene.hours(scene.number + 2, [[0, 2**61]] if number % 2 else [])
    elif step == "wait":
        scene.wait(1 + 20 * number)


# -- agents


def test_why_an_agent_has_nothing(scene: Scene):
    scene.agent("ana", skills={"billing": 4, "de": 2})
    assert scene.work_of("ana")["summary"] == "ana has 0 tasks and 0 offers; nothing waits."
    near = scene.message()
    scene.message(key="b", language="fr", attributes={"topic": "x"})
    found = scene.work_of("ana")
    assert [entry["task_id"] for entry in found["tasks"]][0] == near
    assert found["waiting"] == len(found["tasks"]) == 2
    assert found["summary"] == (
        f"ana has 0 tasks and 0 offers; 2 tasks wait, the nearest, {near}, not for ana:"
        " skill de >= 3 (is 2)."
    )
    scene.command(cmd.SetPresence(agent="ana", status="away", reason="lunch"))
    assert scene.work_of("ana")["summary"] == (
        "ana has 0 tasks and 0 offers; nothing is offered while away (lunch)."
    )
    scene.command(cmd.SetPresence(agent="ana", status="away", reason="missed_offers"))
    assert "(too many offers were missed in a row)" in scene.work_of("ana")["summary"]
    with pytest.raises(Refused, match="no agent 'zoe'"):
        scene.work_of("zoe")


# -- dry runs


def test_evaluate_says_what_would_be_without_doing_it(scene: Scene):
    scene.agent("ana", skills={"billing": 4, "de": 5}, status="offline")
    scene.agent("ben", skills={"de": 5})
    scene.agent("sam", skills={"billing": 5, "de": 3})
    scene.put(
        "customer", "kim", {"tier": "gold", "identities": [{"scheme": "phone", "value": "+49 1"}]}
    )
    before = scene.core.dump()
    event = {
        "channel": "chat",
        "text": "Meine Rechnung",
        "language": "de",
        "attributes": {"topic": "billing"},
    }
    results = scene.evaluate(
        policy_id="default",
        events=[
            {**event, "customer": "kim"},
            {**event, "customer": {"tier": "gold"}},
            {**event, "identities": [{"scheme": "whatsapp", "value": "491"}]},
            {
                "specversion": "1.0",
                "id": "1",
                "source": "s",
                "type": "interaction.message.v1",
                "data": event,
            },
            {"channel": "chat", "language": "de"},
        ],
        at="2026-11-23T10:00:00+01:00",
    )
    assert scene.core.dump() == before
    assert [one["priority"] for one in results] == [10, 10, 10, 5, 0]
    first = results[0]
    assert (first["rule"], first["queue"], first["queues"]) == (
        "German billing",
        "billing",
        ["billing"],
    )
    assert first["requires"] == ["billing >= 3", "de >= 3"]
    assert sorted(first["agents"]) == ["ana", "sam"]
    assert results[4]["rule"] == "rule 2"
    assert results[4]["trace"][0] == {
        "rule": 0, "name": "German billing", "matched": False, "missing": "task.attributes.topic",
        "because": "task.attributes.topic is not there",
    }  # fmt: skip
    assert sorted(results[4]["agents"]) == ["ana", "ben", "sam"]


def test_evaluate_takes_tasks_and_a_policy_of_its_own(scene: Scene):
    scene.agent("ana", skills={"x": 1})
    rule = {
        "when": 'task.kind == "call_back" && now < timestamp("2026-01-01T00:00:00Z")',
        "require": [{"skill": "x"}],
        "steps": [{"queue": "billing", "skip_if": "nobody_could"}, {"queue": "general"}],
    }
    task = {"channel": "chat", "kind": "call_back"}
    policy = {"rules": [rule]}
    (past,) = scene.evaluate(policy=policy, tasks=[task], at="2025-01-01T00:00:00Z")
    assert (past["rule"], past["queue"], past["agents"]) == ("rule 1", "billing", ["ana"])
    (now,) = scene.evaluate(policy=policy, tasks=[task])
    assert (now["rule"], now["reason"], now["agents"], now["queue"]) == (None, "no_rule", [], None)
    (nobody,) = scene.evaluate(
        policy={"rules": [{**rule, "when": "true", "require": [{"skill": "y"}]}]}, tasks=[task]
    )
    assert (nobody["queue"], nobody["agents"]) == ("general", [])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"events": [], "policies": []}, "/policies"),
        ({}, "/events"),
        ({"events": [], "tasks": []}, "/events"),
        ({"events": {}}, "/events"),
        ({"events": [{}] * (SAMPLES_MAX + 1)}, "/events"),
        ({"events": [{"channel": "fax"}]}, "/events/0/channel"),
        ({"tasks": [{"channel": "chat", "langage": "de"}]}, "/tasks/0/langage"),
        ({"events": [{"channel": "chat", "customer": "zoe"}]}, "/events/0/customer"),
        ({"events": [], "at": "yesterday"}, "/at"),
        ({"events": [], "at": 5}, "/at"),
        ({"events": [], "policy_id": 5}, "/policy_id"),
        ({"events": [], "policy": [], }, "/policy"),
        ({"events": [], "policy": {}, "policy_id": "a"}, "/policy_id"),
        ({"events": [], "policy": {"rules": [{"steps": [{"queue": "general"}], "when": "1 +"}]}}, "/policy/rules/0/when"),
        ({"events": [], "policy": {"rules": [{"steps": [{"queue": "genral"}]}]}}, "/policy/rules/0/steps/0/queue"),
    ],
)  # fmt: skip
def test_evaluate_refuses_with_the_place(scene: Scene, body: dict[str, Any], pointer: str):
    with pytest.raises(Refused) as refused:
        scene.evaluate(**body)
    assert refused.value.kind == "validation"
    assert [fault.pointer for fault in refused.value.errors] == [pointer]


def test_evaluate_knows_no_such_policy(scene: Scene):
    with pytest.raises(Refused, match="no policy 'other'"):
        scene.evaluate(policy_id="other", events=[])


def test_a_known_customer_is_found_by_the_events_identities(scene: Scene):
    scene.put(
        "customer", "kim", {"tier": "gold", "identities": [{"scheme": "email", "value": "K@x"}]}
    )
    task = scene.message(identities=[Identity("email", "k@x")])
    assert scene.core.tasks[task].priority == 10


def test_who_could_have_such_work_follows_every_change_of_agents_and_queues():
    driver = centre({"ana": {"skills": {"x": 1}}}, rule={"require": [{"skill": "x", "level": 3}]})
    driver.put("queue", "other")
    driver.say("c1")
    (task,) = driver.core.tasks

    def reasons():
        return explanation.explain_task(driver.core, task)["candidates"]["by_reason"]

    assert reasons() == {"skill x >= 3": 1}
    driver.put("agent", "ben", channels={"chat": 1}, skills={"x": 5})
    assert reasons() == {"presence": 1, "skill x >= 3": 1}
    driver.put("agent", "ana", channels={"chat": 1}, skills={"x": 4}, queues=[{"queue": "other"}])
    assert reasons() == {"presence": 1, "queue": 1}
    shut = [[driver.now_us + 10**9, driver.now_us + 2 * 10**9]]
    driver.config("calendar", "office", 1, {"id": "office"}, shut)
    driver.put("queue", "main", calendar="office")
    assert reasons() == {"closed": 1, "queue": 1}
    driver.command(cmd.DeleteResource(resource="agent", id="ben"))
    assert reasons() == {"queue": 1}
