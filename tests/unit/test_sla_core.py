"""The running core: clocks on the bus's events, notices once, and equality with the derivation."""

from functools import cache

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.sla.domain.agenda import RETENTION_US
from services.sla.domain.core import SlaCore, SlaFactory
from services.sla.domain.derive import derive, facts_of
from services.sla.domain.view import clock_view
from services.sla.domain.views import Wanted, conversation_clocks, explanation, open_clocks
from shared.calendars import expand
from shared.contracts.core import BEHIND, LIVE, Input
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.problems import Refused

T0 = parse_instant("2026-11-23T09:00:00Z")
S = 1_000_000
ALWAYS = {"id": "always", "timezone": "UTC", "always_open": True}
POLICY = {
    "id": "main",
    "calendar": "always",
    "targets": {
        "first_response": {"target_s": 60, "warn_at": [0.5, 0.75]},
        "next_response": {"target_s": 120},
        "resolution": {"target_s": 3600, "pause_when": "task.held"},
    },
}


@cache
def expanded(name: str) -> dict:
    assert name == ALWAYS["id"]
    return msgspec.to_builtins(expand(ALWAYS, T0))


class Bench:
    """A core with a clock that tests turn by hand."""

    def __init__(self, core: SlaCore | None = None) -> None:
        self.core = core or SlaFactory().create("acme", 1)
        self.number = 0
        self.events: list[tuple[str, dict]] = []
        self.rows: dict[str, dict] = {}
        self.routing_seq = 0

    def apply(self, at_s: float, what: Input):
        self.number += 1
        outcome = self.core.apply(T0 + round(at_s * S), self.number, what)
        for event in outcome.events:
            self.events.append((event.type.split(".")[2], msgspec.json.decode(event.data)))
        for row in (row for row in outcome.rows if row.table == "clock"):
            self.rows[row.values["id"]] = row.values
        return outcome

    def put(self, resource: str, body: dict, at_s: float = -10, **more):
        if resource == "calendar":
            more["windows"] = expanded(body["id"])
        command = {"resource": resource, "id": body["id"], "body": body, **more}
        name = "PutResource"
        return self.apply(at_s, Input("command", name, msgspec.json.encode(command), id="c"))

    def delete(self, resource: str, name: str):
        command = {"resource": resource, "id": name}
        return self.apply(-1, Input("command", "DeleteResource", msgspec.json.encode(command)))

    def configured(self, policy: dict = POLICY) -> "Bench":
        self.put("calendar", ALWAYS)
        self.put("sla_policy", policy)
        return self

    def message(self, at_s: float, role: str = "customer", event: str = "", received=None, **more):
        event = event or f"evt_{role}_{at_s}"
        received_s = at_s if received is None else received
        data = {
            "workspace": "acme", "connector": "events", "channel": "chat",
            "conversation_id": "cnv_1", "message_id": f"msg_{event}",
            "received_at": format_instant(T0 + round(received_s * S)),
            "direction": "inbound" if role == "customer" else "outbound",
            "author": {"role": role}, "text": "x", **more,
        }  # fmt: skip
        body = msgspec.json.encode(data)
        what = Input("event", "interaction.message.v1", body, event, time_us=T0 + round(at_s * S))
        return self.apply(received_s, what)

    def told(self, at_s: float, kind: str, now=None, **more):
        self.routing_seq += 1
        data = {
            "workspace": "acme", "seq": self.routing_seq, "at": format_instant(T0 + round(at_s * S)),
            "task_id": "tsk_1", "conversation_id": "cnv_1", **more,
        }  # fmt: skip
        what = Input(
            "event", f"routing.task.{kind}.v1", msgspec.json.encode(data), f"r{self.number}"
        )
        return self.apply(at_s if now is None else now, what)

    def created(self, at_s: float, event: str | None, now=None, **more):
        facts = {"event_id": event, "channel": "chat", "queue": "billing", "priority": 0, **more}
        return self.told(at_s, "created", now, **facts)

    def tick(self, at_s: float):
        return self.apply(at_s, Input("timer", "due"))

    def kinds(self) -> list[str]:
        return [f"{kind} {data['metric']}" for kind, data in self.events]


