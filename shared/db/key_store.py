"""API keys: made, listed, rotated, revoked, and looked up for each call.

A token is `omr_<key id>_<secret>` with 256 random bits; its SHA-256 is what is stored (a random
secret needs no slow hash).
"""

import asyncio
import secrets
import time
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Row, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.problems import Fault, Refused, full, not_found
from shared.db.engine import DatabaseUnavailable, reading, transaction
from shared.db.listen import Listener
from shared.db.moments import from_us, optional_us, to_us
from shared.db.remembered import Remembered
from shared.db.tables import api_key, workspace
from shared.http.principals import ANY_WORKSPACE, ROLES, KeyRecord, Role

KEY_CHANNEL = "platform_key"
PREFIX = "omr_"
MAX_TOKEN_CHARS = 256
NAME_CHARS = 200
# Each desktop has a key of its own, and comes with it some times a minute.
BELIEVED_S = 30.0
AWAY_S = 1.0
USED_EVERY = text("interval '1 minute'")
PAGE = 500
KEYS_MAX = 100_000  # of one workspace, live: each agent's desktop has one


class ApiKey(msgspec.Struct, frozen=True, gc=False):
    """A key as it may be shown: never its token. Instants are microseconds since the epoch."""

    id: str
    workspace: str
    name: str
    role: Role
    agent: str | None
    created_at_us: int
    last_used_at_us: int | None
    expires_at_us: int | None
    revoked_at_us: int | None


class _Known(msgspec.Struct, frozen=True, gc=False):
    record: KeyRecord
    expires_at_us: int | None


class KeyStore:
    """Keys of all workspaces. With a `listener` look-ups are remembered for up to BELIEVED_S, at most
    a second of it without a sign that it hears, and forgotten the moment any replica revokes or rotates
    a key; without one each asks PostgreSQL.

    Raises DatabaseUnavailable and OutcomeUnknown beside what a method names.
    """

    def __init__(
        self, engine: AsyncEngine, listener: Listener | None = None, keys_max: int = KEYS_MAX
    ) -> None:
        self._engine = engine
        self._keys_max = keys_max
        self._live = Remembered(self._read, listener, KEY_CHANNEL, believed_s=BELIEVED_S)
        self._watching: dict[str, set[asyncio.Event]] = {}
        if listener is not None:
            listener.on(KEY_CHANNEL, self._tell, self._tell_all)

    async def create(
        self,
        workspace_id: str,
        name: str,
        role: Role,
        *,
        agent: str | None = None,
        expires_at_us: int | None = None,
    ) -> tuple[ApiKey, str]:
        """The key and its token, which is shown this once.

        Raises Refused: validation (role, name, an agent key without agent), not-found, conflict where
        the workspace has too many.
        """
        _check(name, role, agent)
        key_id = secrets.token_hex(8)
        token = _new_token(key_id)
        values = {
            "id": key_id,
            "workspace": workspace_id,
            "name": name,
            "role": role,
            "agent": agent,
            "hash": _hash(token),
            "expires_at": None if expires_at_us is None else from_us(expires_at_us),
        }
        async with transaction(self._engine) as connection:
            await _check_workspace(connection, workspace_id)
            await self._check_room(connection, workspace_id)
            made = await connection.execute(insert(api_key).values(values).returning(*_SHOWN))
            return _to_key(made.one()), token

    async def _check_room(self, connection: AsyncConnection, workspace_id: str) -> None:
        """Two at once may both take the last place: keys end one by one, and the limit is generous."""
        live = (api_key.c.workspace == workspace_id) & api_key.c.revoked_at.is_(None)
        held = select(api_key.c.id).where(live).limit(self._keys_max).subquery()
        count = await connection.execute(select(func.count()).select_from(held))
        if count.scalar_one() >= self._keys_max:
            raise full("keys", self._keys_max)

    async def list(self, workspace_id: str, *, after: str = "", limit: int = PAGE) -> list[ApiKey]:
        """Keys of the workspace that are not revoked, in order of id, those after `after`."""
        query = (
            select(*_SHOWN)
            .where(api_key.c.workspace == workspace_id, api_key.c.id > after)
            .where(api_key.c.revoked_at.is_(None))
            .order_by(api_key.c.id)
            .limit(limit)
        )
        async with reading(self._engine) as connection:
            return [_to_key(row) for row in await connection.execute(query)]

    async def revoke(self, workspace_id: str, key_id: str) -> None:
        """End the key everywhere. A second call changes nothing. Raises Refused (not-found)."""
        await self._change(
            workspace_id, key_id, revoked_at=func.coalesce(api_key.c.revoked_at, func.now())
        )

    async def rotate(self, workspace_id: str, key_id: str) -> str:
        """A new token for the key; the old one ends at once. Raises Refused: not-found, conflict
        for a revoked key."""
        token = _new_token(key_id)
        await self._change(workspace_id, key_id, live=True, hash=_hash(token))
        return token

    async def lookup(self, token: str) -> KeyRecord | None:
        """The live key with this token; None when unknown, revoked or expired."""
        if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_CHARS:
            return None
        known = await self._live.get(_hash(token))
        if known is None or _expired(known):
            return None
        return known.record

    async def ended(self, key_id: str) -> None:
        """Return once the key is revoked or has another token: for calls that go on for long. Of
        what other replicas do the listener tells."""
        changed = asyncio.Event()
        watching = self._watching.setdefault(key_id, set())
        watching.add(changed)
        try:
            now = first = await self._hash_of(key_id)
            while now is not None and now == first:
                await changed.wait()
                changed.clear()
                now = await self._hash_of(key_id)
        finally:
            watching.discard(changed)
            if not watching and self._watching.get(key_id) is watching:
                del self._watching[key_id]

    async def _hash_of(self, key_id: str) -> bytes | None:
        """The hash of the key's token, None once it is revoked; waits for a database that is away."""
        query = select(api_key.c.hash).where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        while True:
            try:
                async with reading(self._engine) as connection:
                    return (await connection.execute(query)).scalar()
            except DatabaseUnavailable:
                await asyncio.sleep(AWAY_S)

    def _tell(self, key_id: str) -> None:
        for changed in self._watching.get(key_id, ()):
            changed.set()

    def _tell_all(self) -> None:
        for key_id in self._watching:
            self._tell(key_id)

    async def _read(self, digest: bytes) -> _Known | None:
        async with reading(self._engine) as connection:
            row = (await connection.execute(_LOOKUP, {"digest": digest})).one_or_none()
            if row is not None and row.unmarked:
                await connection.execute(_MARK_USED, {"digest": digest})
        if row is None:
            return None
        record = KeyRecord(row.id, row.workspace, row.role, row.agent)
        return _Known(record, optional_us(row.expires_at))

    async def _change(
        self, workspace_id: str, key_id: str, *, live: bool = False, **values: Any
    ) -> None:
        mine = (api_key.c.id == key_id) & (api_key.c.workspace == workspace_id)
        async with transaction(self._engine) as connection:
            found = await connection.execute(
                update(api_key).where(mine).values(**values).returning(api_key.c.revoked_at)
            )
            row = found.one_or_none()
            if row is None:
                raise not_found("key", key_id)
            if live and row.revoked_at is not None:
                raise Refused("conflict", f"The key {key_id!r} is revoked.", reason="revoked")
            await connection.execute(select(func.pg_notify(KEY_CHANNEL, key_id)))
        self._live.forget()
        self._tell(key_id)


