"""Time in hand: tasks, agents' spans, feedback, and what all that becomes as figures."""

import msgspec
import pytest

from services.sla.domain.agents import Agents
from services.sla.domain.feedback import Scores, answer_of, shown_scores
from services.sla.domain.histogram import of_values
from services.sla.domain.intake import told_of
from services.sla.domain.summary import abandonment, breach_chance, contacts, occupancy
from services.sla.domain.work import Work, fold_work
from shared.contracts.instants import format_instant, parse_instant

S = 1_000_000
T0 = parse_instant("2026-11-23T09:00:00Z")


def folded(*events: tuple[float, str] | tuple[float, str, str | None]) -> Work:
    """`held` (the third value) is what the task is held for after the event."""
    work, held = Work(), None
    for at_s, kind, *more in events:
        held = more[0] if more else held
        fields = {"agent_id": "ana"} if kind == "assigned" else {}
        if kind == "transferred":
            fields = {"mode": "blind"}
        fold_work(work, kind, round(at_s * S), fields, held)
    return work


def test_talk_hold_and_wrap_by_hand() -> None:
    work = folded(
        (0, "task_created"), (30, "assigned"), (90, "paused", "supervisor"), (100, "resumed", None),
        (130, "wrapping"), (150, "resolved"), (150, "closed"),
    )  # fmt: skip
    assert work.wait_us == 30 * S
    assert (work.talk_us, work.hold_us, work.wrap_us) == (90 * S, 10 * S, 20 * S)
    assert work.handle_us == 120 * S and work.ending == "completed"


def test_waiting_for_the_customer_is_nobodys_work() -> None:
    work = folded(
        (0, "task_created"), (10, "assigned"), (20, "paused", "waiting_on_customer"),
        (5000, "customer_message", None), (5010, "resolved"),
    )  # fmt: skip
    assert work.handle_us == 20 * S and work.hold_us == 0


def test_an_abandoned_task_waited_until_then_and_a_queued_one_waits_still() -> None:
    assert folded((0, "task_created"), (7, "abandoned")).wait_us == 7 * S
    assert folded((0, "task_created")).wait_us is None
    assert folded((0, "task_created"), (7, "cancelled")).wait_us is None


def test_transfer_and_reopening() -> None:
    work = folded(
        (0, "task_created"), (10, "assigned"), (20, "transferred"), (50, "assigned"),
        (60, "resolved"), (100, "reopened"), (110, "assigned"), (115, "resolved"),
    )  # fmt: skip
    assert work.talk_us == 25 * S and work.wait_us == 10 * S
    assert (work.reopened, work.ended_us) == (1, 115 * S)


class Desk:
    def __init__(self) -> None:
        self.agents = Agents("acme")
        self.spans: dict[tuple[str, int], dict] = {}

    def told(self, at_s: float, kind: str, **more) -> None:
        data = {"at": format_instant(T0 + round(at_s * S)), **more}
        name, body = f"routing.{kind}.v1", msgspec.json.encode(data)
        task = kind.startswith("task.")
        agents = self.agents
        for row in agents.follow(name, told_of(name, body)) if task else agents.take(name, body):
            self.spans[row.values["agent_id"], row.values["from_us"]] = row.values

    def of(self, agent: str) -> list[tuple]:
        """(from, to, status, tasks) in seconds since the start."""
        rows = sorted((row for (name, _), row in self.spans.items() if name == agent), key=lambda r: r["from_us"])  # fmt: skip
        return [
            ((row["from_us"] - T0) / S, row["to_us"] and (row["to_us"] - T0) / S, row["status"], row["tasks"])
            for row in rows
        ]  # fmt: skip


def a_day() -> Desk:
    desk = Desk()
    desk.told(0, "agent.presence", agent_id="ana", status="available")
    desk.told(10, "task.assigned", agent_id="ana", task_id="t1")
    desk.told(15, "task.assigned", agent_id="ana", task_id="t2")
    desk.told(20, "task.held", agent_id="ana", task_id="t2", reason="waiting_on_customer")
    desk.told(30, "task.completed", agent_id="ana", task_id="t1")
    desk.told(40, "task.resumed", agent_id="ana", task_id="t2")
    desk.told(40, "agent.presence", agent_id="ana", status="away")
    desk.told(50, "task.cancelled", task_id="t2", reason="spam")
    return desk


EXPECTED = [
    (0, 10, "available", 0), (10, 15, "available", 1), (15, 20, "available", 2),
    (20, 30, "available", 1), (30, 40, "available", 0), (40, 50, "away", 1),
    (50, None, "away", 0),
]  # fmt: skip