def test_a_conversation_from_message_to_completion():
    bench = Bench().configured()
    bench.message(0, event="evt_a")
    assert bench.kinds() == ["started resolution", "started first_response"]
    assert bench.events[1][1]["task_id"] is None
    assert bench.events[1][1]["due_at"] == "2026-11-23T09:01:00Z"
    first_ids = {data["clock_id"] for _, data in bench.events}
    bench.created(0.2, "evt_a")
    assert bench.kinds()[2:] == ["bound resolution", "bound first_response"]
    assert {data["clock_id"] for _, data in bench.events} == first_ids
    assert bench.events[2][1]["task_id"] == "tsk_1" and bench.events[2][1]["queue"] == "billing"
    bench.message(20, "agent")
    assert bench.kinds()[4:] == ["met first_response"]
    bench.told(30, "completed", agent_id="ana")
    assert bench.kinds()[5:] == ["met resolution"]
    assert [data["seq"] for _, data in bench.events] == list(range(1, 7))
    assert {row["state"] for row in bench.rows.values()} == {"met"}
    assert {row["queue"] for row in bench.rows.values()} == {"billing"}


def test_warnings_and_breach_come_once_and_are_stamped_with_the_due_instant():
    bench = Bench().configured()
    bench.message(0)
    assert bench.core.wake_at_us() == T0 + 30 * S
    bench.tick(30)
    assert bench.events[-1][0] == "warning" and bench.events[-1][1]["level"] == 0.5
    assert bench.core.wake_at_us() == T0 + 45 * S
    bench.tick(45)
    bench.tick(60)
    assert bench.events[-1][0] == "warning", "at the deadline itself it is still kept"
    bench.tick(61.5)
    kind, data = bench.events[-1]
    assert (kind, data["due_at"], data["detected_lag_s"]) == (
        "breached",
        "2026-11-23T09:01:00Z",
        1.5,
    )
    count = len(bench.events)
    bench.tick(70)
    assert len(bench.events) == count
    bench.message(80, "agent")
    ((kind, data),) = bench.events[count:]
    assert (kind, data["satisfied_at"]) == ("missed", "2026-11-23T09:01:20Z")
    row = next(row for row in bench.rows.values() if row["metric"] == "first_response")
    assert row["state"] == "missed" and row["breached_us"] == T0 + 60 * S
    assert [w["level"] for w in row["warnings"]] == [0.5, 0.75]


def test_an_answer_that_arrives_late_takes_the_breach_back():
    bench = Bench().configured()
    bench.message(0)
    bench.tick(70)
    assert "breached first_response" in bench.kinds()
    bench.message(50, "agent", received=100)
    assert bench.kinds()[-2:] == ["met first_response", "corrected first_response"]
    assert bench.events[-1][1]["withdrawn"] == "breached", "at 50 both warnings were right"


def test_a_task_that_is_named_late_is_told_what_was_told_before_it():
    """The router acts on what it hears of a task; while it was away it had none."""
    bench = Bench().configured()
    bench.message(0, event="evt_a")
    bench.tick(70)
    assert "breached first_response" in bench.kinds()
    bench.created(80, "evt_a")
    bound = {data["metric"]: data for kind, data in bench.events if kind == "bound"}
    assert (bound["first_response"]["warned"], bound["first_response"]["breached"]) == (0.75, True)
    assert (bound["resolution"]["warned"], bound["resolution"]["breached"]) == (0, False)
    assert {data["state"] for data in bound.values()} == {"running"}


def test_a_clock_that_ended_before_its_task_was_named_is_bound_as_ended():
    bench = Bench().configured()
    bench.message(0, event="evt_a")
    bench.message(20, "agent")
    bench.created(80, "evt_a")
    bound = {data["metric"]: data["state"] for kind, data in bench.events if kind == "bound"}
    assert bound == {"first_response": "met", "resolution": "running"}


def known(bench: Bench, *names: str) -> list:
    """What the SLA service believes of the task."""
    task = bench.core.lives("cnv_1")[0].fold.episode.facts.task
    return [task.get(name) for name in names]


