"""What single calls leave behind: recorded replies to idempotent calls, one-time stream tickets."""

import secrets
from hashlib import sha256

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.instants import format_instant
from shared.db.engine import reading, transaction
from shared.db.moments import to_us
from shared.db.secrets import SecretBox
from shared.db.tables import api_key, idempotency, stream_ticket
from shared.http.idempotency import LIFETIME_S, Recorded, check_same, in_flight
from shared.http.principals import Principal
from shared.runtime.port import IdempotencyKey

TICKET_S = 60
# A call that is in flight this long has died with its process, or its outcome is unknown: its
# caller may try again, but nothing else under its key, for it may have been done.
IN_FLIGHT_S = 60
PRUNE_ROWS = 10_000


class ReplyStore:
    """`shared.http.idempotency.Replies` in PostgreSQL, so that any replica answers alike.

    Replies are sealed: that to `POST keys` holds a token.
    """

    def __init__(self, engine: AsyncEngine, box: SecretBox) -> None:
        self._engine = engine
        self._box = box

    async def claim(self, workspace: str, key: IdempotencyKey) -> Recorded | None:
        """None: the key is now ours; else the recorded reply.

        Raises Refused: conflict (in_flight), idempotency-mismatch for another body.
        """
        where = {"workspace": workspace, "scope": key.scope, "key": key.key}
        async with transaction(self._engine) as connection:
            claimed = await connection.execute(_CLAIM, {**where, "body_hash": key.fingerprint})
            if claimed.scalar() is not None:
                return None
            kept = select(idempotency.c.body_hash, idempotency.c.reply)
            row = (await connection.execute(kept.where(_is(workspace, key)))).one()
        check_same(key, row.body_hash)
        if row.reply is None:
            raise in_flight()
        opened = self._box.decrypt(row.reply, _place(workspace, key))
        return msgspec.json.decode(opened, type=Recorded)

    async def record(self, workspace: str, key: IdempotencyKey, reply: Recorded) -> None:
        """Keep what was answered."""
        sealed = self._box.encrypt(msgspec.json.encode(reply), _place(workspace, key))
        async with transaction(self._engine) as connection:
            await connection.execute(
                update(idempotency)
                .where(_is(workspace, key))
                .values(status=reply.status, reply=sealed)
            )

    async def release(self, workspace: str, key: IdempotencyKey) -> None:
        """Give the key up: nothing was done."""
        async with transaction(self._engine) as connection:
            await connection.execute(
                delete(idempotency).where(_is(workspace, key)).where(idempotency.c.status.is_(None))
            )


class TicketStore:
    """`shared.http.principals.Tickets`: for browsers' streams, each good once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, principal: Principal, workspace: str) -> tuple[str, str]:
        """(ticket, when it expires as RFC 3339)."""
        ticket = secrets.token_urlsafe(32)
        values = {
            "hash": _hash(ticket),
            "workspace": workspace,
            "principal": msgspec.to_builtins(principal),
            "seconds": TICKET_S,
        }
        async with transaction(self._engine) as connection:
            expires_at = (await connection.execute(_NEW_TICKET, values)).scalar_one()
        return ticket, format_instant(to_us(expires_at))

    async def consume(self, ticket: str) -> tuple[Principal, str] | None:
        """(principal, workspace) the first time and in time; else None."""
        async with transaction(self._engine) as connection:
            used = await connection.execute(
                update(stream_ticket)
                .where(stream_ticket.c.hash == _hash(ticket))
                .where(stream_ticket.c.used_at.is_(None))
                .where(stream_ticket.c.expires_at > func.now())
                .where(~_OF_REVOKED_KEY)
                .values(used_at=func.now())
                .returning(stream_ticket.c.principal, stream_ticket.c.workspace)
            )
            row = used.one_or_none()
        return None if row is None else (msgspec.convert(row.principal, Principal), row.workspace)


async def prune(engine: AsyncEngine, limit: int = PRUNE_ROWS) -> int:
    """Delete at most `limit` each of expired tickets and replies; returns how many went."""
    async with reading(engine) as connection:
        gone = [await connection.execute(statement, {"limit": limit}) for statement in _PRUNE]
    return sum(result.rowcount for result in gone)


_CLAIM = text(
    f"""
    INSERT INTO platform.idempotency AS old (workspace, scope, key, body_hash)
    VALUES (:workspace, :scope, :key, :body_hash)
    ON CONFLICT (workspace, scope, key) DO UPDATE
    SET body_hash = excluded.body_hash, status = NULL, reply = NULL, created_at = now()
    WHERE old.created_at < now() - interval '{LIFETIME_S} seconds'
       OR old.status IS NULL AND old.created_at < now() - interval '{IN_FLIGHT_S} seconds'
          AND old.body_hash = excluded.body_hash
    RETURNING 1
    """
)

# A ticket is good no longer than the key by which it was got.
_OF_REVOKED_KEY = (
    select(api_key.c.id)
    .where(stream_ticket.c.principal["id"].astext == "key:" + api_key.c.id)
    .where(api_key.c.revoked_at.is_not(None))
    .exists()
)

_NEW_TICKET = text(
    """
    INSERT INTO platform.stream_ticket (hash, workspace, principal, expires_at)
    VALUES (:hash, :workspace, :principal, now() + make_interval(secs => :seconds))
    RETURNING expires_at
    """
).bindparams(bindparam("principal", type_=JSONB))

_PRUNE = [
    text(
        f"DELETE FROM platform.{table} WHERE ctid = ANY (ARRAY("
        f"SELECT ctid FROM platform.{table} WHERE {condition} LIMIT :limit))"
    )
    for table, condition in (
        ("stream_ticket", "expires_at < now()"),
        ("idempotency", f"created_at < now() - interval '{LIFETIME_S} seconds'"),
    )
]


def _is(workspace: str, key: IdempotencyKey) -> ColumnElement[bool]:
    columns = idempotency.c
    return and_(columns.workspace == workspace, columns.scope == key.scope, columns.key == key.key)


def _place(workspace: str, key: IdempotencyKey) -> str:
    return f"reply\n{workspace}\n{key.scope}\n{key.key}"


def _hash(ticket: str) -> bytes:
    return sha256(ticket.encode("utf-8", "surrogatepass")).digest()