def test_spans_of_an_agent_follow_each_other_without_gaps() -> None:
    assert a_day().of("ana") == EXPECTED


def test_spans_go_on_after_a_restart() -> None:
    desk = a_day()
    again = Desk()
    again.spans = desk.spans
    for entity in desk.agents.dump():
        again.agents.load(entity)
    again.told(60, "agent.presence", agent_id="ana", status="offline")
    assert again.of("ana") == [
        *EXPECTED[:-1], (50, 60, "away", 0), (60, None, "offline", 0),
    ]  # fmt: skip
    assert desk.agents.dump() != again.agents.dump()


def test_a_task_that_goes_to_another_agent_leaves_the_first() -> None:
    desk = Desk()
    desk.told(1, "task.assigned", agent_id="ana", task_id="t1")
    desk.told(5, "task.assigned", agent_id="ben", task_id="t1")
    desk.told(9, "task.completed", agent_id="ben", task_id="t1")
    assert desk.of("ana")[-1] == (5, None, "offline", 0)
    assert desk.of("ben") == [(5, 9, "offline", 1), (9, None, "offline", 0)]


def test_occupancy_by_hand() -> None:
    """6 minutes of contact, 1 of wrap-up, 3 idle: 70 %."""
    desk = {"present_s": 600, "busy_s": 420, "idle_s": 180, "task_s": 840, "unit_s": 21_000, "capacity_s": 60_000}  # fmt: skip
    shown = occupancy([desk])
    assert shown["occupancy"] == pytest.approx(0.7)
    assert shown["weighted"] == pytest.approx(0.35) and shown["concurrency"] == 2
    assert occupancy([])["occupancy"] is None and occupancy([])["weighted"] is None


def test_abandonment_takes_short_ones_off_both_sides() -> None:
    answers, abandons = of_values([1] * 90), of_values([4 * S, 5 * S, 9 * S, 60 * S])
    shown = abandonment(answers, abandons)
    assert shown["abandoned_short"] == 2 and shown["rate"] == pytest.approx(4 / 94)
    assert shown["rate_without_short"] == pytest.approx(2 / 92)
    assert abandonment(of_values([]), of_values([]))["rate"] is None


def test_contacts_of_nothing() -> None:
    assert contacts(None)["first_contact_rate"] is None
    assert contacts({"completed": 4, "first_contact": 3, "reopened": 1})["reopen_rate"] == 0.25


def test_a_breach_is_predicted_from_those_that_waited_as_long() -> None:
    past = of_values([10 * S] * 60 + [100 * S] * 40)
    assert breach_chance(past, 0, 60 * S) == pytest.approx(0.4)
    assert breach_chance(past, 20 * S, 60 * S) == 1.0
    assert breach_chance(past, 200 * S, 60 * S) is None


@pytest.mark.parametrize(
    ("survey", "scores", "figure"),
    [
        ("csat", [5, 4, 3, 1], ("csat", 0.5)),
        ("nps", [10, 9, 8, 6, 0], ("nps", 0.0)),
        ("nps", [10, 9, 7], ("nps", pytest.approx(66.6667, abs=1e-3))),
        ("ces", [7, 5, 4, 1], ("ces", 0.5)),
        ("csat", [], ("csat", None)),
        ("nps", [11, -1], ("nps", None)),
    ],
)
def test_surveys_by_hand(survey, scores, figure) -> None:
    counted = Scores()
    for score in scores:
        counted.add(survey, score)
    shown = shown_scores(survey, counted)
    assert shown[figure[0]] == figure[1] and shown["responses"] == len(scores)


def test_feedback_without_a_score_says_nothing() -> None:
    body = {"conversation_id": "c", "message_id": "m", "channel": "chat", "survey": "csat"}
    assert answer_of(msgspec.json.encode(body)) is None
    assert answer_of(msgspec.json.encode({**body, "score": 3})) is not None


def test_a_task_that_waits_for_its_customer_waits_at_its_next_agent_too() -> None:
    desk = Desk()
    desk.told(0, "task.assigned", agent_id="ana", task_id="t1")
    desk.told(10, "task.held", agent_id="ana", task_id="t1", reason="waiting_on_customer")
    desk.told(20, "task.assigned", agent_id="ben", task_id="t1")
    desk.told(30, "task.resumed", agent_id="ben", task_id="t1")
    assert [row[3] for row in desk.of("ana")] == [1, 0]
    assert [(row[0], row[3]) for row in desk.of("ben")] == [(30, 1)]