def test_what_the_router_decides_at_one_instant_keeps_its_order():
    """A batch has one time: ranks of kinds, which settle equal times of others, would turn it round."""
    bench = Bench().configured()
    bench.message(0, event="evt_a")
    bench.created(1, "evt_a")
    bench.told(5, "transferred", to={"queue": "sales"}, mode="blind")
    bench.told(5, "assigned", agent_id="ana")
    assert known(bench, "state", "agent_id", "queue") == ["assigned", "ana", "sales"]
    bench.told(6, "held", reason="lunch")
    bench.told(6, "resumed")
    assert known(bench, "held") == [False]
    bench.told(7, "resumed")
    bench.told(7, "held", reason="lunch")
    assert known(bench, "held", "hold_reason") == [True, "lunch"]
    bench.told(9, "completed", agent_id="ana")
    bench.told(9, "reopened")
    bench.told(9, "assigned", agent_id="ben")
    assert known(bench, "state", "agent_id") == ["assigned", "ben"]
    assert not bench.core.lives("cnv_1")[0].ended


def test_a_message_from_a_clock_that_is_ahead_comes_before_what_was_decided_about_it():
    bench = Bench().configured()
    bench.message(10, event="evt_a", received=10)
    bench.created(8, "evt_a", now=11, waiting_since=format_instant(T0 + 8 * S))
    bench.told(9, "assigned", now=11, agent_id="ana")
    assert known(bench, "state", "agent_id") == ["assigned", "ana"]


def test_the_same_where_the_message_is_heard_last():
    bench = Bench().configured()
    bench.created(8, "evt_a", waiting_since=format_instant(T0 + 8 * S))
    bench.told(9, "assigned", agent_id="ana")
    bench.message(10, event="evt_a", received=11)
    assert known(bench, "state", "agent_id") == ["assigned", "ana"]


def test_a_warm_transfer_and_another_queue_leave_the_task_with_its_agent():
    bench = Bench().configured()
    bench.message(0, event="evt_a")
    bench.created(1, "evt_a")
    bench.told(5, "assigned", agent_id="ana")
    bench.told(6, "transferred", to={"queue": "sales"}, mode="warm")
    assert known(bench, "state", "agent_id", "queue") == ["assigned", "ana", "sales"]
    bench.told(7, "queued", queues=["second"])
    assert known(bench, "state", "agent_id", "queue") == ["assigned", "ana", "second"]
    bench.told(8, "transferred", to={"queue": "sales"}, mode="blind")
    assert known(bench, "state", "agent_id", "queue") == ["pending", None, "sales"]


def test_what_the_tasks_own_targets_undo_is_not_told_of_it():
    slow = {"first_response": {"target_s": 600, "warn_at": [0.1, 0.5]}}
    bench = Bench().configured({**POLICY, "when": "task.queue != 'billing'"})
    bench.put("sla_policy", {**POLICY, "id": "slow", "targets": slow})
    bench.message(0, event="evt_a")
    bench.tick(70)
    assert "breached first_response" in bench.kinds()
    bench.created(80, "evt_a")
    first = [(k, d) for k, d in bench.events if d["metric"] == "first_response"]
    bound = next(data for kind, data in first if kind == "bound")
    assert (bound["breached"], bound["due_at"]) == (False, "2026-11-23T09:10:00Z")
    assert ("corrected", "breached") in [(kind, data.get("withdrawn")) for kind, data in first]


def test_what_was_told_of_clocks_that_leave_memory_stands():
    """A long conversation lets go of its oldest exchanges, and then of its oldest tasks."""
    bench = Bench().configured({**POLICY, "targets": {"next_response": {"target_s": 60}}})
    for count in range(90):
        bench.message(count * 200, event=f"evt_{count}")
        task = count // 9
        if count % 9 == 0:
            bench.created(count * 200 + 1, f"evt_{count}", task_id=f"tsk_{task}")
        bench.tick(count * 200 + 100)
        bench.message(count * 200 + 120, "agent", event=f"evt_a{count}")
        if count % 9 == 8:
            bench.told(count * 200 + 130, "completed", task_id=f"tsk_{task}")
    for count in range(90, 180):
        bench.message(count * 200, event=f"evt_{count}")
        bench.tick(count * 200 + 100)
        bench.message(count * 200 + 120, "agent", event=f"evt_a{count}")
    kinds = bench.kinds()
    assert kinds.count("breached next_response") == 180
    assert "corrected next_response" not in kinds
    assert [row["state"] for row in bench.rows.values()] == ["missed"] * 180


