"""What `omniroute doctor` finds out about shards: who holds them, and whether they get on."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cli.findings import Finding
from shared.bus.port import Bus, TopicPartition
from shared.contracts import topics
from shared.db.engine import reading

LOOK_AGAIN_S = 3.0  # longer than a pause of a busy owner, or of one that takes over
NAMED_MAX = 20

Place = tuple[str, int, str]  # service, partition, topic


class _Shard(msgspec.Struct, frozen=True):
    """`seen_s` ago the owner gave its last sign of life; None: it is not among the replicas."""

    service: str
    partition: int
    owner: str | None
    url: str | None
    lease_until: datetime | None
    owned: bool
    seen_s: float | None
    halted: str | None
    positions: dict[str, int]


async def held(connection: AsyncConnection, lease_s: float) -> list[Finding]:
    """Of each service: how many shards are owned, by whom the others were, and which stand halted."""
    shards = await _shards(connection)
    names = sorted({one.service for one in shards})
    found = [_held([one for one in shards if one.service == name], name) for name in names]
    return [*found, *_silent(shards, lease_s)]


def _held(shards: Sequence[_Shard], service: str) -> Finding:
    owned = sum(one.owned for one in shards)
    halted = [one for one in shards if one.halted]
    said = f"{owned} of {len(shards)} owned"
    lost = [one for one in shards if not one.owned]
    if lost:
        said += f"; {_last_holder(lost)}"
    if halted:
        where = ", ".join(str(one.partition) for one in halted[:NAMED_MAX])
        said += f"; {len(halted)} halted (partition {where}): {halted[0].halted}"
    return Finding(f"{service} shards", not lost and not halted, said)


def _last_holder(lost: Sequence[_Shard]) -> str:
    """Leases that nobody renews any more name the replica that died with them."""
    for one in lost:
        if one.owner and one.lease_until:
            return (
                f"partition {one.partition} was held by {one.owner} ({one.url}) until"
                f" {one.lease_until:%Y-%m-%dT%H:%M:%SZ}, which has died or lost the database: start it,"
                " or another replica"
            )
    return "nobody holds the others: is a process with this service running?"


def _silent(shards: Sequence[_Shard], lease_s: float) -> list[Finding]:
    """Replicas that hold leases and give no sign of life: dead or frozen, until the leases end."""
    silent = {
        (one.service, one.owner, one.url): max(0.0, one.seen_s or 0.0)
        for one in shards
        if one.owned and (one.seen_s is None or one.seen_s > max(lease_s * 0.7, 2.0))
    }
    return [
        Finding(
            f"{service} replica",
            False,
            f"{owner} ({url}) holds leases and has been silent for {seen_s:.0f} s; unless it comes back"
            f" its shards go to others once they end (OMNIROUTE_LEASE_S)",
        )
        for (service, owner, url), seen_s in sorted(silent.items())[:NAMED_MAX]
    ]


async def stuck(engine: AsyncEngine, bus: Bus) -> list[Finding]:
    """Shards whose owners live, that have something to read and take nothing for a while."""
    behind = await _behind(engine, bus)
    if not behind:
        return [Finding("lag", True, "everything on the bus is decided")]
    await asyncio.sleep(LOOK_AGAIN_S)
    still = await _behind(engine, bus)
    stands = {
        place: lag for place, (at, lag) in still.items() if behind.get(place, (None, 0))[0] == at
    }
    if not stands:
        most = max((lag for _, lag in still.values()), default=0)
        return [Finding("lag", True, f"at most {most} records behind, and getting on")]
    return [
        Finding(
            f"{service} shard {partition}",
            False,
            f"stands still {lag} records before the end of {topic}: see the log of its owner"
            " and omniroute_shard_failures_total",
        )
        for (service, partition, topic), lag in sorted(stands.items())[:NAMED_MAX]
    ]


async def _behind(engine: AsyncEngine, bus: Bus) -> dict[Place, tuple[int, int]]:
    """(position, records until the end) of what shards with an owner have not read yet."""
    async with reading(engine) as connection:
        shards = await _shards(connection)
    wanted = [
        (one, topic)
        for one in shards
        if one.owned and not one.halted
        for topic in topics.CONSUMES.get(one.service, ())
        if topic in one.positions
    ]
    places: list[TopicPartition] = sorted({(topic, one.partition) for one, topic in wanted})
    bounds = await bus.bounds(places)
    return {
        (one.service, one.partition, topic): (at, end - at)
        for one, topic in wanted
        if (end := bounds[topic, one.partition][1]) > (at := one.positions[topic])
    }


async def _shards(connection: AsyncConnection) -> list[_Shard]:
    rows = await connection.execute(
        text(
            "SELECT s.service, s.partition, s.owner, s.owner_url, s.lease_until, s.halted, s.positions,"
            " coalesce(s.lease_until > clock_timestamp(), false) AS owned,"
            " extract(epoch FROM clock_timestamp() - r.seen_at)::float8 AS seen_s"
            " FROM platform.shard s LEFT JOIN platform.replica r"
            " ON r.service = s.service AND r.id = s.owner ORDER BY s.service, s.partition"
        )
    )
    return [
        _Shard(
            row.service,
            row.partition,
            row.owner,
            row.owner_url,
            row.lease_until,
            row.owned,
            row.seen_s,
            row.halted,
            row.positions,
        )
        for row in rows
    ]
