"""The statements by which figures are read: from the roll-up, what is not folded yet, and ragged ends.

`OFFSET 0`: each piece of a span is one range of an index, never a scan of a whole table. An array's number
at `0` is NULL: nothing lies up to there.
"""

from typing import Literal

Dimension = Literal["queue", "channel", "agent", "policy", "priority", "tag"]
Series = Literal["started", "due", "finished", "wall"]

KEYS: dict[Dimension, str] = {
    "queue": "coalesce(c.queue, '')",
    "channel": "c.channel",
    "agent": "coalesce(c.agent_id, '')",
    "policy": "coalesce(c.policy_id, '')",
    "priority": "c.priority::text",
    "tag": "unnest(CASE WHEN cardinality(c.tags) = 0 THEN ARRAY[''] ELSE c.tags END)",
}
MOMENTS: dict[Series, str] = {
    "started": "started_at",
    "due": "due_at",
    "finished": "ended_at",
    "wall": "ended_at",
}
_VALUES: dict[Series, tuple[str, str]] = {
    "started": ("bucket_us", "value_us"),
    "due": ("0::bigint", "0::bigint"),
    "finished": ("bucket_us", "value_us"),
    "wall": ("wall_bucket_us", "wall_us"),
}
_ANSWERED = "outcome IN ('met', 'missed')"
_ABANDONED = "outcome = 'abandoned'"
_UNANSWERED = "outcome IN ('closed_unanswered', 'closed_late')"

_EDGE = "coalesce(l.edge, CAST(:limit AS bigint))"
_SPANS = """whole AS (SELECT * FROM unnest(CAST(:steps AS smallint[]),
    CAST(:w_since AS timestamptz[]), CAST(:w_until AS timestamptz[])) w (step, since, until)),
ragged AS (SELECT * FROM unnest(CAST(:r_since AS timestamptz[]), CAST(:r_until AS timestamptz[]))
    r (since, until))"""
_LIMITS = """limits AS (SELECT * FROM unnest(CAST(:limit_keys AS text[]), CAST(:limits AS bigint[]))
    l (key, edge))"""


# The number of a step, by what a series goes: steps since the epoch, or the edges given (from 1).
Slots = Literal["none", "step", "edges"]
_SLOTS: dict[Slots, str] = {
    "none": "0",
    "step": "floor(extract(epoch FROM {at}) / CAST(:step AS bigint))::bigint",
    "edges": "width_bucket({at}, CAST(:edges AS timestamptz[]))::bigint",
}


def histograms(series: Series, dimension: Dimension, *, slots: Slots, some: bool) -> str:
    """Rows of histograms and the two numbers they do not tell, which the reader adds up. What is
    counted one by one comes as histograms with one bucket. `some`: only the metrics given."""
    slot = _SLOTS[slots]
    return f"""
WITH {_SPANS}, {_singles(series, dimension, some)}
SELECT {slot.format(at="r.at")} AS slot, r.metric, r.key, r.met, r.late, r.answered_us,
  r.abandoned_us, r.buckets, r.answered, r.abandoned, r.unanswered
FROM whole, {_rolled(some)}
UNION ALL
SELECT slot, metric, key, {_total("outcome = 'met'")}, {_total("outcome = 'closed_late'")},
  {_total(_ANSWERED, "us")}, {_total(_ABANDONED, "us")}, ARRAY[bucket],
  ARRAY[{_total(_ANSWERED)}], ARRAY[{_total(_ABANDONED)}], ARRAY[{_total(_UNANSWERED)}]
FROM (SELECT *, {slot.format(at="at")} AS slot FROM singles) s GROUP BY slot, metric, key, bucket
"""


