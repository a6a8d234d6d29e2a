"""Who calls: principals, and the ports by which their credentials are looked up."""

import math
from typing import Literal, Protocol

import msgspec

Role = Literal["platform", "agent", "supervisor", "ops", "admin"]
ROLES: tuple[Role, ...] = ("platform", "agent", "supervisor", "ops", "admin")

ANY_WORKSPACE = "*"


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller.

    `id` is stable over its tokens' refreshes ("key:…", "jwt:<issuer>:<subject>"): idempotency keys
    and the journal's actor hang on it. `workspace` may be "*". `agent` is set where a role is
    "agent". `known` says that our own store vouches for the workspace's existence. `ends` is when
    the token expires, in seconds since 1970; None: not by time.
    """

    id: str
    workspace: str
    roles: tuple[Role, ...]
    agent: str | None = None
    known: bool = False
    ends: float | None = None

    def left_s(self, now_s: float) -> float:
        """How long the token is good for; infinite where it does not expire."""
        return math.inf if self.ends is None else max(0.0, self.ends - now_s)


class KeyRecord(msgspec.Struct, frozen=True):
    """What is stored of an API key, never its token. `role` is one of ROLES."""

    id: str
    workspace: str
    role: Role
    agent: str | None = None


class KeyLookup(Protocol):
    async def lookup(self, token: str) -> KeyRecord | None:
        """The live key with this token; None when unknown or revoked (at once)."""
        ...

    async def ended(self, key_id: str) -> None:
        """Return once the key is revoked or has another token."""
        ...


class Workspaces(Protocol):
    async def exists(self, workspace: str) -> bool: ...


class Tickets(Protocol):
    """One-time tickets for browsers' streams. A ticket is consumed by one replica only."""

    async def create(self, principal: Principal, workspace: str) -> tuple[str, str]:
        """(ticket, expires_at as RFC 3339)."""
        ...

    async def consume(self, ticket: str) -> tuple[Principal, str] | None:
        """(principal, workspace) the first time and in time; else None."""
        ...
