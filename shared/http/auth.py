"""Authentication and authorisation of calls: bearer tokens, tickets, and `require(action)`."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from fastapi import Request

from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Fault, Refused, not_found
from shared.http import headers
from shared.http.permissions import GRANTS, Action, allowed, only_agent
from shared.http.principals import ANY_WORKSPACE, KeyLookup, Principal, Tickets, Workspaces
from shared.http.query import check_query

MAX_TOKEN_CHARS = 16_384
# Workspaces are not deleted: that one exists may be remembered.
EXISTS_S = 30.0
# What waits for a token's end looks at the clock so often: the wall clock may be set meanwhile.
LOOK_S = 60.0
MAX_REMEMBERED = 10_000
ACTION = "omniroute_action"
TICKET = "omniroute_ticket"


class Caller(msgspec.Struct, frozen=True):
    """Who calls, about which workspace.

    `only_agent` is the agent to whom the call is confined (role agent); None: not confined. Routes
    whose path names no `{agent}` must then check that what they touch is that agent's.
    """

    principal: Principal
    workspace: str
    only_agent: str | None = None

    @property
    def actor(self) -> str:
        """What inputs and the journal record as the doer."""
        agent = self.principal.agent
        return f"agent:{agent}" if agent else self.principal.id


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Principal:
        """The principal of a JWT. Raises Refused("unauthenticated")."""
        ...


class Limiter(Protocol):
    def admit(self, workspace: str) -> None:
        """Count one call. Raises Refused("rate-limited") with retry_after_s."""
        ...


class Authenticator:
    """Turns bearer tokens and stream tickets into principals."""

    def __init__(
        self,
        keys: KeyLookup,
        *,
        jwt: TokenVerifier | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        self._keys = keys
        self._jwt = jwt
        self._tickets = tickets

    async def bearer(self, header: str | None) -> Principal:
        """The principal of an Authorization header. Raises Refused("unauthenticated")."""
        if header is None:
            raise Refused("unauthenticated", "Send a token: Authorization: Bearer <token>.")
        scheme, _, rest = header.partition(" ")
        token = rest.strip(" ")
        if scheme.lower() != "bearer" or len(header) > MAX_TOKEN_CHARS or token.split() != [token]:
            raise Refused("unauthenticated", "The Authorization header is not 'Bearer <token>'.")
        return await self.token(token)

    async def token(self, token: str) -> Principal:
        """The principal of an API key or JWT. Raises Refused("unauthenticated")."""
        if self._jwt is not None and token.count(".") == 2:
            return await self._jwt.verify(token)
        record = await self._keys.lookup(token)
        if record is None:
            raise Refused(
                "unauthenticated", "The token is unknown or revoked.", reason="invalid_token"
            )
        return Principal(f"key:{record.id}", record.workspace, (record.role,), record.agent, True)

    async def ticket(self, ticket: str, workspace: str) -> Principal:
        """The principal whose one-time ticket this is. Raises Refused("unauthenticated")."""
        found = None if self._tickets is None else await self._tickets.consume(ticket)
        if found is None or found[1] != workspace or not found[0].left_s(time.time()):
            raise Refused(
                "unauthenticated", "The ticket is unknown, used or expired.", reason="invalid_token"
            )
        return found[0]

    async def ended(self, principal: Principal) -> None:
        """Return once the key that the principal came with is revoked or has another token, or the
        JWT has expired."""
        kind, _, key_id = principal.id.partition(":")
        if kind == "key":
            await self._keys.ended(key_id)
            return
        while (left_s := principal.left_s(time.time())) > 0:  # noqa: ASYNC110  # time is all that ends it
            await asyncio.sleep(min(left_s, LOOK_S))


class Access:
    """What `require` needs; lives at `app.state.access`. `limiter` None: no limits."""

    def __init__(
        self,
        authenticator: Authenticator,
        workspaces: Workspaces,
        limiter: Limiter | None = None,
    ) -> None:
        self.authenticator = authenticator
        self.workspaces = workspaces
        self.limiter = limiter
        self._existing: dict[str, float] = {}

    async def authenticate(self, request: Request, *, ticket: bool = False) -> Principal:
        """The request's principal: asserted by the replica that forwarded it, or its credentials."""
        asserted = request.scope.get("omniroute.principal")
        if asserted is not None:
            return asserted
        header = headers.sent(request.scope, b"authorization")
        if ticket and header is None and (text := request.query_params.get("ticket")):
            workspace = request.path_params.get("workspace", "")
            principal = await self.authenticator.ticket(text, workspace)
        else:
            principal = await self.authenticator.bearer(header)
        request.scope["omniroute.authenticated"] = principal
        return principal

    async def enter(
        self, request: Request, action: Action, *, ticket: bool = False, must_exist: bool = True
    ) -> Caller:
        """Authenticate, check ids, workspace, role and rate. Raises Refused."""
        principal = await self.authenticate(request, ticket=ticket)
        params = request.path_params
        check_ids(params)
        workspace: str = params.get("workspace") or principal.workspace
        request.scope["omniroute.workspace"] = workspace
        if principal.workspace not in (ANY_WORKSPACE, workspace):
            raise Refused("forbidden", "The token is for another workspace.")
        if not allowed(principal, action):
            raise Refused("forbidden", _may_not(principal, action))
        confined = only_agent(principal, action)
        if confined is not None and params.get("agent", confined) != confined:
            raise Refused("forbidden", "An agent reaches only its own work.")
        if confined == "":
            raise Refused("forbidden", "The token names no agent.")
        check_query(request.scope)
        if self.limiter is not None and "omniroute.principal" not in request.scope:
            self.limiter.admit(workspace)
        vouched = principal.known and principal.workspace == workspace
        if must_exist and not vouched and not await self._exists(workspace):
            raise not_found("workspace", workspace)
        return Caller(principal, workspace, confined)

    async def _exists(self, workspace: str) -> bool:
        if workspace == ANY_WORKSPACE:
            return True
        now = time.monotonic()
        if self._existing.get(workspace, -math.inf) > now - EXISTS_S:
            return True
        if not await self.workspaces.exists(workspace):
            return False
        if len(self._existing) >= MAX_REMEMBERED:
            self._existing.clear()
        self._existing[workspace] = now
        return True


