"""The checker of the kills finds each broken promise: every one is broken here on purpose."""

from types import SimpleNamespace

import msgspec
import pytest

from shared.bus.port import Record
from shared.contracts import topics as names
from shared.contracts.envelope import Envelope, to_headers
from shared.testing.kill_calls import Done, Ledger, Look, Posted, Taken
from shared.testing.kill_checker import check, check_journal, unfinished
from shared.testing.kill_topics import Topics

ASKED, ANSWERED = "2026-11-23T10:00:00Z", "2026-11-23T10:00:03Z"


class Story:
    """One question that is offered, accepted, answered and completed, as topics and answers."""

    def __init__(self):
        self.topics = Topics(SimpleNamespace(), 1)
        self.ledger = Ledger()
        self.last = {}
        self.offset = 0
        self.ledger.posted["evt_1"] = Posted("w", "evt_1", "cnv_1")
        self.say("evt_1", ASKED, "inbound")
        self.route("task.created", task_id="tsk_1", event_id="evt_1")
        self.offer("off_1", "tsk_1", "ana")
        self.accept("off_1", "tsk_1", "ana")
        self.say("evt_2", ANSWERED, "outbound")
        self.ledger.replies.append(Posted("w", "evt_2", "cnv_1"))
        self.clock("started")
        self.clock("met", satisfied_at=ANSWERED)

    def finish(self):
        self.route("task.completed", task_id="tsk_1", agent_id="ana")
        self.ledger.done.append(Done("w", "ana", "tsk_1"))

    def put(self, topic, event_id, kind, time, data, sequence=None, previous=None):
        extensions = () if previous is None else (("previous", str(previous)),)
        envelope = Envelope(
            id=event_id, source="/x", type=kind, time=time, workspace="w",
            data=msgspec.json.encode(data), sequence=sequence, extensions=extensions,
        )  # fmt: skip
        record = Record(topic, 0, self.offset, 0, b"k", envelope.data, to_headers(envelope))
        self.offset += 1
        self.topics._take(record)
        return record

    def say(self, event_id, time, direction, **more):
        data = {"conversation_id": "cnv_1", "direction": direction, **more}
        return self.put(names.INTERACTIONS["chat"], event_id, "interaction.message.v1", time, data)

    def _next(self, topic, kind, **data):
        last = self.last.get(topic, 0)
        self.last[topic] = last + 1
        whole = {"workspace": "w", "at": ASKED, "seq": last + 1, "conversation_id": "cnv_1", **data}
        return self.put(topic, f"evt_{topic}_{last}", kind, ASKED, whole, last + 1, last)

    def route(self, kind, **data):
        return self._next(names.ROUTING_EVENTS, f"routing.{kind}.v1", **data)

    def clock(self, kind, **data):
        whole = {
            "clock_id": "clk_1",
            "cycle": 1,
            "metric": "first_response",
            "due_at": None,
            **data,
        }
        return self._next(names.SLA_EVENTS, f"sla.clock.{kind}.v1", **whole)

    def offer(self, offer, task, agent):
        self.route("offer.created", offer_id=offer, task_id=task, agent_id=agent)

    def accept(self, offer, task, agent):
        self.route("offer.accepted", offer_id=offer, task_id=task, agent_id=agent)
        self.route("task.assigned", offer_id=offer, task_id=task, agent_id=agent)
        self.ledger.taken.append(Taken("w", agent, offer, task))


@pytest.fixture
def story():
    return Story()


def test_a_story_without_fault(story):
    assert unfinished(story.topics, story.ledger) == ["w: 1 tasks"]
    story.finish()
    assert unfinished(story.topics, story.ledger) == []
    assert check(story.topics, story.ledger) == []


def _lost(story):
    story.ledger.posted["evt_9"] = Posted("w", "evt_9", "cnv_1")


def _routed_twice(story):
    story.route("task.message", task_id="tsk_1", event_id="evt_1")


def _from_nowhere(story):
    story.route("task.message", task_id="tsk_1", event_id="evt_8")


def _two_owners(story):
    story.route("offer.created", offer_id="off_2", task_id="tsk_1", agent_id="ben")
    story.accept("off_2", "tsk_1", "ben")


def _overloaded(story):
    for number in range(2, 6):
        story.route("task.created", task_id=f"tsk_{number}", event_id=None)
        story.offer(f"off_{number}", f"tsk_{number}", "ana")


def _offered_twice(story):
    story.route("task.created", task_id="tsk_2", event_id=None)
    story.offer("off_2", "tsk_2", "ben")
    story.offer("off_3", "tsk_2", "ben")


def _given_by_nobody(story):
    story.route("task.assigned", offer_id=None, task_id="tsk_1", agent_id="ben")


def _moved_in_words_only(story):
    story.ledger.steered["w", "transfer", "tsk_1"] += 1


def _moved_twice(story):
    _moved_in_words_only(story)
    for _ in range(2):
        story.route("task.transferred", task_id="tsk_1", mode="warm", from_agent="ana")


def _promised_call(story):
    story.ledger.created.append(("w", "tsk_7"))


def _overloaded_once_relieved(story):
    """What a supervisor gave beyond capacity excuses no later offer."""
    story.ledger.steered["w", "assign", "tsk_2"] += 1
    for number in range(2, 6):
        story.route("task.created", task_id=f"tsk_{number}", event_id=None)
    story.route("task.assigned", offer_id=None, task_id="tsk_2", agent_id="ana", over_capacity=True)
    for number in range(3, 6):
        story.offer(f"off_{number}", f"tsk_{number}", "ana")
        if number == 3:
            story.route("offer.expired", offer_id="off_3", task_id="tsk_3", agent_id="ana")
            story.route("task.completed", task_id="tsk_2", agent_id="ana")
            story.offer("off_6", "tsk_3", "ana")