@pytest.mark.parametrize(("answered", "stands"), [(44, 0.5), (29, 0.0)])
def test_an_answer_that_arrives_late_takes_warnings_back(answered: int, stands: float):
    bench = Bench().configured()
    bench.message(0)
    bench.tick(50)
    bench.message(answered, "agent", received=55)
    assert bench.kinds()[-2:] == ["met first_response", "corrected first_response"]
    told = bench.events[-1][1]
    assert (told["withdrawn"], told["level"]) == ("warning", stands)
    row = next(row for row in bench.rows.values() if row["metric"] == "first_response")
    assert [w["level"] for w in row["warnings"]] == ([stands] if stands else [])


def test_a_warning_that_was_taken_back_comes_again_when_it_is_true():
    bench = Bench().configured(
        {**POLICY, "targets": {"resolution": {"target_s": 100, "warn_at": [0.5], "pause_when": "task.held"}}}
    )  # fmt: skip
    bench.message(0, event="evt_1")
    bench.created(0, "evt_1")
    bench.tick(55)
    bench.told(40, "held", now=56, reason="parts")
    assert bench.events[-1][1]["withdrawn"] == "warning"
    bench.told(60, "resumed")
    bench.tick(69)
    assert bench.kinds().count("warning resolution") == 1
    bench.tick(71)
    assert bench.kinds().count("warning resolution") == 2


def test_another_target_takes_no_warning_back():
    higher = [{"min": 10, "target_s": 1_000}]
    targets = {"resolution": {"target_s": 100, "warn_at": [0.5], "by_priority": higher}}
    bench = Bench().configured({**POLICY, "targets": targets})
    bench.message(0, event="evt_1")
    bench.created(0, "evt_1")
    bench.tick(55)
    bench.told(56, "priority_changed", **{"from": 0, "to": 10, "by": "command"})
    bench.tick(600)
    assert bench.kinds().count("warning resolution") == 1
    assert "corrected resolution" not in bench.kinds()


def test_beyond_the_lateness_an_answer_counts_when_received():
    bench = Bench().configured()
    bench.message(0)
    bench.message(50, "agent", received=50 + 301)
    row = next(row for row in bench.rows.values() if row["metric"] == "first_response")
    assert row["state"] == "missed" and row["satisfied_us"] == T0 + 351 * S


def test_holding_pauses_and_resuming_moves_the_deadline():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.created(0, "e")
    bench.told(600, "held", reason="waiting_on_customer")
    assert bench.events[-1][0] == "paused" and bench.events[-1][1]["due_at"] is None
    bench.told(1200, "resumed")
    assert bench.events[-1][0] == "resumed"
    assert bench.events[-1][1]["due_at"] == format_instant(T0 + 4200 * S)


def test_cancelled_tasks_end_their_clocks():
    for reason, state in (("abandoned", "abandoned"), ("queue_full", "cancelled")):
        bench = Bench().configured()
        bench.message(0, event="e")
        bench.created(0, "e")
        bench.told(5, "cancelled", reason=reason)
        assert {row["state"] for row in bench.rows.values()} == {state}
        assert [k for k in bench.kinds() if k.startswith("cancelled")] == [
            "cancelled resolution", "cancelled first_response",
        ]  # fmt: skip


def test_the_router_may_be_heard_before_the_message():
    one, other = Bench().configured(), Bench().configured()
    one.message(0, event="e")
    one.created(0.3, "e", waiting_since=format_instant(T0))
    other.created(0.3, "e", waiting_since=format_instant(T0))
    other.message(0, event="e", received=0.4)
    assert shown(one) == shown(other)
    assert {row["started_us"] for row in other.rows.values()} == {T0}


def test_binding_chooses_again_and_keeps_the_start():
    bench = Bench()
    bench.put("calendar", ALWAYS)
    gold = {
        "id": "gold", "calendar": "always", "when": 'customer.tier == "gold"',
        "targets": {"first_response": {"target_s": 30}},
    }  # fmt: skip
    bench.put("sla_policy", gold)
    bench.put("sla_policy", POLICY)
    bench.message(0, event="e")
    bench.created(1, "e", customer={"id": "kim", "tier": "gold"})
    row = next(r for r in bench.rows.values() if r["metric"] == "first_response")
    assert (row["policy_id"], row["started_us"], row["due_us"]) == ("gold", T0, T0 + 30 * S)
    assert "moved first_response" in bench.kinds()
    resolution = next(r for r in bench.rows.values() if r["metric"] == "resolution")
    assert resolution["state"] == "cancelled"


