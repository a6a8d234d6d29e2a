"""Calendars and service-level policies as people write them: the bodies of their PUTs."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.sla.domain import room
from services.sla.domain.policy import METRICS, Policy, compile_policy
from shared.calendars import check_calendar, parse_calendar
from shared.contracts.faults import limit_of, plain
from shared.contracts.problems import Fault, Refused, invalid
from shared.rules import nearest

TEN_YEARS_S = 10 * 366 * 86_400
NAMED_MAX = 50
STEPS_MAX = 50
WARNINGS_MAX = 20

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Seconds = Annotated[float, Field(gt=0, le=TEN_YEARS_S, allow_inf_nan=False)]
Days = Annotated[int, Field(gt=0, le=3_660)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Source = Annotated[str, Field(min_length=1, max_length=2_000)]
Metric = Literal[
    "first_response", "next_response", "periodic_update", "first_resolution", "resolution",
    "time_to_assign", "customer_wait", "agent_work",
]  # fmt: skip
Time = Annotated[str, Field(examples=["08:00"])]
Window = Annotated[list[Time], Field(min_length=2, max_length=2, examples=[["08:00", "18:00"]])]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class _Goal(_Model):
    """Exactly one of `target_s` (open time) and `target_business_days`."""

    target_s: Seconds | None = None
    target_business_days: Days | None = None
    end_of_day: bool = False

    @model_validator(mode="after")
    def _one_goal(self) -> "_Goal":
        if (self.target_s is None) == (self.target_business_days is None):
            raise ValueError("exactly one of target_s and target_business_days is needed")
        if self.end_of_day and self.target_business_days is None:
            raise ValueError("end_of_day needs target_business_days")
        return self


class PriorityStep(_Goal):
    """Another target from a priority of `min` on; the highest step reached counts."""

    min: Annotated[float, Field(allow_inf_nan=False)]


class ChannelGoal(_Goal):
    """Another target on one channel."""

    by_priority: Annotated[list[PriorityStep], Field(max_length=STEPS_MAX)] = []


class RungBody(_Model):
    """A level of a ladder of notices: once `used` of the target is used (above 1: overdue)."""

    name: Id
    used: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    notify: Annotated[list[Id], Field(min_length=1, max_length=20)]
    out_of_hours: Literal["send", "hold", "skip"] = "hold"


class _ClockBody(_Goal):
    """What every clock may have. `pause_max_s`: open time that its pauses may take together."""

    warn_at: Annotated[list[Share], Field(max_length=WARNINGS_MAX)] = []
    by_priority: Annotated[list[PriorityStep], Field(max_length=STEPS_MAX)] = []
    pause_when: Source | None = None
    pause_max_s: Annotated[float, Field(ge=0, le=TEN_YEARS_S, allow_inf_nan=False)] | None = None
    calendar: Id | None = None
    ladder: Annotated[list[RungBody], Field(max_length=WARNINGS_MAX)] = []


class TargetBody(_ClockBody):
    """The target of one metric. `answered_by`: what stops a response clock."""

    by_channel: dict[Literal["phone", "email", "chat", "social"], ChannelGoal] = {}
    reopen: Literal["continue", "new_cycle"] | None = None
    answered_by: (
        Annotated[
            list[Literal["agent_message", "agent_note", "bot_message", "auto_reply"]],
            Field(min_length=1),
        ]
        | None
    ) = None


class NamedBody(_ClockBody):
    """A clock with its own start, pause and stop."""

    name: Id
    start_when: Source
    stop_when: Source


class GroupBody(_ClockBody):
    """A group's own target (OLA): its clock runs while the task is in `queue`."""

    name: Id
    queue: Id


class CalendarRule(_Model):
    """The calendar of the clocks that have none of their own, where `when` holds."""

    when: Source
    calendar: Id


class NoticesBody(_Model):
    """The hours of notices, and what a warning does outside them."""

    calendar: Id
    warnings: Literal["send", "hold", "skip"] = "hold"


class SlaPolicyBody(_Model):
    """A service-level policy. Policies are asked in order; the first whose `when` holds counts.

    `order`: its place among the others; without it, behind those that are there.
    """

    id: Id | None = None
    when: Source | None = None
    calendar: Id
    targets: dict[Metric, TargetBody] = {}
    named: Annotated[list[NamedBody], Field(max_length=NAMED_MAX)] = []
    groups: Annotated[list[GroupBody], Field(max_length=NAMED_MAX)] = []
    calendars: Annotated[list[CalendarRule], Field(max_length=NAMED_MAX)] = []
    notices: NoticesBody | None = None
    on_change: Literal["recompute", "forward", "reset", "proportional"] = "recompute"
    lateness_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 300
    order: int | None = None


class YearlyBody(_Model):
    """A day that is closed every year, MM-DD."""

    yearly: str