def _not_honoured(story):
    story.ledger.taken.append(Taken("w", "ben", "off_7", "tsk_1"))


def _completed_in_words_only(story):
    story.ledger.done.append(Done("w", "ben", "tsk_1"))


def _missing(story):
    story.last[names.ROUTING_EVENTS] += 1
    story.route("agent.presence", agent_id="ana")


def _other_bytes(story):
    data = {"workspace": "w", "seq": 1, "task_id": "tsk_1", "event_id": "evt_1", "other": 1}
    story.put(names.ROUTING_EVENTS, "evt_x", "routing.task.created.v1", ASKED, data, 1, 0)


def _other_interaction(story):
    story.say("evt_1", ASKED, "inbound", text="another")


def _stale(story):
    story.ledger.looks.append(Look("w", "ana", 1.0, 2.0, 7))
    story.ledger.looks.append(Look("w", "ana", 2.5, 3.0, 6))


def _breached_twice(story):
    story.clock("warning", level=0.5)
    story.clock("breached")
    story.clock("breached")


def _breached_though_answered(story):
    story.clock("warning", level=0.5)
    story.clock("breached")


def _two_clocks(story):
    story.clock("started", clock_id="clk_2")
    story.clock("met", clock_id="clk_2", satisfied_at=ANSWERED)


def _breached_unwarned(story):
    story.clock("started", clock_id="clk_3", metric="resolution", due_at=ANSWERED)
    story.clock("breached", clock_id="clk_3", metric="resolution", due_at=ANSWERED)


def _dead_letter(story):
    story.put(names.DEADLETTER, "evt_d", "dead", ASKED, {"reason": "core-failed"})


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (_lost, "is on no topic"),
        (_routed_twice, "was routed 2 times"),
        (_from_nowhere, "which is on no topic"),
        (_two_owners, "has it"),
        (_overloaded, "ana holds"),
        (_offered_twice, "is offered to ben"),
        (_given_by_nobody, "assign of tsk_1 was answered 0 times"),
        (_moved_in_words_only, "happened 0 times"),
        (_moved_twice, "happened 2 times"),
        (_promised_call, "answered and not created"),
        (_overloaded_once_relieved, "ana holds"),
        (_not_honoured, "did not happen"),
        (_completed_in_words_only, "not so"),
        (_missing, "before it, not"),
        (_other_bytes, "other bytes"),
        (_other_interaction, "of one id differ"),
        (_stale, "had been shown"),
        (_breached_twice, "breached 2 times"),
        (_breached_though_answered, "was answered after 3.000 s"),
        (_two_clocks, "two first-response clocks"),
        (_breached_unwarned, "without a warning"),
        (_dead_letter, "dead letter"),
    ],
)
def test_each_broken_promise_is_found(story, fault, said):
    fault(story)
    story.finish()
    assert any(said in problem for problem in check(story.topics, story.ledger))


def test_what_a_supervisor_may_do(story):
    """More than fits, and from one agent to another while the first has it; wrapped up, and back again."""
    for agent in ("ben", "ana"):
        story.ledger.steered["w", "assign", "tsk_1"] += 1
        story.route(
            "task.assigned", offer_id=None, task_id="tsk_1", agent_id=agent, over_capacity=True
        )
    story.ledger.steered["w", "transfer", "tsk_1"] += 1
    story.route("task.transferred", task_id="tsk_1", mode="warm", from_agent="ana")
    story.offer("off_2", "tsk_1", "ben")
    story.accept("off_2", "tsk_1", "ben")
    for _ in range(2):
        story.route("task.wrapping", task_id="tsk_1", agent_id="ben")
        story.ledger.done.append(Done("w", "ben", "tsk_1"))
        story.route("task.assigned", offer_id=None, task_id="tsk_1", agent_id="ben")
    story.route("task.wrapping", task_id="tsk_1", agent_id="ana")
    story.finish()
    assert check(story.topics, story.ledger) == []


def test_what_clocks_may_do(story):
    """A task that is reopened lets a met clock run on; a provisional clock may be cancelled."""
    story.clock("started", clock_id="clk_2", metric="resolution", due_at=ANSWERED)
    for kind in ("met", "resumed", "warning", "breached"):
        more = {"level": 0.5} if kind == "warning" else {}
        story.clock(kind, clock_id="clk_2", metric="resolution", due_at=ANSWERED, **more)
    story.clock("started", clock_id="clk_3", due_at=ASKED)
    story.clock("breached", clock_id="clk_3", due_at=ASKED)
    story.clock("cancelled", clock_id="clk_3", state="cancelled")
    story.finish()
    assert check(story.topics, story.ledger) == []


def test_a_question_whose_only_clock_was_cancelled_is_told(story):
    """One that its task's end closed is judged by the messages, as all are."""
    story.clock("cancelled", state="closed_unanswered")
    story.finish()
    assert check(story.topics, story.ledger) == []
    story.clock("cancelled", state="cancelled")
    assert any("no first-response" in one for one in check(story.topics, story.ledger))


def test_a_journal_that_differs_from_the_topic(story):
    told = [
        {"seq": event.sequence, "type": event.type, "data": event.data}
        for event in story.topics.routing["w"]
    ]
    assert check_journal("w", told, story.topics) == []
    assert check_journal("w", told[:-1], story.topics)
    assert check_journal("w", [*told[:1], *told[2:]], story.topics)
