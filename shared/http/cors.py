"""Pages of other origins that may call the API: desktops that a browser loads from elsewhere.

Who may is an operator's list of origins; without one no page of another origin may. Calls carry bearer
tokens, never cookies, so a page gets nothing that it could not get with the token that it holds.
The Fetch Standard, section 3.3 («HTTP CORS protocol»).
"""

from collections.abc import Collection

from fastapi import Response
from starlette.types import Message, Scope

from shared.http import headers

API_ROOT = "/v1/"
PREFLIGHT_S = 7200

_ORIGIN = b"access-control-allow-origin"
_METHODS = "GET, HEAD, POST, PUT, DELETE"
_SENT = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id"
_READ = b"ETag, Idempotency-Replayed, Retry-After, Link, Content-Disposition, X-Request-Id"
_VARY = (b"vary", b"origin")


class Cors:
    """Knows the origins, each as a browser writes it (`https://desk.example`)."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(one.encode("ascii") for one in origins)

    def preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser's question whether a page may call; None where it is no such question,
        or not ours to answer: then the call's route does, if it has a word of its own."""
        if scope["method"] != "OPTIONS" or self._allowed(scope) is None:
            return None
        if b"access-control-request-method" not in headers.first(scope):
            return None
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _SENT,
                "Access-Control-Max-Age": str(PREFLIGHT_S),
            },
        )

    def mark(self, scope: Scope, start: Message) -> None:
        """Let the page read the answer that begins with `start`, where it may. An answer that names an
        origin already keeps it: its route knows pages of its own."""
        given = start["headers"]
        if not scope["path"].startswith(API_ROOT) or any(name == _ORIGIN for name, _ in given):
            return
        told = [_VARY]
        origin = self._allowed(scope)
        if origin is not None:
            told += [(_ORIGIN, origin), (b"access-control-expose-headers", _READ)]
        start["headers"] = [*given, *told]

    def _allowed(self, scope: Scope) -> bytes | None:
        """The caller's origin, where its pages may call."""
        origin = headers.first(scope).get(b"origin")
        ours = scope["path"].startswith(API_ROOT) and origin in self._origins
        return origin if ours else None
