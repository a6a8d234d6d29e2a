"""The store's SQL, with the service's schema filled in once.

Many rows go in as arrays (`unnest`): one statement, one plan, whatever their number. A batch is one
statement of several writes, `commit`, so that PostgreSQL is asked once, and not to begin, to fence, to
write and to commit.
"""

import re
from functools import cache

import msgspec

_PARAMETER = re.compile(r"\$(\d+)")
_HELD = "unnest($2::int[], $3::bigint[], $4::bigint[]) AS h(partition, epoch, published)"
_LEASE = "RETURNING partition, epoch, positions::text, published, halted"
_JOURNAL = (
    "SELECT position, workspace, coalesce(seq, 0), previous, type, topic, key, data, at_us"
    " FROM {s}.journal"
)
FENCED = "WHERE EXISTS (SELECT FROM fence)"
"""Every write of a batch hangs on the fence: no row of it, no write."""
_HELD_FAST = f" {FENCED}"
# Inputs go only as far as the newest snapshot that is itself past keeping.
_PRUNABLE = (
    "SELECT workspace, max(number) AS number FROM {s}.snapshot WHERE now_us < $1 GROUP BY workspace"
)


class Statements(msgspec.Struct, frozen=True, kw_only=True):
    make_shards: str = (
        "INSERT INTO platform.shard (service, partition)"
        " SELECT $1, generate_series(0, $2::int - 1) ON CONFLICT DO NOTHING"
    )
    register: str = (
        "INSERT INTO platform.replica (service, id, url, seen_at)"
        " VALUES ($1, $2, $3, clock_timestamp())"
        " ON CONFLICT (service, id) DO UPDATE SET url = excluded.url, seen_at = excluded.seen_at"
    )
    alive: str = (
        "SELECT id FROM platform.replica WHERE service = $1"
        " AND seen_at > clock_timestamp() - make_interval(secs => $2)"
    )
    unregister: str = "DELETE FROM platform.replica WHERE service = $1 AND id = $2"
    shards: str = (
        "SELECT partition, epoch, owner, owner_url,"
        " owner IS NULL OR lease_until IS NULL OR lease_until < clock_timestamp(), halted"
        " FROM platform.shard WHERE service = $1 ORDER BY partition"
    )
    positions: str = (
        "SELECT positions::text FROM platform.shard WHERE service = $1 AND partition = $2"
    )
    acquire: str = (
        "UPDATE platform.shard SET epoch = epoch + 1, owner = $3, owner_url = $4,"
        " lease_until = clock_timestamp() + make_interval(secs => $5)"
        " WHERE service = $1 AND partition = $2"
        " AND (owner IS NULL OR lease_until IS NULL OR lease_until < clock_timestamp())"
        f" {_LEASE}"
    )
    reacquire: str = (
        "UPDATE platform.shard SET epoch = epoch + 1,"
        " lease_until = clock_timestamp() + make_interval(secs => $4)"
        " WHERE service = $1 AND partition = $2 AND epoch = $3"
        f" {_LEASE}"
    )
    last_position: str = "SELECT coalesce(max(position), 0) FROM {s}.journal WHERE partition = $1"
    renew: str = (
        "WITH mine AS (SELECT s.partition, h.published AS sent FROM platform.shard s"
        f" JOIN {_HELD} ON s.partition = h.partition AND s.epoch = h.epoch"
        " WHERE s.service = $1 ORDER BY s.partition FOR UPDATE OF s SKIP LOCKED)"
        " UPDATE platform.shard s SET published = greatest(s.published, mine.sent),"
        " lease_until = clock_timestamp() + make_interval(secs => $5)"
        " FROM mine WHERE s.service = $1 AND s.partition = mine.partition"
        " RETURNING s.partition"
    )
    lost: str = (
        "SELECT s.partition FROM platform.shard s"
        " JOIN unnest($2::int[], $3::bigint[]) AS h(partition, epoch)"
        " ON s.partition = h.partition WHERE s.service = $1 AND s.epoch <> h.epoch"
    )
    release: str = (
        "UPDATE platform.shard SET owner = NULL, owner_url = NULL, lease_until = NULL,"
        " published = greatest(published, $4)"
        " WHERE service = $1 AND partition = $2 AND epoch = $3"
    )
    halt: str = (
        "UPDATE platform.shard SET halted = $4"
        " WHERE service = $1 AND partition = $2 AND epoch = $3 RETURNING partition"
    )
    standing: str = (
        "SELECT partition, epoch, positions::text, published, halted FROM platform.shard"
        " WHERE service = $1 AND partition = $2"
    )
    unheard: str = (
        "SELECT min(first.position) FROM unnest($3::text[], $4::bigint[]) AS a(workspace, seq),"
        " LATERAL (SELECT position FROM {s}.journal j WHERE j.workspace = a.workspace"
        " AND j.seq > a.seq AND j.topic = $2 AND j.partition = $1 ORDER BY j.seq LIMIT 1) AS first"
    )
    realign: str = (
        "UPDATE platform.shard SET epoch = epoch + 1, positions = positions || $3::jsonb,"
        " published = least(published, $4::bigint),"
        " halted = CASE WHEN $5 THEN NULL ELSE halted END"
        " WHERE service = $1 AND partition = $2"
        " AND (owner IS NULL OR lease_until IS NULL OR lease_until < clock_timestamp())"
        " RETURNING partition"
    )
    workspaces: str = (
        "SELECT id, partition, seed, version FROM platform.workspace"
        ' WHERE partition = ANY($1::int[]) ORDER BY id COLLATE "C"'
    )
    workspace: str = "SELECT id, partition, seed, version FROM platform.workspace WHERE id = $1"
    config_since: str = (
        "SELECT c.workspace, c.version, c.kind, c.id, c.body::text, c.origin"
        " FROM unnest($1::text[], $2::bigint[]) AS a(workspace, version)"
        " JOIN platform.config c ON c.workspace = a.workspace AND c.version > a.version"
        " ORDER BY c.workspace, c.version LIMIT $3"
    )
    states: str = "SELECT workspace, body FROM {s}.state WHERE workspace = ANY($1::text[])"
    open_entities: str = (
        "SELECT kind, key, body, open FROM {s}.entity"
        " WHERE workspace = $1 AND (kind, key) > ($2, $3) AND open ORDER BY kind, key LIMIT $4"
    )
    all_entities: str = (
        "SELECT kind, key, body, open FROM {s}.entity"
        " WHERE workspace = $1 AND (kind, key) > ($2, $3) ORDER BY kind, key LIMIT $4"
    )
    entities: str = (
        "SELECT kind, key, body, open FROM {s}.entity"
        " WHERE workspace = $1 AND kind = $2 AND key = ANY($3::text[]) ORDER BY key"
    )
    seen: str = "SELECT id FROM {s}.seen WHERE id = ANY($1::bytea[])"
    replies: str = (
        "SELECT r.workspace, r.scope, r.key, r.fingerprint, r.body, r.at_us"
        " FROM unnest($1::text[], $2::text[], $3::text[]) AS a(workspace, scope, key)"
        " JOIN {s}.reply r ON r.workspace = a.workspace AND r.scope = a.scope AND r.key = a.key"
    )
    fence: str = (
        "UPDATE platform.shard SET positions = positions || $5::jsonb,"
        " lease_until = clock_timestamp() + make_interval(secs => $4),"
        " published = greatest(published, $6)"
        " WHERE service = $1 AND partition = $2 AND epoch = $3 RETURNING epoch"
    )
    insert_inputs: str = (
        "INSERT INTO {s}.input (workspace, first_no, count, now_us, core_version, tz_version,"
        " holidays_version, body) SELECT workspace, first_no, count, now_us, core_version,"
        " tz_version, holidays_version, substr($8::bytea, at, size) FROM unnest($1::text::text[],"
        " $2::text::bigint[], $3::text::int[], $4::text::bigint[], $5::text::text[],"
        " $6::text::text[], $7::text::text[], $9::text::int[], $10::text::int[]) AS a(workspace,"
        " first_no, count, now_us, core_version, tz_version, holidays_version, at, size)"
        f"{_HELD_FAST}"
    )
    upsert_entities: str = (
        "INSERT INTO {s}.entity (workspace, kind, key, body, open)"
        " SELECT workspace, kind, key, substr($4::bytea, at, size), open"
        " FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $5::text::int[],"
        " $6::text::int[], $7::text::bool[]) AS a(workspace, kind, key, at, size, open)"
        f"{_HELD_FAST} ON CONFLICT (workspace, kind, key) DO UPDATE"
        " SET body = excluded.body, open = excluded.open"
    )
    delete_entities: str = (
        "DELETE FROM {s}.entity e USING unnest($1::text[], $2::text[], $3::text[])"
        " AS a(workspace, kind, key)"
        f"{_HELD_FAST} AND e.workspace = a.workspace AND e.kind = a.kind AND e.key = a.key"
    )
    insert_journal: str = (
        "INSERT INTO {s}.journal (partition, position, workspace, seq, previous, type, topic, key,"
        " data, at_us) SELECT $1, $2::bigint + nth - 1, workspace, nullif(seq, 0), previous, type,"
        " topic, key, substr($9::bytea, at, size), at_us FROM unnest($3::text::text[],"
        " $4::text::bigint[], $5::text::bigint[], $6::text::text[], $7::text::text[],"
        " $8::text::text[], $10::text::int[], $11::text::int[], $12::text::bigint[])"
        " WITH ORDINALITY AS a(workspace, seq, previous, type, topic, key, at, size, at_us, nth)"
        f"{_HELD_FAST}"
    )
    insert_seen: str = (
        "INSERT INTO {s}.seen (day, id) SELECT $1, substr($2::bytea, 16 * nth - 15, 16)"
        f" FROM generate_series(1, $3::int) AS a(nth){_HELD_FAST} ON CONFLICT DO NOTHING"
    )
    upsert_states: str = (
        "INSERT INTO {s}.state (workspace, body) SELECT workspace, substr($2::bytea, at, size)"
        " FROM unnest($1::text::text[], $3::text::int[], $4::text::int[])"
        f" AS a(workspace, at, size){_HELD_FAST} ON CONFLICT (workspace) DO UPDATE SET body = excluded.body"
    )
    upsert_replies: str = (
        "INSERT INTO {s}.reply (workspace, scope, key, fingerprint, body, at_us)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[],"
        f" $6::bigint[]){_HELD_FAST} ON CONFLICT (workspace, scope, key) DO UPDATE"
        " SET fingerprint = excluded.fingerprint, body = excluded.body, at_us = excluded.at_us"
    )
    insert_snapshot: str = (
        "INSERT INTO {s}.snapshot (workspace, number, now_us) VALUES ($1, $2, $3)"
    )
    insert_snapshot_entities: str = (
        "INSERT INTO {s}.snapshot_entity (workspace, number, kind, key, body)"
        " SELECT workspace, $2, kind, key, body FROM {s}.entity WHERE workspace = $1 AND open"
    )
    outbox: str = f"{_JOURNAL} WHERE partition = $1 AND position > $2 ORDER BY position LIMIT $3"
    journal: str = f"{_JOURNAL} WHERE workspace = $1 AND seq > $2 ORDER BY seq LIMIT $3"
    journal_of_types: str = (
        f"{_JOURNAL} WHERE workspace = $1 AND seq > $2 AND type = ANY($4::text[])"
        " ORDER BY seq LIMIT $3"
    )
    inputs: str = (
        "SELECT workspace, first_no, count, now_us, core_version, tz_version, holidays_version,"
        " body FROM {s}.input WHERE workspace = $1 AND first_no > $2 ORDER BY first_no LIMIT $3"
    )
    snapshot_before: str = (
        "SELECT workspace, number, now_us FROM {s}.snapshot WHERE workspace = $1 AND number <= $2"
        " ORDER BY number DESC LIMIT 1"
    )
    snapshot_entities: str = (
        "SELECT kind, key, body, true FROM {s}.snapshot_entity WHERE workspace = $1"
        " AND number = $5 AND (kind, key) > ($2, $3) ORDER BY kind, key LIMIT $4"
    )
    prune_replies: str = (
        "WITH old AS (SELECT workspace, scope, key FROM {s}.reply WHERE at_us < $1 LIMIT $2),"
        " gone AS (DELETE FROM {s}.reply r USING old WHERE r.workspace = old.workspace"
        " AND r.scope = old.scope AND r.key = old.key RETURNING 1) SELECT count(*) FROM gone"
    )
    prune_inputs: str = (
        f"WITH cut AS ({_PRUNABLE}), old AS (SELECT i.workspace, i.first_no FROM cut"
        " JOIN {s}.input i ON i.workspace = cut.workspace AND i.first_no <= cut.number LIMIT $2),"
        " gone AS (DELETE FROM {s}.input i USING old WHERE i.workspace = old.workspace"
        " AND i.first_no = old.first_no RETURNING 1) SELECT count(*) FROM gone"
    )
    prune_snapshot_entities: str = (
        f"WITH cut AS ({_PRUNABLE}), old AS (SELECT e.workspace, e.number, e.kind, e.key FROM cut"
        " JOIN {s}.snapshot_entity e ON e.workspace = cut.workspace AND e.number < cut.number"
        " LIMIT $2), gone AS (DELETE FROM {s}.snapshot_entity e USING old"
        " WHERE e.workspace = old.workspace AND e.number = old.number AND e.kind = old.kind"
        " AND e.key = old.key RETURNING 1) SELECT count(*) FROM gone"
    )
    prune_snapshots: str = (
        f"WITH cut AS ({_PRUNABLE}), old AS (SELECT s.workspace, s.number FROM cut"
        " JOIN {s}.snapshot s ON s.workspace = cut.workspace AND s.number < cut.number"
        " WHERE NOT EXISTS (SELECT FROM {s}.snapshot_entity e WHERE e.workspace = s.workspace"
        " AND e.number = s.number) LIMIT $2),"
        " gone AS (DELETE FROM {s}.snapshot s USING old WHERE s.workspace = old.workspace"
        " AND s.number = old.number RETURNING 1) SELECT count(*) FROM gone"
    )


@cache
def fenced(fence: str, parts: tuple[str, ...]) -> str:
    """The fence and the writes that hang on it as one statement; the parameters follow each other
    in order. Returns the epoch, or no row. No two parts may write the same row."""
    written = [f"fence AS ({fence})"]
    before = _count(fence)
    for place, part in enumerate(parts):
        moved = _PARAMETER.sub(lambda found, before=before: f"${int(found[1]) + before}", part)
        written.append(f"w{place} AS ({moved})")
        before += _count(part)
    return f"WITH {', '.join(written)} SELECT epoch FROM fence"


def _count(statement: str) -> int:
    """Its parameters' number."""
    return max(int(number) for number in _PARAMETER.findall(statement))


def for_schema(schema: str) -> Statements:
    """All statements for the tables in `schema`."""
    templates = msgspec.structs.asdict(Statements())
    return Statements(**{name: sql.replace("{s}", schema) for name, sql in templates.items()})
