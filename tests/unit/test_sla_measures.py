"""What clocks and tasks count for: equal to a recomputation, whatever came late or twice."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.domain.core import SlaFactory
from services.sla.domain.measures import clock_measure, whose_task, work_measures
from shared.calendars import expand
from shared.contracts.core import Input
from shared.contracts.instants import format_instant, parse_instant

T0 = parse_instant("2026-11-23T09:00:00Z")
S = 1_000_000
ALWAYS = {"id": "always", "timezone": "UTC", "always_open": True}
WINDOWS = msgspec.to_builtins(expand(ALWAYS, T0))
POLICY = {
    "id": "main",
    "calendar": "always",
    "lateness_s": 86_400,
    "targets": {
        "first_response": {"target_s": 60},
        "next_response": {"target_s": 120},
        "resolution": {"target_s": 600, "pause_when": "task.held"},
        "time_to_assign": {"target_s": 30},
    },
}


class Shop:
    """A core, and the last measure of each id that it has told."""

    def __init__(self) -> None:
        self.core = SlaFactory().create("acme", 1)
        self.number = 0
        self.measures: dict[str, dict] = {}
        self.rows: dict[tuple[str, str], dict] = {}
        for resource, body, more in (
            ("calendar", ALWAYS, {"windows": WINDOWS}), ("sla_policy", POLICY, {}),
        ):  # fmt: skip
            command = {"resource": resource, "id": body["id"], "body": body, **more}
            self.apply(0, Input("command", "PutResource", msgspec.json.encode(command), id="c"))

    def apply(self, at_s: float, what: Input) -> None:
        self.number += 1
        for row in self.core.apply(T0 + round(at_s * S), self.number, what).rows:
            if row.table == "measure":
                self.measures[row.values["id"]] = row.values
            else:
                self.rows[row.table, str(row.values.get("id"))] = row.values

    def message(self, at_s: float, event: str, role: str = "customer", now=None, **more) -> None:
        now = at_s if now is None else now
        data = {
            "workspace": "acme", "connector": "events", "channel": "chat",
            "conversation_id": "cnv_1", "message_id": f"msg_{event}",
            "received_at": format_instant(T0 + round(now * S)),
            "direction": "inbound" if role == "customer" else "outbound",
            "author": {"role": role}, "text": "x", **more,
        }  # fmt: skip
        name = "interaction.feedback.v1" if "survey" in more else "interaction.message.v1"
        body = msgspec.json.encode(data)
        self.apply(now, Input("event", name, body, event, time_us=T0 + round(at_s * S)))

    def told(self, at_s: float, kind: str, seq: int, now=None, **more) -> None:
        data = {
            "workspace": "acme", "seq": seq, "at": format_instant(T0 + round(at_s * S)),
            "task_id": "tsk_1", "conversation_id": "cnv_1", **more,
        }  # fmt: skip
        body = msgspec.json.encode(data)
        self.apply(at_s if now is None else now, Input("event", f"routing.task.{kind}.v1", body, f"r{seq}"))  # fmt: skip

    def begin(self) -> "Shop":
        self.message(0, "e")
        facts = {"event_id": "e", "channel": "chat", "queue": "billing", "priority": 2}
        self.told(0, "created", 1, customer={"id": "kim"}, **facts)
        return self

    def counted(self) -> dict[str, dict]:
        return {name: one for name, one in self.measures.items() if one["outcome"]}

    def recomputed(self) -> dict[str, dict]:
        """From the clocks and tasks as they are now, and nothing else."""
        edges = self.core.edges
        lives = self.core.lives("cnv_1")
        rows = [clock_measure(live, clock, edges) for live in lives for clock in live.clocks]
        rows += [row for live in lives for row in work_measures(live, whose_task(live), edges)]
        return {row.values["id"]: row.values for row in rows if row.values["outcome"]}

    def of(self, metric: str) -> list[dict]:
        return [one for one in self.counted().values() if one["metric"] == metric]


def test_a_clock_counts_for_who_had_it_when_it_ended() -> None:
    shop = Shop().begin()
    shop.told(10, "assigned", 2, agent_id="ana", queue="billing", waited_s=10)
    shop.message(40, "m1", "agent", agent_id="ana")
    shop.told(50, "transferred", 3, to={"queue": "tech"}, mode="blind")
    shop.told(60, "assigned", 4, agent_id="ben", queue="tech", waited_s=60)
    shop.told(90, "completed", 5, agent_id="ben", tags=["vip"], handle_s=30)
    [first] = shop.of("first_response")
    assert (first["queue"], first["agent_id"], first["outcome"]) == ("billing", "ana", "met")
    assert (first["value_us"], first["tags"]) == (40 * S, ["vip"]), "tags are the task's, come when they may"  # fmt: skip
    [resolution] = shop.of("resolution")
    assert (resolution["queue"], resolution["agent_id"]) == ("tech", "ben")
    [handled] = shop.of("handle_time")
    assert handled["value_us"] == 70 * S
    [answer] = shop.of("speed_of_answer")
    assert (answer["value_us"], answer["outcome"]) == (10 * S, "met")
    row = shop.rows["task", "tsk_1"]
    assert (row["customer_id"], row["ending"], row["tags"]) == ("kim", "completed", ["vip"])


def test_reopening_takes_a_resolution_back_until_it_is_resolved_again() -> None:
    shop = Shop().begin()
    shop.told(30, "completed", 2, agent_id="ana")
    assert len(shop.of("resolution")) == 1
    shop.message(500, "e2")
    shop.told(500, "reopened", 3, event_id="e2")
    assert shop.of("resolution") == [] and shop.of("handle_time") == []
    shop.told(520, "assigned", 4, agent_id="ana", queue="billing", waited_s=1)
    shop.told(540, "completed", 5, agent_id="ana")
    assert [one["value_us"] for one in shop.of("resolution")] == [70 * S]
    assert shop.rows["task", "tsk_1"]["reopened"] == 1


def test_a_late_answer_turns_a_miss_into_a_kept_promise() -> None:
    shop = Shop().begin()
    shop.message(100, "m2", "agent", now=100)
    assert [one["outcome"] for one in shop.of("first_response")] == ["missed"]
    shop.message(50, "m1", "agent", now=130)
    assert [(one["outcome"], one["value_us"]) for one in shop.of("first_response")] == [("met", 50 * S)]  # fmt: skip


def test_closing_after_the_breach_is_told_from_closing_in_time() -> None:
    for at_s, outcome in ((50, "closed_unanswered"), (70, "closed_late")):
        shop = Shop().begin()
        shop.told(at_s, "completed", 2, agent_id="ana")
        assert [one["outcome"] for one in shop.of("first_response")] == [outcome]


def test_an_abandoned_wait_counts_and_a_cancelled_one_does_not() -> None:
    for reason, outcomes in (("abandoned", ["abandoned"]), ("spam", [])):
        shop = Shop().begin()
        shop.told(4, "cancelled", 2, reason=reason)
        assert [one["outcome"] for one in shop.of("first_response")] == outcomes
        assert [one["outcome"] for one in shop.of("speed_of_answer")] == outcomes


def test_feedback_is_of_the_task_it_names_and_a_correction_replaces_it() -> None:
    shop = Shop().begin()
    shop.told(9, "assigned", 2, agent_id="ana", queue="billing", waited_s=9)
    shop.message(20, "f1", survey="csat", score=2)
    shop.message(21, "f1b", survey="csat", score=4, message_id="msg_f1")
    assert [key for key in shop.rows if key[0] == "feedback"] == [("feedback", "msg_f1")]
    row = shop.rows["feedback", "msg_f1"]
    assert (row["score"], row["task_id"], row["queue"], row["agent_id"]) == (4, "tsk_1", "billing", "ana")  # fmt: skip


def test_a_queues_odd_threshold_becomes_an_edge_for_good() -> None:
    shop = Shop()
    promise = {"first_response": {"threshold_s": 37.25, "goal": 0.8}, "resolution": {"threshold_s": 60}}  # fmt: skip
    for number, body in enumerate([{"service_level": promise}, {"service_level": None}, None]):
        given_body = msgspec.json.encode({"id": "q", "version": number, "body": body})
        shop.apply(1, Input("config", "queue", given_body))
    assert [row["edge_us"] for (table, _), row in shop.rows.items() if table == "edge"] == [37_250_000]  # fmt: skip
    shop.begin()
    shop.message(37.2, "m", "agent")
    assert [one["bucket_us"] for one in shop.of("first_response")] == [37_250_000]
    again = SlaFactory().create("acme", 1)
    again.load(shop.core.dump())
    assert again.dump() == shop.core.dump()


def test_a_hold_that_is_told_after_the_end_shortens_what_is_counted() -> None:
    shop = Shop().begin()
    shop.told(602, "completed", 3, agent_id="ana")
    assert [one["value_us"] for one in shop.of("resolution")] == [602 * S]
    shop.told(601, "held", 2, now=700)
    assert [one["value_us"] for one in shop.of("resolution")] == [601 * S]


STEP = st.tuples(
    st.integers(1, 90),
    st.sampled_from(["customer", "agent", "held", "resumed", "assigned", "transferred", "twice"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=16), st.booleans(), st.randoms(use_true_random=False))
def test_measures_equal_a_recomputation_in_any_order_and_told_twice(steps, done, random) -> None:
    at, plan = 0.0, []
    for number, (gap, kind) in enumerate(steps):
        at += gap
        plan.append((at, kind, number))
    if done:
        plan.append((at + 1, "completed", len(plan)))
    mixed_plan = [*plan, *random.sample(plan, len(plan) // 2)]
    random.shuffle(mixed_plan)
    straight, mixed = Shop().begin(), Shop().begin()
    for shop, order in ((straight, plan), (mixed, mixed_plan)):
        for at_s, kind, number in order:
            now = at_s if shop is straight else 5_000
            play(shop, at_s, kind, number, now)
            assert shop.counted() == shop.recomputed()
    assert straight.counted() == mixed.counted()


def play(shop: Shop, at_s: float, kind: str, number: int, now: float) -> None:
    if kind in ("customer", "agent", "twice"):
        role = "customer" if kind == "twice" else kind
        for _ in range(2 if kind == "twice" else 1):
            shop.message(at_s, f"m{number}", role, now=now)
    else:
        more = {"to": {"queue": f"q{number}"}, "mode": "blind"} if kind == "transferred" else {}
        facts = {"agent_id": f"a{number % 2}", "reason": "lunch", "tags": [f"t{number}"], **more}
        shop.told(at_s, kind, number + 2, now=now, **facts)