def sums(series: Series, dimension: Dimension, *, some: bool) -> str:
    """The numbers of each metric and group, up to its threshold where one is asked for."""
    within = f"AND s.bucket <= {_EDGE}"
    short = "AND s.bucket <= :short"
    return f"""
WITH {_SPANS}, {_LIMITS}, {_singles(series, dimension, some)}
SELECT metric, key, {", ".join(f"sum({name})::bigint" for name in _NUMBERS)} FROM (
  SELECT r.metric, r.key, {_numbers()}
  FROM whole, {_rolled(some)} LEFT JOIN limits l ON l.key = r.key
  UNION ALL
  SELECT s.metric, s.key, {_total(_ANSWERED)}, {_total(_ANSWERED, "us")},
    {_total(f"{_ANSWERED} {within}")}, {_total("outcome = 'met'")}, {_total(_ABANDONED)},
    {_total(f"{_ABANDONED} {within}")}, {_total(f"{_ABANDONED} {short}")}, {_total(_UNANSWERED)},
    {_total("outcome = 'closed_late'")}
  FROM singles s LEFT JOIN limits l ON l.key = s.key GROUP BY s.metric, s.key
) parts GROUP BY metric, key HAVING sum(answered + abandoned + unanswered) <> 0
"""


def steps() -> str:
    """The numbers and percentiles of each row of the roll-up, in time's order."""
    total = "r.answered[cardinality(r.answered)]"
    ranks = (f"ceil(CAST(:share{number} AS double precision) * {total})" for number in (1, 2, 3))
    at_rank = ", ".join(_at_rank(f"{rank}::integer") for rank in (*ranks, total))
    return f"""
WITH whole AS (SELECT * FROM unnest(CAST(:w_since AS timestamptz[]),
    CAST(:w_until AS timestamptz[])) w (since, until)), {_LIMITS}
SELECT extract(epoch FROM r.at)::bigint / :step, r.key, {_numbers()}, {at_rank}
FROM whole, LATERAL (
  SELECT * FROM sla.rollup r
  WHERE r.workspace = :workspace AND r.series = :series AND r.dimension = :dimension
    AND r.metric = :metric AND r.step = :whole AND r.at >= whole.since AND r.at < whole.until
    {_wanted("r.key")}
  OFFSET 0) r LEFT JOIN limits l ON l.key = r.key
WHERE cardinality(r.buckets) > 0 ORDER BY r.at, r.key LIMIT :most
"""


def unfolded(series: Series) -> str:
    """The steps of a series in which something is not folded yet."""
    at = MOMENTS[series]
    return f"""
SELECT DISTINCT floor(extract(epoch FROM c.{at}) / CAST(:step AS bigint))::bigint
FROM sla.contribution c WHERE c.workspace = :workspace AND c.metric = :metric
  AND c.{at} >= :since AND c.{at} < :until
"""


_NUMBERS = (
    "answered", "answered_us", "answered_within", "met", "abandoned", "abandoned_within",
    "abandoned_short", "unanswered", "late",
)  # fmt: skip


def _numbers() -> str:
    """`Sums` of one row of the roll-up, in its order."""
    within = f"width_bucket({_EDGE}, r.buckets)"
    short = "width_bucket(CAST(:short AS bigint), r.buckets)"
    found = (
        "coalesce(r.answered[cardinality(r.answered)], 0)",
        "r.answered_us",
        f"coalesce(r.answered[{within}], 0)",
        "r.met",
        "coalesce(r.abandoned[cardinality(r.abandoned)], 0)",
        f"coalesce(r.abandoned[{within}], 0)",
        f"coalesce(r.abandoned[{short}], 0)",
        "coalesce(r.unanswered[cardinality(r.unanswered)], 0)",
        "r.late",
    )
    return ", ".join(f"{one} AS {name}" for one, name in zip(found, _NUMBERS, strict=True))


def _at_rank(rank: str) -> str:
    """The bucket in which the one of a rank lies: the first up to which there are as many."""
    return f"r.buckets[width_bucket({rank} - 1, r.answered) + 1]"


def _total(which: str, of: str = "") -> str:
    value = "sign" if not of else f"sign * {of}"
    return f"coalesce(sum({value}) FILTER (WHERE {which}), 0)::bigint"


def _wanted(key: str) -> str:
    return f"AND (CAST(:keys AS text[]) IS NULL OR {key} = ANY(CAST(:keys AS text[])))"


def _among(table: str, some: bool) -> str:
    return f"AND {table}.metric = ANY(CAST(:metrics AS text[]))" if some else ""


