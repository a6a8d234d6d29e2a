"""Every error as RFC 9457 `application/problem+json`. API.md, «Errors»."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shared.bus.port import BusUnavailable
from shared.contracts.faults import limit_of
from shared.contracts.problems import Fault, Kind, Problem, Refused, not_found
from shared.db import failures
from shared.db.failures import DatabaseUnavailable
from shared.runtime.port import OutcomeUnknown, Unavailable, UnknownWorkspace
from shared.runtime.store.port import CommitUnknown, StoreUnavailable

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

_encode = msgspec.json.Encoder().encode
_KIND_OF_STATUS: dict[int, Kind] = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    410: "gone",
    412: "precondition-failed",
    413: "too-large",
    415: "unsupported-media-type",
    429: "rate-limited",
    503: "unavailable",
}
_DETAIL: dict[Kind, str] = {
    "not-found": "There is nothing at this address.",
    "method-not-allowed": "This address does not take this method.",
    "too-large": "The body is larger than this address takes.",
}


def refusal(refused: Refused) -> Response:
    """The response to a refusal, with Retry-After and WWW-Authenticate where they belong."""
    problem = refused.problem()
    headers: dict[str, str] = {}
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(refused.retry_after_s)
    elif problem.status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if refused.kind == "unauthenticated":
        headers["WWW-Authenticate"] = _challenge(refused)
    return problem_response(problem, headers)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(problem), problem.status, headers, PROBLEM_TYPE)


def outcome_unknown() -> Refused:
    detail = "It is not known whether this was done. Repeat it with the same Idempotency-Key."
    return Refused("outcome-unknown", detail, retry_after_s=OutcomeUnknown.retry_after_s)


def internal_error(request_id: str) -> Response:
    """A 500 that says nothing about our insides."""
    detail = f"Something failed on our side. Quote request {request_id}."
    return problem_response(
        Problem(type="/problems/internal", title="Internal error", status=500, detail=detail)
    )


def install(app: FastAPI) -> None:
    """Answer every kind of error of this app with a problem."""
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(UnknownWorkspace, _on_unknown_workspace)
    app.add_exception_handler(Unavailable, _on_unavailable)
    for kind in (DatabaseUnavailable, StoreUnavailable, BusUnavailable):
        app.add_exception_handler(kind, _on_part_away)
    for kind in (OutcomeUnknown, failures.OutcomeUnknown, CommitUnknown):
        app.add_exception_handler(kind, _on_outcome_unknown)


def _challenge(refused: Refused) -> str:
    token = ', error="invalid_token"' if refused.reason == "invalid_token" else ""
    return f'Bearer realm="omniroute"{token}'


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error)


async def _on_unknown_workspace(request: Request, error: Exception) -> Response:
    return refusal(not_found("workspace", request.path_params.get("workspace", "")))


async def _on_unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return refusal(Refused("unavailable", error.detail, retry_after_s=error.retry_after_s))


async def _on_part_away(request: Request, error: Exception) -> Response:
    """The database or the bus is away; their own words are not for callers."""
    return refusal(Refused("unavailable", "A part that this needs is away; it will come back."))


async def _on_outcome_unknown(request: Request, error: Exception) -> Response:
    return refusal(outcome_unknown())


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _KIND_OF_STATUS.get(error.status_code, "validation")
    response = refusal(Refused(kind, _DETAIL.get(kind, str(error.detail))))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_parameter_fault(one) for one in error.errors()]
    return refusal(Refused("validation", faults[0].message, errors=faults))


def _parameter_fault(error: Mapping[str, Any]) -> Fault:
    """A fault found by FastAPI itself; /query/limit, /path/task, /header/if-match, or the body."""
    place: Sequence[Any] = error["loc"]
    parts = place[1:] if place[0] == "body" else place
    code = str(error["type"])
    if code == "json_invalid":
        return Fault("", "json", "The body is not JSON.")
    return Fault(pointer(parts), code, str(error["msg"]), limit_of(error.get("ctx") or {}))


def pointer(parts: Sequence[Any]) -> str:
    """Parts of a path -> RFC 6901 JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
