"""Idempotency-Key: the same request again has one effect and one answer.

The key is per principal and route (method and path with its ids) and lives 24 h. Whoever commits
the effect stores the reply with it: the shard runtime for commands, a `Replies` for the other calls.
"""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Protocol

import msgspec
from fastapi import Request, Response

from shared.contracts.ids import derive
from shared.contracts.problems import Fault, Refused, conflict
from shared.db import failures
from shared.http import headers
from shared.http.auth import Caller
from shared.runtime.port import IdempotencyKey, OutcomeUnknown

LIFETIME_S = 24 * 3600
REPLAYED = "Idempotency-Replayed"

_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


class Recorded(msgspec.Struct, frozen=True):
    """A reply as it was first given."""

    body_hash: bytes
    status: int
    body: bytes
    content_type: str = "application/json"
    etag: str | None = None


class Replies(Protocol):
    """Where replies are kept by calls whose effect is not committed by the shard runtime."""

    async def claim(self, workspace: str, key: IdempotencyKey) -> Recorded | None:
        """None: the key is now ours; the recorded reply when there is one.

        Raises Refused("conflict", reason in_flight) while another request holds the key.
        """
        ...

    async def record(self, workspace: str, key: IdempotencyKey, reply: Recorded) -> None: ...

    async def release(self, workspace: str, key: IdempotencyKey) -> None:
        """Give the key up: nothing was done."""
        ...


def idempotency_of(request: Request, caller: Caller, body: bytes) -> IdempotencyKey | None:
    """The request's key, None without one. Raises Refused("validation") for a malformed one."""
    sent = headers.all_sent(request.scope, b"idempotency-key")
    if not sent:
        return None
    if len(sent) > 1 or _KEY.match(sent[0]) is None:
        message = "Idempotency-Key is not 1 to 255 visible ASCII characters."
        fault = Fault("/header/idempotency-key", "pattern", message)
        raise Refused("validation", message, errors=[fault])
    scope = f"{caller.principal.id}\n{request.method} {request.url.path}"
    return IdempotencyKey(scope, sent[0], sha256(body).digest())


def effect_id(prefix: str, key: IdempotencyKey) -> str:
    """The id of what a request with this key brings into being: the same each time."""
    return derive(prefix, key.scope, key.key)


def check_same(key: IdempotencyKey, recorded_hash: bytes) -> None:
    """Raises Refused("idempotency-mismatch") when the key was used with another body."""
    if key.fingerprint != recorded_hash:
        raise Refused(
            "idempotency-mismatch", "This Idempotency-Key was used with another body before."
        )


def in_flight() -> Refused:
    return conflict("in_flight", "A request with this Idempotency-Key is being served.")


def replay(key: IdempotencyKey, recorded: Recorded) -> Response:
    """The recorded reply again. Raises Refused("idempotency-mismatch")."""
    check_same(key, recorded.body_hash)
    headers = {REPLAYED: "true"}
    if recorded.etag:
        headers["ETag"] = recorded.etag
    return Response(recorded.body, recorded.status, headers, recorded.content_type)


async def once(
    replies: Replies,
    workspace: str,
    key: IdempotencyKey | None,
    act: Callable[[], Awaitable[Response]],
) -> Response:
    """Do `act` unless a reply to `key` is recorded; record what it answers.

    Refusals and failures of `act` release the key, for they changed nothing; an unknown outcome
    (a broken call too) keeps it in flight until it expires.
    """
    if key is None:
        return await act()
    recorded = await replies.claim(workspace, key)
    if recorded is not None:
        return replay(key, recorded)
    try:
        response = await act()
    except Exception as error:
        if not _outcome_unknown(error):
            await replies.release(workspace, key)
        raise
    await replies.record(workspace, key, _recorded(key, response))
    return response


def _outcome_unknown(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.kind == "outcome-unknown"
    return isinstance(error, (OutcomeUnknown, failures.OutcomeUnknown))


def _recorded(key: IdempotencyKey, response: Response) -> Recorded:
    return Recorded(
        key.fingerprint,
        response.status_code,
        bytes(response.body),
        response.headers.get("content-type", "application/json"),
        response.headers.get("etag"),
    )


class MemoryReplies:
    """Replies of one process; the twin for tests. Forgets the oldest beyond `limit`."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str, str], tuple[bytes, Recorded | None]] = OrderedDict()

    async def claim(self, workspace: str, key: IdempotencyKey) -> Recorded | None:
        place = (workspace, key.scope, key.key)
        if place in self._kept:
            fingerprint, recorded = self._kept[place]
            check_same(key, fingerprint)
            if recorded is None:
                raise in_flight()
            return recorded
        self._kept[place] = (key.fingerprint, None)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return None

    async def record(self, workspace: str, key: IdempotencyKey, reply: Recorded) -> None:
        self._kept[workspace, key.scope, key.key] = (key.fingerprint, reply)

    async def release(self, workspace: str, key: IdempotencyKey) -> None:
        self._kept.pop((workspace, key.scope, key.key), None)