_SHOWN = [column for column in api_key.c if column.name != "hash"]

_LOOKUP = select(
    api_key.c.id,
    api_key.c.workspace,
    api_key.c.role,
    api_key.c.agent,
    api_key.c.expires_at,
    or_(api_key.c.last_used_at.is_(None), api_key.c.last_used_at < func.now() - USED_EVERY).label(
        "unmarked"
    ),
).where(
    api_key.c.hash == text(":digest"),
    api_key.c.revoked_at.is_(None),
    or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > func.now()),
)

# Two replicas may mark at once: who comes second finds it done.
_MARK_USED = text(
    "UPDATE platform.api_key SET last_used_at = now() WHERE hash = :digest AND"
    " (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"
)


def _new_token(key_id: str) -> str:
    return f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _expired(known: _Known) -> bool:
    return known.expires_at_us is not None and known.expires_at_us <= time.time_ns() // 1000


def _check(name: str, role: str, agent: str | None) -> None:
    faults: list[Fault] = []
    if role not in ROLES:
        faults.append(Fault("/role", "enum", f"{role!r} is no role", ", ".join(ROLES)))
    if not 0 < len(name) <= NAME_CHARS:
        faults.append(Fault("/name", "length", f"1 to {NAME_CHARS} characters"))
    if role == "agent" and not agent:
        faults.append(Fault("/agent", "required", "a key of role agent names its agent"))
    if faults:
        raise Refused("validation", "The key cannot be made.", errors=faults)


async def _check_workspace(connection: AsyncConnection, name: str) -> None:
    if name == ANY_WORKSPACE:
        return
    found = await connection.execute(
        select(workspace.c.id)
        .where(workspace.c.id == name)
        .with_for_update(read=True, key_share=True)
    )
    if found.scalar() is None:
        raise not_found("workspace", name)


def _to_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        role=row.role,
        agent=row.agent,
        created_at_us=to_us(row.created_at),
        last_used_at_us=optional_us(row.last_used_at),
        expires_at_us=optional_us(row.expires_at),
        revoked_at_us=optional_us(row.revoked_at),
    )
