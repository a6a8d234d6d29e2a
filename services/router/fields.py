"""The fields of the resources that people write: what a value may be, its limits, and what is refused.

Validators raise `fault(code, …)`; `services/router/resources.py` turns that into JSON pointers.
"""

import json
from collections.abc import Iterable
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from services.router.domain.facts import AGENT_NAMES, TASK_NAMES
from shared.contracts.ids import CLIENT_ID
from shared.rules import RuleError, compile_condition, compile_value
from shared.rules.limits import TOTAL_MAX_WEIGHT

RULES_MAX = 200
REQUIRES_MAX = 20
RELAX_MAX = 10
STEPS_MAX = 20
LEVELS_MAX = 50
ACTIONS_MAX = 10
AGENT_QUEUES_MAX = 200
AGENT_SKILLS_MAX = 200
IDENTITIES_MAX = 50
NAMED_AGENTS_MAX = 100
SUPERVISORS_MAX = 100
SHIFTS_MAX = 50
SERVICE_LEVELS_MAX = 20
ATTRIBUTES_MAX_BYTES = 16_384
NAME_MAX_CHARS = 200
SPAN_MAX_S = 31_622_400  # a leap year
OFFER_TTL_MAX_S = 86_400
PARALLEL_MAX = 50
LEVEL_MAX = 10
UNITS_MAX = 1_000_000
PRIORITY_MAX = 1_000_000_000
CAP_MAX = 10_000


def fault(code: str, message: str, expected: str = "", at: str = "") -> PydanticCustomError:
    """A fault for the value under validation; `at` is a pointer from there ("/level")."""
    context = {"message": message, "expected": expected, "at": at}
    return PydanticCustomError(code, "{message}", context)  # pyright: ignore[reportArgumentType]


def _rule_fault(error: RuleError, at: str = "") -> PydanticCustomError:
    message = f"{error.message} (character {error.position + 1})"
    return fault(error.code, message, error.expected or "", at)


def _condition(source: str) -> str:
    try:
        compile_condition(source, TASK_NAMES)
    except RuleError as error:
        raise _rule_fault(error) from None
    return source


def _agent_condition(source: str) -> str:
    try:
        compile_condition(source, AGENT_NAMES, skills=True)
    except RuleError as error:
        raise _rule_fault(error) from None
    return source


def as_priority(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise fault("type", "the priority is no number", "a number or CEL that gives one")
    if not isinstance(value, str) and not abs(value) <= PRIORITY_MAX:
        raise fault("range", "the priority is out of range", f"at most {PRIORITY_MAX}")
    try:
        compile_value(value, TASK_NAMES)
    except RuleError as error:
        raise _rule_fault(error) from None
    return value


def check_weights(conditions: Iterable[str | None], values: Iterable[Any], at: str) -> None:
    """Refuse what one task would be held against for too long: each rule keeps its limits, but
    there are many of them."""
    weight = sum(compile_condition(one, TASK_NAMES).weight for one in conditions if one is not None)
    weight += sum(compile_value(one, TASK_NAMES).weight for one in values)
    if weight > TOTAL_MAX_WEIGHT:
        raise fault(
            "too_costly",
            f"the rules together may take {weight * 10 // 1_000} ms for one task",
            f"at most {TOTAL_MAX_WEIGHT * 10 // 1_000} ms: shorter patterns, fewer macros",
            at,
        )


def _client_id(text: str) -> str:
    if not CLIENT_ID.match(text):
        raise fault("id", f"{text!r} is no id", "1 to 64 of A-Z a-z 0-9 _ -")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(
            "time_zone", f"there is no time zone {name!r}", "such as Europe/Berlin"
        ) from None
    return name


def _small(attributes: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(attributes, default=str).encode()) > ATTRIBUTES_MAX_BYTES:
        raise fault(
            "too_large", "the attributes are too large", f"at most {ATTRIBUTES_MAX_BYTES} bytes"
        )
    return attributes


def as_queue(value: Any) -> Any:
    return {"queue": value} if isinstance(value, str) else value


def as_cel(value: Any) -> Any:
    return {"cel": value} if isinstance(value, str) else value


Id = Annotated[
    str,
    AfterValidator(_client_id),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}),
]
Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX_CHARS)]
Skill = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Zone = Annotated[str, AfterValidator(_zone)]
When = Annotated[str, AfterValidator(_condition)]
AgentCel = Annotated[str, AfterValidator(_agent_condition)]
Attributes = Annotated[dict[str, Any], AfterValidator(_small)]
Span = Annotated[float, Field(gt=0, le=SPAN_MAX_S)]
SpanOrNone = Annotated[float, Field(ge=0, le=SPAN_MAX_S)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=CAP_MAX)]
NeededLevel = Annotated[int, Field(ge=1, le=LEVEL_MAX)]
NamedAgents = Annotated[list[Id], Field(min_length=1, max_length=NAMED_AGENTS_MAX)]
