"""The body of `POST policies:evaluate`, read: a policy by name or as written, and samples."""

from typing import Annotated, Any

import msgspec

from services.router.domain.evaluate import SAMPLES_MAX, Evaluation, Sample
from services.router.domain.references import Known
from services.router.resources import check
from shared.contracts.faults import fault_of
from shared.contracts.instants import parse_instant
from shared.contracts.problems import Fault, Refused, invalid
from shared.http.calls import REF, written

_EVENT = {
    "type": "object",
    "required": ["specversion", "data"],
    "description": "a posted CloudEvent",
}
_SAMPLE = msgspec.Meta(extra_json_schema={"anyOf": [{"$ref": f"{REF}Sample"}, _EVENT]})
_SAMPLES = msgspec.Meta(extra_json_schema={"maxItems": SAMPLES_MAX})


class EvaluationBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either `policy` or `policy_id` (neither: the policy `default`); either events or tasks."""

    policy: Annotated[dict[str, Any], written("Policy")] | None = None
    policy_id: str | None = None
    events: Annotated[list[Annotated[dict[str, Any], _SAMPLE]], _SAMPLES] | None = None
    tasks: Annotated[list[Annotated[dict[str, Any], _SAMPLE]], _SAMPLES] | None = None
    at: str | None = None


def read_evaluation(body: EvaluationBody) -> Evaluation:
    """Raises Refused (validation) with pointers."""
    if body.policy is not None and body.policy_id is not None:
        raise invalid("/policy_id", "one_of", "Two policies are named.", "policy or policy_id")
    if (body.events is None) == (body.tasks is None):
        raise invalid("/events", "one_of", "What is to be evaluated?", "events or tasks")
    spoken = body.events is not None
    given = (body.events if spoken else body.tasks) or []
    name = "events" if spoken else "tasks"
    if len(given) > SAMPLES_MAX:
        message = f"{name!r} has {len(given)} entries."
        raise invalid(f"/{name}", "length", message, f"at most {SAMPLES_MAX}")
    return Evaluation(
        samples=[_sample(one, f"/{name}/{index}") for index, one in enumerate(given)],
        spoken=spoken,
        policy=_policy(body.policy),
        policy_id=body.policy_id,
        now_us=_instant(body.at),
    )


def _sample(given: dict[str, Any], pointer: str) -> Sample:
    """A posted CloudEvent may be given as it is: its `data` counts."""
    data = given["data"] if "specversion" in given and "data" in given else given
    try:
        return msgspec.convert(data, Sample)
    except msgspec.ValidationError as error:
        fault = fault_of(error, Sample, pointer)
        raise Refused("validation", fault.message, errors=[fault]) from error


def _policy(given: dict[str, Any] | None) -> Any:
    if given is None:
        return None
    name = str(given.get("id", "policy"))
    try:
        resource, _, _ = check("policy", given, name, Known())
    except Refused as refused:
        errors = [
            Fault(f"/policy{one.pointer}", one.code, one.message, one.expected)
            for one in refused.errors
        ]
        raise Refused("validation", refused.detail, errors=errors) from refused
    return resource


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise invalid("/at", "instant", f"{error}.", "RFC 3339 with an offset") from error