class HoursBody(_Model):
    """Windows of each weekday; a day that is not named is closed."""

    mon: list[Window] = []
    tue: list[Window] = []
    wed: list[Window] = []
    thu: list[Window] = []
    fri: list[Window] = []
    sat: list[Window] = []
    sun: list[Window] = []


class FeedBody(_Model):
    """An iCalendar text whose all-day events close their days; those in `off` stay open. With its
    address (`url`) the text is read from there: now, and again every six hours."""

    name: Id
    url: Annotated[str, Field(max_length=2_000)] | None = None
    ical: str | None = None
    off: list[str] = []


class _CalendarFields(_Model):
    hours: HoursBody | None = None
    always_open: bool | None = None
    holidays: list[str | YearlyBody] | None = None
    feeds: list[FeedBody] | None = None
    country: str | None = None
    subdivision: str | None = None
    overrides: dict[str, list[Window]] | None = None


class CalendarVersionBody(_CalendarFields):
    """From a local date on, the fields it names replace the earlier ones."""

    since: Annotated[str, Field(alias="from")]
    timezone: str | None = None


class CalendarBody(_CalendarFields):
    """Open hours in a time zone, or calendars made one. The rules beyond the shape are
    `shared.calendars`'."""

    id: Id | None = None
    timezone: str | None = None
    versions: list[CalendarVersionBody] | None = None
    calendars: list["CalendarBody"] | None = None
    combine: Literal["union", "intersection"] | None = None


def read_calendar(body: object, name: str | None = None, pointer: str = "") -> dict[str, Any]:
    """The canonical body of a calendar: what was given, with its id.

    Raises Refused("validation") with pointers.
    """
    calendar = parse_calendar(body, pointer)
    check_calendar(calendar, pointer)
    given = dict(cast("dict[str, Any]", body))
    return _with_id(given, name, pointer)


def read_policy(body: object, name: str | None = None, pointer: str = "") -> dict[str, Any]:
    """The canonical body of a policy: what was given, with its id; its conditions compile.

    Raises Refused("validation") with pointers. Whether its calendars exist is for the caller
    (`services.sla.domain.policy.check_references`).
    """
    checked = _validated(SlaPolicyBody, body, pointer)
    canonical = _with_id(checked, name, pointer)
    _check_names(canonical, pointer)
    room.check_policy(compile_policy({"id": "", **canonical}, 0, pointer), pointer)
    return canonical


def read_compiled(body: object, pointer: str, version: int = 1) -> tuple[dict[str, Any], Policy]:
    """An inline policy, canonical and compiled. Raises Refused."""
    canonical = {"id": "policy", **read_policy(body, None, pointer)}
    return canonical, compile_policy(canonical, version, pointer)


def _with_id(given: dict[str, Any], name: str | None, pointer: str) -> dict[str, Any]:
    inside = given.get("id")
    if name is None:
        return given
    if inside is not None and inside != name:
        raise invalid(f"{pointer}/id", "id", "the id is not the address's", name)
    return {"id": name, **{field: value for field, value in given.items() if field != "id"}}


def _check_names(body: dict[str, Any], pointer: str) -> None:
    seen: set[str] = set()
    listed = [(f"{pointer}/{kind}/{index}/name", one) for kind in ("named", "groups") for index, one in enumerate(body.get(kind, ()))]  # fmt: skip
    for place, named in listed:
        if named["name"] in METRICS:
            raise invalid(place, "name", "the name is a metric's", "a name of its own")
        if named["name"] in seen:
            raise invalid(place, "duplicate", "two clocks have this name", "a name of its own")
        seen.add(named["name"])


def _validated(model: type[BaseModel], body: object, pointer: str) -> dict[str, Any]:
    try:
        found = model.model_validate(body)
    except ValidationError as error:
        faults = [_fault(cast("dict[str, Any]", one), model, pointer) for one in error.errors()]
        raise Refused("validation", faults[0].message, errors=faults) from None
    return found.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def _fault(error: dict[str, Any], model: type[BaseModel], pointer: str) -> Fault:
    place = [part for part in error["loc"] if part != "[key]"]
    path = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)
    kind = str(error["type"])
    message = plain(str(error["msg"]).removeprefix("Value error, "))
    expected = limit_of(error.get("ctx") or {})
    if kind == "extra_forbidden":
        kind, message = "unknown_field", f"there is no field {str(place[-1])!r} here"
        expected = _nearest(str(place[-1]), model)
    elif kind == "literal_error":
        kind = "value"
    return Fault(f"{pointer}{path}", kind, message, expected)


def _nearest(name: str, model: type[BaseModel]) -> str | None:
    known = {
        field
        for one in (model, TargetBody, NamedBody, GroupBody, PriorityStep, RungBody)
        for field in one.model_fields
    }
    return nearest(name, known)