def _rolled(some: bool) -> str:
    return f"""LATERAL (
  SELECT * FROM sla.rollup r
  WHERE r.workspace = :workspace AND r.series = :series AND r.dimension = :dimension
    AND r.step = whole.step AND r.at >= whole.since AND r.at < whole.until {_among("r", some)}
    {_wanted("r.key")}
  OFFSET 0) r"""


def _singles(series: Series, dimension: Dimension, some: bool) -> str:
    """What is counted one by one: contributions that are not folded yet, and measures."""
    at = MOMENTS[series]
    bucket, value = (one if one.startswith("0") else f"c.{one}" for one in _VALUES[series])
    columns = (
        f"c.{at} AS at, c.metric, {KEYS[dimension]} AS key, c.outcome, {bucket} AS bucket,"
        f" {value} AS us"
    )
    return f"""every AS (
  SELECT {columns}, c.sign::integer AS sign FROM whole, sla.contribution c
  WHERE c.workspace = :workspace AND c.{at} >= whole.since AND c.{at} < whole.until
    {_among("c", some)}
  UNION ALL
  SELECT {columns}, 1 FROM ragged, LATERAL (
    SELECT * FROM sla.measure c
    WHERE c.workspace = :workspace AND c.{at} >= ragged.since AND c.{at} < ragged.until
      {_among("c", some)}
    OFFSET 0) c
),
singles AS (SELECT * FROM every WHERE true {_wanted("key")})"""


COMPLETED = """
SELECT {key} AS key, count(*) AS completed,
  count(*) FILTER (WHERE reopened > 0) AS reopened,
  count(*) FILTER (WHERE repeated) AS repeated,
  count(*) FILTER (WHERE reopened = 0 AND NOT repeated) AS first_contact,
  count(*) FILTER (WHERE reopened = 0 AND NOT repeated AND ended_at > CAST(:now AS timestamptz) - CAST(:repeat AS interval)) AS provisional,
  count(*) FILTER (WHERE told) AS told,
  avg(talk_us) / 1e6 AS talk_s, avg(hold_us) / 1e6 AS hold_s, avg(wrap_us) / 1e6 AS wrap_s
FROM (
  SELECT t.*, EXISTS (
      SELECT 1 FROM sla.feedback f WHERE f.workspace = t.workspace AND f.task_id = t.id) AS told,
    EXISTS (
      SELECT 1 FROM sla.task n WHERE n.workspace = t.workspace AND n.customer_id = t.customer_id
        AND n.created_at > t.ended_at AND n.created_at <= t.ended_at + CAST(:repeat AS interval))
    OR EXISTS (
      SELECT 1 FROM sla.task n WHERE n.workspace = t.workspace
        AND n.conversation_id = t.conversation_id
        AND n.created_at > t.ended_at AND n.created_at <= t.ended_at + CAST(:repeat AS interval)) AS repeated
  FROM sla.task t
  WHERE t.workspace = :workspace AND t.ended_at >= :since AND t.ended_at < :until
    AND t.ending = 'completed'
) c GROUP BY 1
"""

# Present: available, or with work in hand. Idle: available and without work.
DESKS = """
SELECT agent_id AS key,
  sum(s) FILTER (WHERE status = 'available' OR tasks > 0) AS present_s,
  sum(s) FILTER (WHERE tasks > 0) AS busy_s,
  sum(s) FILTER (WHERE status = 'available' AND tasks = 0) AS idle_s,
  sum(s * tasks) AS task_s, sum(s * units) AS unit_s,
  sum(s * capacity) FILTER (WHERE status = 'available' OR tasks > 0) AS capacity_s
FROM (
  SELECT *, extract(epoch FROM least(coalesce(to_at, CAST(:until AS timestamptz)), CAST(:until AS timestamptz))
    - greatest(from_at, CAST(:since AS timestamptz)))
    ::double precision AS s
  FROM sla.agent_span
  WHERE workspace = :workspace AND from_at < :until AND (to_at IS NULL OR to_at > :since)
) spans GROUP BY 1
"""
