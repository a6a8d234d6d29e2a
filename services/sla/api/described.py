"""What calendars, SLA policies and their evaluations say of themselves, and an example of each."""

from typing import Any, TypedDict

from services.sla.domain.commands import ResourceKind
from services.sla.domain.shapes import EvaluatedClocks
from services.sla.questions import CalendarQuestion, PolicyTrial
from services.sla.resources import CalendarBody, SlaPolicyBody
from shared.calendars.shapes import CalendarAnswer, SpecialDay
from shared.http.calls import Call, Written

_WEEK = {day: [["08:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
_OFFICE: dict[str, Any] = {
    "id": "office",
    "timezone": "Europe/Berlin",
    "hours": _WEEK,
    "country": "DE",
    "holidays": ["2026-12-24"],
    "overrides": {"2026-12-31": [["08:00", "12:00"]]},
}
_STANDARD: dict[str, Any] = {
    "id": "standard",
    "calendar": "office",
    "targets": {
        "first_response": {"target_s": 3600, "warn_at": [0.5, 0.8]},
        "resolution": {"target_business_days": 2},
    },
}
TITLES: dict[ResourceKind, str] = {"calendar": "a calendar", "sla_policy": "an SLA policy"}
WRITTEN: dict[ResourceKind, Written] = {
    "calendar": Written(CalendarBody, "Calendar"),
    "sla_policy": Written(SlaPolicyBody, "SlaPolicy"),
}
EXAMPLES: dict[ResourceKind, dict[str, Any]] = {"calendar": _OFFICE, "sla_policy": _STANDARD}
DELETE = Call(keyed=True, conditional=True, may=(409,))


class SpecialDays(TypedDict):
    days: list[SpecialDay]
    next: None


DAYS = Call(answer=SpecialDays)
ASK_CALENDARS = Call(
    body=CalendarQuestion,
    example={"calendar": _OFFICE, "start": "2026-11-27T16:00:00Z", "duration_s": 7200},
    answer=CalendarAnswer,
    may=(413,),
)
TRY_POLICY = Call(
    body=PolicyTrial,
    example={
        "calendars": [_OFFICE],
        "policy": _STANDARD,
        "facts": {"channel": "email", "priority": 5, "customer": {"tier": "gold"}},
        "events": [
            {"time": "2026-11-23T09:00:00Z", "type": "customer_message"},
            {"time": "2026-11-23T09:30:00Z", "type": "agent_message"},
        ],
        "now": "2026-11-23T10:00:00Z",
    },
    answer=EvaluatedClocks,
)


def put_call(kind: ResourceKind) -> Call:
    return Call(
        body=WRITTEN[kind],
        example=EXAMPLES[kind],
        answer=WRITTEN[kind],
        created=True,
        etag=True,
        conditional=True,
        keyed=True,
    )


def get_call(kind: ResourceKind) -> Call:
    return Call(answer=WRITTEN[kind], etag=True)


def list_call(kind: ResourceKind, plural: str) -> Call:
    return Call(answer=WRITTEN[kind], page=plural)
