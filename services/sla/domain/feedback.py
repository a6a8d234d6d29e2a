"""What customers answer when they are asked how it was: CSAT, NPS and CES.

CSAT: share of scores of 4 and 5 on a scale from 1 to 5. NPS: share of 9 and 10 less share of 0 to 6, on a
scale from 0 to 10, from -100 to 100. CES: mean of a scale from 1 to 7, and share of 5 to 7.
A score outside its scale is kept and counted apart, never bent into the scale.
"""

from typing import Any

import msgspec

from services.sla.domain.columns import GROUPED, Columns, names
from services.sla.domain.conversation import Live
from services.sla.domain.shapes import Survey
from shared.contracts.core import Row

TABLE = "feedback"
SCALES: dict[str, tuple[float, float]] = {"csat": (1, 5), "nps": (0, 10), "ces": (1, 7)}

# (name, type, nullable)
COLUMNS: Columns = (
    ("workspace", "text", False),
    ("id", "text", False),  # of the message, so that a corrected answer replaces the first
    ("conversation_id", "text", False),
    ("task_id", "text", True),
    ("survey", "text", False),
    ("score", "double", False),
    *GROUPED,
    ("given_us", "instant", False),
)
COLUMN_NAMES = names(COLUMNS)


class Answer(msgspec.Struct):
    """What the figures need of a feedback event."""

    conversation_id: str
    message_id: str
    channel: str
    survey: str | None = None
    score: float | None = None
    task_id: str | None = None
    agent_id: str | None = None


_ANSWER = msgspec.json.Decoder(Answer)


def answer_of(body: bytes) -> Answer | None:
    """The answer in an event; None where it names no survey that we know, or no score."""
    answer = _ANSWER.decode(body)
    return None if answer.survey not in SCALES or answer.score is None else answer


def feedback_row(workspace: str, answer: Answer, live: Live | None, at_us: int) -> Row:
    """Its row. `live`: the work it is about, None where that is not known (any more)."""
    task: dict[str, Any] = {} if live is None else live.fold.episode.facts.task
    policy = None if live is None else live.fold.policy
    worked = None if live is None else live.fold.episode.work.agent_id
    values: dict[str, Any] = {
        "workspace": workspace,
        "id": answer.message_id,
        "conversation_id": answer.conversation_id,
        "task_id": answer.task_id or (None if live is None else live.record.task_id),
        "survey": answer.survey,
        "score": answer.score,
        "channel": answer.channel,
        "queue": task.get("queue"),
        "agent_id": answer.agent_id or task.get("agent_id") or worked,
        "policy_id": policy.id if policy else None,
        "priority": float(task.get("priority") or 0),
        "tags": sorted(set(task.get("tags") or ())),
        "given_us": at_us,
    }
    return Row(TABLE, values)


class Scores(msgspec.Struct):
    """Answers to one survey in scale: how many, their sum, the good and the bad among them;
    `outside`: how many were not on the scale."""

    n: int = 0
    total: float = 0
    good: int = 0
    bad: int = 0
    outside: int = 0

    def add(self, survey: str, score: float, count: int = 1) -> None:
        low, high = SCALES[survey]
        if not low <= score <= high:
            self.outside += count
            return
        self.n += count
        self.total += score * count
        self.good += count * (score >= _GOOD[survey])
        self.bad += count * (score <= _BAD[survey])


_GOOD = {"csat": 4, "nps": 9, "ces": 5}
_BAD = {"csat": 2, "nps": 6, "ces": 3}


def shown_scores(survey: str, scores: Scores) -> Survey:
    """A survey's figure; None where nobody answered."""
    n = scores.n
    shown: Survey = {
        "responses": n + scores.outside,
        "outside_scale": scores.outside,
        "mean": scores.total / n if n else None,
    }
    if survey == "nps":
        shown["promoters"] = scores.good
        shown["detractors"] = scores.bad
        shown["nps"] = 100 * (scores.good - scores.bad) / n if n else None
        return shown
    shown["good"] = scores.good
    shown["csat" if survey == "csat" else "ces"] = scores.good / n if n else None
    return shown