def test_a_breach_of_a_clock_that_never_was_is_in_no_list():
    """It was told of the conversation before its task was known, and taken back with the task's targets."""
    bench = Bench()
    bench.put("calendar", ALWAYS)
    gold = {"id": "gold", "calendar": "always", "when": 'customer.tier == "gold"'}
    bench.put("sla_policy", {**gold, "targets": {"resolution": {"target_s": 3600}}})
    bench.put("sla_policy", {**POLICY, "targets": {"first_response": {"target_s": 60}}})
    bench.message(0, event="e1")
    bench.message(100, role="agent")
    first = next(row for row in bench.rows.values() if row["metric"] == "first_response")
    assert (first["state"], first["breached_us"]) == ("missed", T0 + 60 * S)
    bench.created(110, "e1", customer={"id": "k", "tier": "gold"})
    assert ("corrected", "breached") in [(kind, e.get("withdrawn")) for kind, e in bench.events]
    first = bench.rows[first["id"]]
    assert (first["state"], first["breached_us"]) == ("cancelled", None)


def test_policies_are_pinned_and_an_edit_moves_no_deadline():
    bench = Bench().configured()
    bench.message(0, event="e")
    tight = {**POLICY, "targets": {"first_response": {"target_s": 5}}}
    reply = bench.put("sla_policy", tight, at_s=1)
    assert msgspec.json.decode(reply.reply)["version"] == 2
    bench.created(2, "e")
    row = next(r for r in bench.rows.values() if r["metric"] == "first_response")
    assert (row["policy_version"], row["due_us"]) == (1, T0 + 60 * S)


def test_escalation_never_retargets():
    policy = {
        **POLICY,
        "targets": {
            "first_response": {"target_s": 60, "by_priority": [{"min": 5, "target_s": 10}]}
        },
    }
    for by, due_s in (("escalation", 60), ("sam", 10)):
        bench = Bench().configured(policy)
        bench.message(0, event="e")
        bench.created(0, "e")
        bench.told(2, "priority_changed", **{"from": 0, "to": 9, "by": by})
        row = list(bench.rows.values())[-1]
        assert row["due_us"] == T0 + due_s * S


def test_a_second_task_of_the_thread_has_clocks_of_its_own():
    bench = Bench().configured()
    bench.message(0, event="e1")
    bench.created(0, "e1")
    bench.message(10, "agent")
    bench.told(20, "completed")
    bench.message(500, event="e2")
    bench.created(500.1, "e2", task_id="tsk_2")
    firsts = [r for r in bench.rows.values() if r["metric"] == "first_response"]
    assert [(r["task_id"], r["state"]) for r in firsts] == [("tsk_1", "met"), ("tsk_2", "running")]


def test_a_reopened_task_goes_on_with_its_resolution():
    bench = Bench().configured()
    bench.message(0, event="e1")
    bench.created(0, "e1")
    bench.message(10, "agent")
    bench.told(20, "completed")
    bench.message(500, event="e2")
    bench.told(500.2, "reopened", event_id="e2")
    live = [r for r in bench.rows.values() if r["task_id"] == "tsk_1"]
    resolution = next(r for r in live if r["metric"] == "resolution")
    assert resolution["state"] == "running" and resolution["due_us"] == T0 + (500 + 3580) * S
    following = next(r for r in live if r["metric"] == "next_response")
    assert following["state"] == "running" and following["started_us"] == T0 + 500 * S
    assert [c.metric for c in bench.core.lives("cnv_1")[0].clocks if c.is_open] == [
        "resolution", "next_response",
    ]  # fmt: skip


def test_redelivery_silent_messages_and_replays_change_nothing():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.message(0, event="e", received=3)
    bench.message(5, "agent", flags=["auto_reply"])
    bench.message(6, "agent", replay_of="evt_x")
    bench.message(7, "system")
    assert bench.kinds() == ["started resolution", "started first_response"]


def test_while_behind_no_notice_goes_out_and_afterwards_each_once():
    bench = Bench().configured()
    bench.apply(0, Input("lifecycle", BEHIND))
    bench.message(0, received=0)
    bench.tick(100)
    assert bench.core.wake_at_us() is None
    assert all(kind == "started" for kind, _ in bench.events)
    bench.apply(120, Input("lifecycle", LIVE))
    assert [kind for kind, _ in bench.events][2:] == ["warning", "warning", "breached"]
    assert bench.events[-1][1]["detected_lag_s"] == 60


