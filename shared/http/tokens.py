"""JWTs of an OpenID provider: keys from its JWKS, cached and renewed when they roll over.

RFC 7519, RFC 7517, RFC 8725 (the algorithm is bound to the key, never taken from the token alone).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import httpx
import jwt
import msgspec
import structlog

from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Refused
from shared.http.principals import ANY_WORKSPACE, ROLES, Principal, Role
from shared.http.reaching import reaching

ALGORITHM_OF_CURVE = {"P-256": "ES256", "Ed25519": "EdDSA"}
REFRESH_S = 600
# From this age on keys are fetched again beside the calls, which go on with those that are known.
RENEW_S = 300
ROLLOVER_PAUSE_S = 10
FETCH_S = 5
MAX_KEYS = 100
MAX_JWKS_BYTES = 1024 * 1024

_log: Any = structlog.get_logger("omniroute.http")

Fetch = Callable[[str], Awaitable[bytes]]


class JwtSettings(msgspec.Struct, frozen=True):
    """How tokens of one issuer are read. Claims are names or dotted paths.

    `jwks_url` None: found by OpenID discovery. `audience` None: the audience is not checked.
    """

    issuer: str
    audience: str | None = None
    jwks_url: str | None = None
    workspace_claim: str = "workspace"
    roles_claim: str = "roles"
    agent_claim: str = "agent"
    leeway_s: int = 30
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")


class _Discovered(msgspec.Struct):
    """What matters here of an OpenID provider's metadata."""

    issuer: str
    jwks_uri: str


class _Published(msgspec.Struct):
    """A JWK set."""

    keys: list[dict[str, Any]]


async def fetch_over_http(url: str) -> bytes:
    """GET, with a limit on time and size. Raises httpx.HTTPError, OSError, ValueError."""
    with reaching():
        return await _fetch(url)


async def _fetch(url: str) -> bytes:
    async with (
        asyncio.timeout(FETCH_S),
        httpx.AsyncClient(timeout=FETCH_S, follow_redirects=False) as client,
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()
        content = b""
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_JWKS_BYTES:
                raise ValueError("the key set is too large")
        return content


class KeySet:
    """The issuer's public keys by `kid`. One fetch at a time; old keys stay when a fetch fails, and
    no call waits for an issuer that is known to be away."""

    def __init__(
        self,
        settings: JwtSettings,
        fetch: Fetch = fetch_over_http,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, tuple[jwt.PyJWK, str]] = {}
        self._fetched_at = self._tried_at = -float("inf")
        self._away = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> tuple[jwt.PyJWK, str] | None:
        """(key, its algorithm); None when the issuer has no such key.

        Raises Refused("unavailable") when no keys could be fetched at all.
        """
        age = self._clock() - self._fetched_at
        if kid in self._keys and age <= RENEW_S:
            return self._keys[kid]
        fetching = self._begin()
        must_wait = kid not in self._keys or (age > REFRESH_S and not self._away)
        if fetching is not None and must_wait:
            await asyncio.shield(fetching)
        if not self._keys and self._away:
            raise Refused("unavailable", "The issuer's keys cannot be fetched.")
        return self._keys.get(kid)

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one; None: the last was a moment ago."""
        if self._fetching is None and self._clock() - self._tried_at >= ROLLOVER_PAUSE_S:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        try:
            self._keys = _parse(await self._fetch(await self._url()), self._settings)
            self._fetched_at, self._away = self._clock(), False
        except (httpx.HTTPError, OSError, msgspec.DecodeError, ValueError) as error:
            self._away = True
            _log.warning("jwks.not_fetched", issuer=self._settings.issuer, because=repr(error))
        finally:
            self._fetching = None

    async def _url(self) -> str:
        if self._settings.jwks_url:
            return self._settings.jwks_url
        issuer = self._settings.issuer
        raw = await self._fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
        found = msgspec.json.decode(raw, type=_Discovered)
        if found.issuer != issuer:
            raise ValueError("the discovery document is of another issuer")
        return found.jwks_uri


def _parse(raw: bytes, settings: JwtSettings) -> dict[str, tuple[jwt.PyJWK, str]]:
    """Keys of kinds that we take; one that is broken does not keep the others out."""
    keys: dict[str, tuple[jwt.PyJWK, str]] = {}
    for one in msgspec.json.decode(raw, type=_Published).keys[:MAX_KEYS]:
        algorithm = _algorithm(one)
        if algorithm not in settings.algorithms or one.get("use", "sig") != "sig":
            continue
        try:
            keys[str(one.get("kid", ""))] = (jwt.PyJWK.from_dict(one, algorithm), algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return keys


def _algorithm(key: Mapping[str, Any]) -> str:
    """The one algorithm that a key is good for; "" when it is of no kind that we take."""
    kind = key.get("kty")
    found = "RS256" if kind == "RSA" else ALGORITHM_OF_CURVE.get(str(key.get("crv")), "")
    if kind not in ("RSA", "EC", "OKP") or key.get("alg", found) not in (found, "Ed25519"):
        return ""
    return found


class JwtVerifier:
    """Verifies bearer JWTs of one issuer."""

    def __init__(self, settings: JwtSettings, keys: KeySet | None = None) -> None:
        self._settings = settings
        self._keys = keys or KeySet(settings)

    async def verify(self, token: str) -> Principal:
        """The token's principal. Raises Refused: "unauthenticated", or "unavailable" when the
        issuer's keys have never been fetched."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise _bad("is malformed") from error
        found = await self._keys.key(str(header.get("kid", "")))
        if found is None:
            raise _bad("is signed by an unknown key")
        key, algorithm = found
        if header.get("alg") != algorithm:
            raise _bad("is signed by another algorithm than its key's")
        return self._principal(self._claims(token, key, algorithm))

    def _claims(self, token: str, key: jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        settings = self._settings
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway_s,
                options={
                    "require": ["exp", "iss", "sub"],
                    "verify_aud": settings.audience is not None,
                },
            )
        except jwt.ExpiredSignatureError as error:
            raise _bad("has expired") from error
        except jwt.InvalidIssuerError as error:
            raise _bad("is of another issuer") from error
        except jwt.InvalidAudienceError as error:
            raise _bad("is for another audience") from error
        except jwt.PyJWTError as error:
            raise _bad("is not valid") from error

    def _principal(self, claims: dict[str, Any]) -> Principal:
        settings = self._settings
        workspace = _claim(claims, settings.workspace_claim)
        if not isinstance(workspace, str) or not (
            workspace == ANY_WORKSPACE or CLIENT_ID.match(workspace)
        ):
            raise _bad(f"names no workspace in its claim {settings.workspace_claim!r}")
        agent = _claim(claims, settings.agent_claim)
        if agent is not None and not (isinstance(agent, str) and CLIENT_ID.match(agent)):
            raise _bad(f"has no agent id in its claim {settings.agent_claim!r}")
        return Principal(
            id=f"jwt:{settings.issuer}:{claims['sub']}",
            workspace=workspace,
            roles=_roles(_claim(claims, settings.roles_claim)),
            agent=agent,
            ends=float(claims["exp"]) + settings.leeway_s,
        )


def _claim(claims: dict[str, Any], name: str) -> Any:
    """A claim by its name, or by a dotted path into objects."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = cast(dict[str, Any], value).get(part)
    return value


def _roles(value: Any) -> tuple[Role, ...]:
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, list):
        return ()
    return tuple(role for role in ROLES if role in cast(list[Any], names))


def _bad(why: str) -> Refused:
    return Refused("unauthenticated", f"The token {why}.", reason="invalid_token")
