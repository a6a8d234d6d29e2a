"""How a task was worked on: waiting, talk, hold and wrap-up, folded from the same events as its
clocks, so that a late event gives the same times as if it had come in order.
"""

from typing import Any, Literal

import msgspec

from services.sla.domain.clock import Served

WAITING_ON_CUSTOMER = "waiting_on_customer"
Phase = Literal["", "wait", "talk", "hold", "parked", "wrap", "done"]
Ending = Literal["", "completed", "abandoned", "cancelled"]


class Work(msgspec.Struct, gc=False):
    """Times are microseconds. `talk`: an agent has it and it is not held; `hold`: held, save for the
    customer's answer (`parked`), which is nobody's work; `wrap`: after the conversation.
    `first_us`: first assignment since it was opened; `served`: whose figure the wait for it is.
    `ending` is empty while it is open."""

    phase: Phase = ""
    since_us: int = 0
    created_us: int | None = None
    first_us: int | None = None
    ended_us: int | None = None
    ending: Ending = ""
    talk_us: int = 0
    hold_us: int = 0
    wrap_us: int = 0
    reopened: int = 0
    replies: int = 0
    agent_id: str | None = None
    served: Served | None = None

    @property
    def wait_us(self) -> int | None:
        """From its creation to the first assignment, or to its abandonment."""
        if self.created_us is None:
            return None
        end_us = self.first_us
        if end_us is None and self.ending == "abandoned":
            end_us = self.ended_us
        return None if end_us is None else max(0, end_us - self.created_us)

    @property
    def handle_us(self) -> int:
        return self.talk_us + self.hold_us + self.wrap_us


def fold_work(work: Work, kind: str, at_us: int, fields: dict[str, Any], held: str | None) -> None:
    """One event. `held`: why the task is held after it, None where it is not."""
    if kind == "agent_message":
        work.replies += 1
        return
    if work.created_us is None:
        if kind != "task_created":
            return
        work.created_us = at_us
        _enter(work, "wait", at_us)
    elif kind == "assigned":
        work.first_us = at_us if work.first_us is None else work.first_us
        work.agent_id = fields.get("agent_id") or work.agent_id
        _enter(work, _held(held), at_us)
    elif kind == "unassigned":
        _enter(work, "wait", at_us)
    elif kind == "wrapping":
        _enter(work, "wrap", at_us)
    elif kind == "transferred" and fields.get("mode") == "blind":
        if work.phase != "done":
            _enter(work, "wait", at_us)
    elif kind in ("paused", "pending", "resumed", "customer_message"):
        if work.phase in ("talk", "hold", "parked") or (
            work.phase == "wrap" and kind == "customer_message"
        ):
            _enter(work, _held(held), at_us)
    elif kind in _ENDINGS:
        _end(work, _ENDINGS[kind], at_us)
    elif kind == "reopened" and work.phase == "done":
        work.reopened += 1
        work.ending, work.ended_us = "", None
        _enter(work, "wait", at_us)


_ENDINGS: dict[str, Ending] = {
    "resolved": "completed",
    "closed": "completed",
    "abandoned": "abandoned",
    "cancelled": "cancelled",
}


def _held(why: str | None) -> Phase:
    if why is None:
        return "talk"
    return "parked" if why == WAITING_ON_CUSTOMER else "hold"


def _enter(work: Work, phase: Phase, at_us: int) -> None:
    spent = max(0, at_us - work.since_us)
    if work.phase == "talk":
        work.talk_us += spent
    elif work.phase == "hold":
        work.hold_us += spent
    elif work.phase == "wrap":
        work.wrap_us += spent
    work.phase, work.since_us = phase, at_us


def _end(work: Work, ending: Ending, at_us: int) -> None:
    if work.phase == "done":
        return
    _enter(work, "done", at_us)
    work.ending, work.ended_us = ending, at_us
