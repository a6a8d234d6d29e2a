"""The log's tables and statements. Schema `bus`; nothing else touches it."""

from sqlalchemy import TextClause, text

SCHEMA_LOCK = 0x6F6D6E69_627573  # "omnibus"
TRIM_LOCK = SCHEMA_LOCK + 1
CHANNEL = "omniroute_bus"

SCHEMA: tuple[str, ...] = (
    "CREATE SCHEMA IF NOT EXISTS bus",
    """CREATE TABLE IF NOT EXISTS bus.topic (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        partitions integer NOT NULL CHECK (partitions > 0),
        retention_ms bigint NOT NULL)""",
    # One row per partition: its lock gives offsets in commit order, without gaps.
    """CREATE TABLE IF NOT EXISTS bus.head (
        topic_id integer NOT NULL REFERENCES bus.topic,
        partition integer NOT NULL,
        earliest bigint NOT NULL DEFAULT 0,
        next bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (topic_id, partition)) WITH (fillfactor = 50)""",
    """CREATE TABLE IF NOT EXISTS bus.record (
        topic_id integer NOT NULL,
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        timestamp_ms bigint NOT NULL,
        stored_ms bigint NOT NULL,
        size integer NOT NULL,
        key bytea,
        value bytea,
        headers bytea NOT NULL,
        PRIMARY KEY (topic_id, partition, "offset"))
       WITH (autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_scale_factor = 0.05)""",
)

LOCK_SCHEMA = text("SELECT pg_advisory_xact_lock(:lock)")

ENSURE_TOPICS = text("""
    INSERT INTO bus.topic (name, partitions, retention_ms)
    SELECT * FROM unnest(CAST(:names AS text[]), CAST(:counts AS int[]), CAST(:kept AS bigint[]))
    ON CONFLICT (name) DO UPDATE SET
        partitions = greatest(bus.topic.partitions, excluded.partitions),
        retention_ms = excluded.retention_ms""")
ENSURE_HEADS = text("""
    INSERT INTO bus.head (topic_id, partition)
    SELECT id, number FROM bus.topic, generate_series(0, partitions - 1) AS number
    ON CONFLICT DO NOTHING""")
TOPICS = text("SELECT name, id, partitions FROM bus.topic")

# One statement, so one transaction: lock the heads (in one order everywhere, so that two senders never
# wait for each other), give the records their offsets, tell the listeners. It goes to the driver
# itself. Parameters: of each partition topic id, number, how many records; of each record the
# partition's place (from 1), its number within it (from 0), timestamp, then key, value and headers
# (all bytes, where each begins, its size); channel and news.
APPEND = """
    WITH locked AS (
        SELECT h.topic_id, h.partition, h.next, w.count, w.place
        FROM bus.head h
        JOIN unnest($1::text::int[], $2::text::int[], $3::text::int[])
            WITH ORDINALITY AS w (topic_id, partition, count, place)
            ON h.topic_id = w.topic_id AND h.partition = w.partition
        ORDER BY h.topic_id, h.partition
        FOR UPDATE OF h),
    clock AS MATERIALIZED (
        SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) AS now_ms),
    moved AS (
        UPDATE bus.head h SET next = l.next + l.count
        FROM locked l WHERE h.topic_id = l.topic_id AND h.partition = l.partition),
    stored AS (
        INSERT INTO bus.record (topic_id, partition, "offset", timestamp_ms, stored_ms, size,
                                key, value, headers)
        SELECT l.topic_id, l.partition, l.next + r.nth, coalesce(r.timestamp_ms, c.now_ms),
               c.now_ms, greatest(r.key_size, 0) + greatest(r.value_size, 0) + r.headers_size,
               CASE WHEN r.key_size >= 0 THEN substr($7::bytea, r.key_at, r.key_size) END,
               CASE WHEN r.value_size >= 0 THEN substr($10::bytea, r.value_at, r.value_size) END,
               substr($13::bytea, r.headers_at, r.headers_size)
        FROM unnest($4::text::int[], $5::text::int[], $6::text::bigint[],
                    $8::text::int[], $9::text::int[], $11::text::int[], $12::text::int[],
                    $14::text::int[], $15::text::int[])
            AS r (place, nth, timestamp_ms, key_at, key_size, value_at, value_size,
                  headers_at, headers_size)
        JOIN locked l ON l.place = r.place
        CROSS JOIN clock c)
    SELECT l.place, l.next, c.now_ms, told.it FROM locked l
    CROSS JOIN clock c CROSS JOIN (SELECT pg_notify($16, $17) AS it) AS told"""

BOUNDS = text("""
    SELECT h.topic_id, h.partition, h.earliest, h.next
    FROM bus.head h
    JOIN unnest(CAST(:topics AS int[]), CAST(:partitions AS int[])) AS w (topic_id, partition)
        USING (topic_id, partition)""")

# Partitions whose position is not at the end: they have something, or are out of range.
# This and the next go to the driver itself: topic ids, partitions, positions.
READY = """
    SELECT w.place, h.earliest, h.next
    FROM unnest($1::int[], $2::int[], $3::bigint[])
        WITH ORDINALITY AS w (topic_id, partition, position, place)
    JOIN bus.head h ON h.topic_id = w.topic_id AND h.partition = w.partition
    WHERE h.next <> w.position
    ORDER BY w.place"""

# The running size is of what lies before a record, so that one record always comes through.
# Parameters: places, topic ids, partitions, positions, most records and bytes of each.
FETCH = """
    SELECT w.place, r."offset", r.timestamp_ms, r.key, r.value, r.headers
    FROM unnest($1::int[], $2::int[], $3::int[], $4::bigint[])
        AS w (place, topic_id, partition, position)
    CROSS JOIN LATERAL (
        SELECT s.*, sum(s.size) OVER (ORDER BY s."offset") - s.size AS before
        FROM (SELECT * FROM bus.record b
              WHERE b.topic_id = w.topic_id AND b.partition = w.partition
                AND b."offset" >= w.position
              ORDER BY b."offset" LIMIT $5) AS s) AS r
    WHERE r.before < $6
    ORDER BY w.place, r."offset" """

TRY_TRIM = text("SELECT pg_try_advisory_xact_lock(:lock)")
# Where the log may begin: after the leading records that are too old, at most :most at a time.
TRIM_PLAN = text("""
    SELECT h.topic_id, h.partition, cut.earliest
    FROM bus.head h
    JOIN bus.topic t ON t.id = h.topic_id
    CROSS JOIN (SELECT coalesce(CAST(:now_ms AS bigint),
                                CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint))
                       AS now_ms) AS c
    CROSS JOIN LATERAL (
        SELECT coalesce(min(o."offset") FILTER (WHERE o.stored_ms >= c.now_ms - t.retention_ms),
                        max(o."offset") + 1) AS earliest
        FROM (SELECT r."offset", r.stored_ms FROM bus.record r
              WHERE r.topic_id = h.topic_id AND r.partition = h.partition
                AND r."offset" >= h.earliest
              ORDER BY r."offset" LIMIT :most) AS o) AS cut
    WHERE cut.earliest > h.earliest
    ORDER BY h.topic_id, h.partition""")
TRIM_HEAD = text("""
    UPDATE bus.head SET earliest = :earliest
    WHERE topic_id = :topic AND partition = :partition AND earliest < :earliest""")
TRIM_RECORDS = text("""
    DELETE FROM bus.record
    WHERE topic_id = :topic AND partition = :partition AND "offset" < :earliest""")


def schema() -> list[TextClause]:
    """The statements that create what is missing."""
    return [text(statement) for statement in SCHEMA]