def test_idle_conversations_are_put_away():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.created(0, "e")
    bench.told(20, "completed")
    bench.core.changes()
    assert bench.core.wake_at_us() == T0 + 20 * S + RETENTION_US
    bench.tick(20 + RETENTION_US / S)
    gone = [entity for entity in bench.core.changes() if entity.kind == "conversation"]
    assert [entity.open for entity in gone] == [False]
    assert bench.core.conversations == {} and bench.core.wake_at_us() is None


def test_configuration_is_refused_with_nothing_changed():
    bench = Bench()
    with pytest.raises(Refused) as refusal:
        bench.put("sla_policy", POLICY)
    assert refusal.value.errors[0].code == "unknown_calendar"
    bench.configured()
    with pytest.raises(Refused) as refusal:
        bench.delete("calendar", "always")
    assert refusal.value.kind == "conflict"
    with pytest.raises(Refused) as refusal:
        bench.put("sla_policy", POLICY, if_version=7)
    assert refusal.value.kind == "precondition-failed"
    with pytest.raises(Refused) as refusal:
        bench.delete("sla_policy", "nobody")
    assert refusal.value.kind == "not-found"
    bench.delete("sla_policy", "main")
    outcome = bench.delete("calendar", "always")
    assert [(write.kind, write.body) for write in outcome.config] == [("calendar", None)]


def test_a_calendar_that_a_queue_opens_by_stays():
    bench = Bench()
    bench.put("calendar", ALWAYS)
    body = msgspec.json.encode({"id": "q", "version": 1, "body": {"id": "q", "calendar": "always"}})
    bench.apply(-5, Input("config", "queue", body))
    with pytest.raises(Refused):
        bench.delete("calendar", "always")


def shown(bench: Bench) -> list[dict]:
    now_us = T0 + 100_000 * S
    return [
        {**clock_view(clock, live.fold.hands, now_us), "id": live.clock_id(clock)}
        for live in bench.core.lives("cnv_1")
        for clock in live.clocks
    ]


