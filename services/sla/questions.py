"""What the evaluations of calendars and policies are asked: the forms of their bodies, as people write
them. What goes together is checked by who answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.sla.resources import CalendarBody, SlaPolicyBody

EVENTS_MAX = 5_000
CALENDARS_MAX = 50
Instant = Annotated[str, Field(examples=["2026-11-23T09:00:00Z"])]
EventType = Literal[
    "customer_message", "agent_message", "agent_note", "bot_message", "auto_reply", "task_created",
    "assigned", "transferred", "paused", "resumed", "pending", "resolved", "reopened", "closed",
    "abandoned", "priority_changed", "policy_changed",
]  # fmt: skip


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CalendarQuestion(_Question):
    """One of `calendar`, `calendar_id` and `calendars`, and one of: start and duration_s (a deadline;
    negative looks back), start and end (the open time between), at (open or not), start, end and list
    (windows), start and business_days (a deadline)."""

    calendar: CalendarBody | None = None
    calendar_id: str | None = None
    calendars: Annotated[list[CalendarBody | str], Field(min_length=1, max_length=20)] | None = None
    combine: Literal["union", "intersection"] | None = None
    start: Instant | None = None
    duration_s: float | None = None
    end: Instant | None = None
    at: Instant | None = None
    list: Literal["windows"] | None = None
    business_days: int | None = None
    end_of_day: bool | None = None


class TrialFacts(_Question):
    """Of the task and its customer; conditions of policies read them."""

    channel: str | None = None
    priority: float | None = None
    queue: str | None = None
    language: str | None = None
    kind: str | None = None
    attributes: dict[str, Any] | None = None
    tags: list[Any] | None = None
    agent_id: str | None = None
    id: Any = None
    customer: dict[str, Any] | None = None


class TrialEvent(BaseModel):
    """Something that happens; with what is then new of the task."""

    model_config = ConfigDict(extra="allow")

    time: Instant
    type: EventType
    reason: str | None = None
    until: Instant | None = None
    priority: float | None = None
    policy: SlaPolicyBody | None = None
    mode: Literal["recompute", "forward", "reset", "proportional"] | None = None


class PolicyTrial(_Question):
    """The clocks of `policy` over `events` until `now`. Calendars that the policy names and that are
    not among `calendars` are the stored ones."""

    calendars: Annotated[list[CalendarBody], Field(max_length=CALENDARS_MAX)] = []
    policy: SlaPolicyBody
    facts: TrialFacts = TrialFacts()
    events: Annotated[list[TrialEvent], Field(max_length=EVENTS_MAX)]
    now: Instant