def _may_not(principal: Principal, action: Action) -> str:
    role = " and ".join(principal.roles) or "without a role"
    others = ", ".join(sorted({*GRANTS[action], "admin"}))
    return f"A token of role {role} may not do this ({action}); one of role {others} may."


async def until_revoked(request: Request) -> None:
    """Return once the request's caller may no longer go on: a stream ends with its key or token.
    Never for a request whose route authenticates it otherwise."""
    scope = request.scope
    principal = scope.get("omniroute.principal") or scope.get("omniroute.authenticated")
    if principal is not None:
        await access_of(request).authenticator.ended(principal)
    else:
        await asyncio.Event().wait()


def check_ids(params: dict[str, Any]) -> None:
    """Refuse path parameters that are no ids."""
    for name, value in params.items():
        if CLIENT_ID.match(value) is None:
            raise Refused(
                "validation",
                f"{name!r} in the path is not an id.",
                errors=[
                    Fault(f"/path/{name}", "pattern", "is not an id", "[A-Za-z0-9_-]{1,64}"),
                ],
            )


def access_of(request: Request) -> Access:
    return request.app.state.access


def require(
    action: Action, *, ticket: bool = False, must_exist: bool = True
) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: `caller: Caller = Depends(require("tasks:read"))`.

    `ticket`: a stream route, which takes `?ticket=` too. `must_exist` False: the workspace may be
    yet to be created. Raises Refused: 401 without a good token, 400 for a bad id in the path or a query
    parameter that the call does not have, 403
    for another workspace, role or agent, 404 for an unknown workspace, 429 over the rate.
    """

    async def enter(request: Request) -> Caller:
        access: Access = request.app.state.access
        return await access.enter(request, action, ticket=ticket, must_exist=must_exist)

    setattr(enter, ACTION, action)
    setattr(enter, TICKET, ticket)
    return enter