STEP = st.tuples(
    st.integers(1, 90),
    st.sampled_from(["customer", "agent", "held", "resumed", "assigned", "priority", "wrapping"]),
)


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(STEP, max_size=25), st.randoms(use_true_random=False))
def test_any_order_within_the_lateness_gives_the_clocks_of_the_derivation(steps, random):
    policy = {
        **POLICY,
        "targets": {
            **POLICY["targets"],
            "resolution": {"target_s": 300, "pause_when": "task.held", "pause_max_s": 100},
            "first_response": {"target_s": 60, "by_priority": [{"min": 5, "target_s": 10}]},
            "periodic_update": {"target_s": 100},
            "time_to_assign": {"target_s": 50},
        },
        "lateness_s": 86_400,
    }
    straight, mixed = Bench().configured(policy), Bench().configured(policy)
    for bench in (straight, mixed):
        bench.message(0, event="e")
        bench.created(0, "e")
    at, plan = 0.0, []
    for number, (gap, kind) in enumerate(steps):
        at += gap
        plan.append((at, kind, number, number + 2))
    shuffled = [*plan, *random.sample(plan, len(plan) // 3)]  # some come twice
    random.shuffle(shuffled)
    for bench, order in ((straight, plan), (mixed, shuffled)):
        for at_s, kind, number, seq in order:
            now = at_s if bench is straight else 5_000
            bench.routing_seq = seq
            if kind in ("customer", "agent"):
                bench.message(at_s, kind, event=f"m{number}", received=now)
            elif kind == "priority":
                bench.told(
                    at_s, "priority_changed", now=now, **{"from": 0, "to": number, "by": "x"}
                )
            else:
                bench.told(at_s, kind, now=now, agent_id="ana", reason="lunch")
    for bench in (straight, mixed):
        bench.tick(90_000)
    assert shown(straight) == shown(mixed)
    record = straight.core.lives("cnv_1")[0].record
    library = straight.core.library
    again = derive(
        record.events,
        facts_of(record.task, record.customer),
        library.book(record.book),
        library.book,
    )
    again.advance(T0 + 90_000 * S)
    assert again.episode.clocks == straight.core.lives("cnv_1")[0].clocks


def test_a_core_that_is_loaded_again_goes_on_alike():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.created(0, "e")
    bench.told(5, "held", reason="lunch")
    bench.tick(31)
    stored = bench.core.dump()
    other = SlaFactory().create("acme", 1)
    other.load(reversed(stored))
    assert other.dump() == stored
    assert other.wake_at_us() == bench.core.wake_at_us() and other.last_seq == bench.core.last_seq
    twin = Bench(other)
    twin.routing_seq = bench.routing_seq
    count = len(bench.events)
    for each in (bench, twin):
        each.message(40, "agent", event="a")
        each.told(50, "resumed")
        each.told(60, "completed")
    assert bench.events[count:] == twin.events
    assert other.dump() == bench.core.dump()


def test_what_changed_is_enough_to_restore():
    bench = Bench().configured()
    stored: dict[tuple[str, str], object] = {}

    def keep():
        for entity in bench.core.changes():
            if entity.body is None:
                stored.pop((entity.kind, entity.key), None)
            else:
                stored[entity.kind, entity.key] = entity

    bench.message(0, event="e")
    keep()
    bench.put("sla_policy", {**POLICY, "on_change": "reset"}, at_s=3)
    keep()
    bench.created(4, "e")
    bench.message(5, "agent")
    bench.told(6, "completed")
    keep()
    bench.tick(RETENTION_US / S + 10)
    bench.message(RETENTION_US / S + 20, event="e9")
    keep()
    assert sorted(stored.values(), key=lambda e: (e.kind, e.key)) == bench.core.dump()


def test_a_task_that_rests_without_clocks_counts_when_it_ends():
    bench = Bench()
    bench.message(0, event="e")
    bench.created(0, "e")
    bench.told(10, "assigned", agent_id="ana")
    month_s = 30 * 86_400.0
    bench.tick(month_s)
    outcome = bench.told(month_s + 5, "completed", agent_id="ana")
    rows = [row.values for row in outcome.rows if row.table == "measure"]
    assert {row["metric"] for row in rows} >= {"handle_time", "speed_of_answer"}
    bench.core.changes()
    assert bench.core.wake_at_us() == T0 + round((month_s + 5) * S) + RETENTION_US


def test_long_conversations_stay_bounded():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.created(0, "e")
    for index in range(1, 450):
        bench.message(index * 10, "customer" if index % 2 else "agent")
    live = bench.core.lives("cnv_1")[0]
    assert len(live.record.events) <= 400 and len(live.clocks) <= 64
    before = shown(bench)
    live.again()
    assert shown(bench) == before


def test_clocks_are_shown_and_explained():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.created(0, "e")
    bench.tick(31)
    now_us = T0 + 40 * S
    listed = open_clocks(bench.core, Wanted(queue="billing"), now_us)
    assert [one["metric"] for one in listed] == ["first_response", "resolution"]
    assert [one["level"] for one in listed[0]["warnings"]] == [0.5]
    assert open_clocks(bench.core, Wanted(queue="other"), now_us) == []
    soon = open_clocks(bench.core, Wanted(due_before_us=T0 + 100 * S), now_us)
    assert [one["metric"] for one in soon] == ["first_response"]
    assert len(conversation_clocks(bench.core, "cnv_1", now_us)) == 2
    found = explanation(bench.core, "cnv_1", listed[0]["id"], now_us)
    assert found is not None and "60 s of open time" in found["summary"]
    assert [entry["seconds"] for entry in found["ledger"]] == [40]
    assert explanation(bench.core, "cnv_1", "clk_none", now_us) is None


def test_the_summary_of_a_clock_says_what_became_of_it():
    bench = Bench().configured()
    bench.message(0, event="e")
    bench.created(0, "e")
    bench.tick(61)
    clocks = conversation_clocks(bench.core, "cnv_1", T0 + 61 * S)
    whole, first = sorted(clocks, key=lambda one: one["metric"], reverse=True)
    said = explanation(bench.core, "cnv_1", first["id"], T0 + 61 * S)
    assert said is not None and said["summary"].endswith(f"; breached {first['due_at']}")
    bench.message(90, "agent")
    bench.told(100, "cancelled", reason="spam")
    late = explanation(bench.core, "cnv_1", first["id"], T0 + 101 * S)
    gone = explanation(bench.core, "cnv_1", whole["id"], T0 + 101 * S)
    assert late is not None and gone is not None
    ended = format_instant(T0 + 90 * S)
    assert late["summary"].endswith(f"; missed {ended}, breached {first['due_at']}")
    assert gone["summary"].endswith(f"; cancelled {format_instant(T0 + 100 * S)}")
