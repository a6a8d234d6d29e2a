"""What is wrong with a request, as data: RFC 9457 problems. API.md, «Errors».

Cores raise `Refused` before they change anything; the HTTP layer turns it into a response.
"""

from typing import Any, Literal

import msgspec

Kind = Literal[
    "validation",
    "unauthenticated",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "unsupported-media-type",
    "conflict",
    "gone",
    "precondition-failed",
    "too-large",
    "idempotency-mismatch",
    "rate-limited",
    "unavailable",
    "outcome-unknown",
]

STATUS: dict[str, int] = {
    "validation": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "unsupported-media-type": 415,
    "conflict": 409,
    "gone": 410,
    "precondition-failed": 412,
    "too-large": 413,
    "idempotency-mismatch": 422,
    "rate-limited": 429,
    "unavailable": 503,
    "outcome-unknown": 503,
}


class Fault(msgspec.Struct, omit_defaults=True):
    """One place that is wrong. `pointer` is an RFC 6901 JSON pointer into the body."""

    pointer: str
    code: str
    message: str
    expected: str | None = None


class Warn(msgspec.Struct):
    """Legal but doubtful."""

    pointer: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The JSON body of `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []
    reason: str | None = None
    extra: dict[str, Any] = {}


class Refused(Exception):
    """A business error: the request was understood and is not done. Never logged as an error."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: list[Fault] | None = None,
        reason: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail
        self.errors = errors or []
        self.reason = reason
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, also from another process."""
        return _again, (self.kind, self.detail, self.errors, self.reason, self.retry_after_s)

    def problem(self) -> Problem:
        return Problem(
            type=f"/problems/{self.kind}",
            title=self.kind.replace("-", " ").capitalize(),
            status=STATUS[self.kind],
            detail=self.detail,
            errors=self.errors,
            reason=self.reason,
        )


def _again(
    kind: Kind, detail: str, errors: list[Fault], reason: str | None, retry_after_s: int | None
) -> Refused:
    return Refused(kind, detail, errors=errors, reason=reason, retry_after_s=retry_after_s)


def invalid(pointer: str, code: str, message: str, expected: str | None = None) -> Refused:
    """A validation problem with a single fault."""
    return Refused("validation", message, errors=[Fault(pointer, code, message, expected)])


def not_found(what: str, name: str) -> Refused:
    return Refused("not-found", f"There is no {what} {name!r}.")


def conflict(reason: str, detail: str) -> Refused:
    return Refused("conflict", detail, reason=reason)


def full(what: str, limit: int) -> Refused:
    """There are as many of them in the workspace as may be: one more is refused, wherever it comes from;
    those that there are may be changed."""
    detail = f"The workspace has {limit} {what} already, as many as it may have."
    expected = f"at most {limit} {what}: delete those that are no longer used"
    return Refused(
        "conflict", detail, errors=[Fault("", "limit", detail, expected)], reason="limit"
    )
