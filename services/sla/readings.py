"""Figures as answers: the roll-up and the clocks that are still open, of one moment, by group."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from zoneinfo import ZoneInfo

from msgspec.structs import asdict

from services.sla import live
from services.sla.domain import service_level as levels
from services.sla.domain import shapes, summary
from services.sla.domain.ended import Ended
from services.sla.domain.feedback import Scores, shown_scores
from services.sla.domain.histogram import Histogram, on_grid
from services.sla.domain.promises import Promise
from services.sla.domain.service_level import Kept
from services.sla.due_soon import HORIZONS_S, Due, is_due, is_late
from services.sla.figures_rows import Group, Limits, Line, Waiting
from services.sla.figures_spans import local_days
from services.sla.figures_statements import Dimension, Series
from services.sla.figures_store import FiguresStore, Moment
from shared.contracts.instants import span_us
from shared.contracts.service_level import Counts, levels_of, service_levels
from shared.runtime.port import RuntimePort

DEFAULT_THRESHOLD_S = 20.0
ROWS_AT_ONCE = 500  # of a series, between two turns of the event loop
SERIES_ROWS_MAX = 30_000  # of one answer: a month by hour of 40 groups
REPEAT_S = 7 * 86_400
LEARN_FROM = timedelta(days=7)  # ended clocks by which breaches are predicted

Promises = Callable[[str], Awaitable[dict[str, dict[str, Promise]]]]
Row = dict[str, Any]


class Readings:
    """`promises(workspace)`: what each queue promises, by queue and metric.

    Every call raises what the runtime's queries raise, and DatabaseUnavailable.
    """

    def __init__(self, runtime: RuntimePort, store: FiguresStore, promises: Promises) -> None:
        self._runtime = runtime
        self._store = store
        self._promises = promises

    async def service_level(
        self,
        workspace: str,
        metric: str,
        since: datetime,
        until: datetime,
        by: Dimension,
        threshold_s: float | None = None,
    ) -> list[shapes.ServiceLevelRow]:
        """Clocks started in [since, until). The threshold is the one given, else the queue's own,
        else the one that all queues share, else 20 s."""
        limit = await self._limit(workspace, metric, by, threshold_s)
        async with self._store.moment() as moment:
            exact = await moment.edges(workspace)
            ended = await moment.sums(
                workspace, [metric], "started", by, since, until, limit.limits()
            )
            counts = {key: levels.counts_of(sums) for (key, _), sums in ended.items()}
            waits = self._waits(moment, workspace, metric, by, (since, until))
            async for key, elapsed in waits:
                group = counts.setdefault(key, Counts())
                group.wait(beyond=elapsed > span_us(limit.of(key)))
        return [
            {
                **_group(by, key),
                "metric": metric,
                "threshold_s": limit.of(key),
                "exact": _is_exact(limit.of(key), exact),
                "counts": cast(Any, asdict(counts[key])),
                "service_level": cast(Any, service_levels(counts[key])),
            }
            for key in sorted(counts)
        ]

    async def _waits(
        self,
        moment: Moment,
        workspace: str,
        metric: str,
        by: Dimension,
        started: tuple[datetime, datetime],
    ) -> AsyncIterator[tuple[str, int]]:
        """Of who still waits the group, and for how long: open clocks by their open time, tasks without an
        agent yet by the clock on the wall, as their speed of answer is counted."""
        if metric == summary.SPEED_OF_ANSWER:
            now = datetime.now(UTC)
            async for tasks in moment.unanswered(workspace, by, started=started):
                for task in tasks:
                    yield task.key, (now - task.since) // timedelta(microseconds=1)
            return
        async for chunk in moment.waiting(workspace, [metric], by, started=started):
            for one, elapsed in await self._elapsed(workspace, chunk):
                yield one.key, elapsed

    async def compliance(
        self,
        workspace: str,
        metrics: Sequence[str] | None,
        cohort: Series,
        since: datetime,
        until: datetime,
        by: Dimension,
    ) -> list[shapes.ComplianceRow]:
        """met / (met + missed) of the clocks that started, were due, or finished in the span."""
        kept: dict[tuple[str, str], Kept] = {}
        async with self._store.moment() as moment:
            ended = await moment.sums(workspace, metrics, cohort, by, since, until, _NO_LIMITS)
            for place, sums in ended.items():
                if place[1] not in _NOT_CLOCKS:
                    kept[place] = levels.kept_of(sums)
            if cohort != "finished":
                within = (
                    {"started": (since, until)} if cohort == "started" else {"due": (since, until)}
                )
                now = datetime.now(UTC)
                async for chunk in moment.waiting(workspace, metrics, by, **within):
                    for one in chunk:
                        kept.setdefault((one.key, one.metric), Kept()).wait(is_late(one, now))
        return [
            {
                **_group(by, key),
                "metric": metric,
                "counts": cast(Any, asdict(kept[key, metric])),
                "compliance": levels.compliance(kept[key, metric]),
            }
            for key, metric in sorted(kept)
        ]

    async def forecast(
        self, workspace: str, metrics: Sequence[str] | None, by: Dimension
    ) -> shapes.ForecastSum:
        """Running clocks due within 300, 900 and 3600 s; of these, how many are likely to breach."""
        groups = await self._due(workspace, metrics, by)
        total = Due()
        for group in groups.values():
            total.take(group)
        rows: list[shapes.ForecastRow] = [
            {**_group(by, key), **groups[key].shown()} for key in sorted(groups)
        ]
        return {**total.shown(), "rows": rows}

    async def _due(
        self, workspace: str, metrics: Sequence[str] | None, by: Dimension
    ) -> dict[str, Due]:
        """By group, those in which anything is due soon or overdue."""
        now = datetime.now(UTC)
        groups: dict[str, Due] = defaultdict(Due)
        async with self._store.moment() as moment:
            past = await moment.histograms(
                workspace, metrics, "finished", "queue", now - LEARN_FROM, now
            )
            learnt: dict[tuple[str, str], Histogram] = defaultdict(Histogram)
            for group, ended in past.items():
                learnt[group.metric, group.key] = ended.all()
            async for chunk in moment.waiting(workspace, metrics, by):
                late = [one for one in chunk if is_late(one, now)]
                for one in late:
                    groups[one.key].overdue += 1
                soon = [one for one in chunk if is_due(one, now, HORIZONS_S[-1])]
                for one, elapsed in await self._elapsed(workspace, soon):
                    known = learnt[one.metric, one.queue or ""]
                    chance = summary.breach_chance(known, elapsed, span_us(one.target_s))
                    groups[one.key].add(one, now, chance)
        return groups

    async def figures(
        self,
        workspace: str,
        since: datetime,
        until: datetime,
        by: Dimension,
        cohort: Series = "finished",
        repeat_s: int = REPEAT_S,
    ) -> Row:
        """Every further figure of the span, by group, and the agents' occupancy."""
        async with self._store.moment() as moment:
            spans = _by_key(await moment.histograms(workspace, None, cohort, by, since, until))
            walls = _by_key(await moment.histograms(workspace, None, "wall", by, since, until))
            completed = await moment.completed(workspace, by, since, until, repeat_s)
            backlog = await moment.backlog(workspace, by)
            scores = await moment.scores(workspace, by, since, until)
            desks = await moment.desks(workspace, since, until)
        soon = await self._due(workspace, None, by)
        done = {row["key"]: row for row in completed}
        waiting = {row["key"]: row for row in backlog}
        told = _scores(scores)
        time = {row["key"]: row for row in desks}
        keys = spans.keys() | done.keys() | waiting.keys() | told.keys() | soon.keys()
        if by == "agent":
            keys |= time.keys()
        rows: list[Row] = []
        for key in sorted(keys):
            row: Row = {by: shown_key(by, key)}
            row |= summary.of_metrics(spans.get(key, {}), walls.get(key, {}))
            row["handle_time"] |= _parts(done.get(key))
            row["contacts"] = summary.contacts(done.get(key))
            row["backlog"] = _backlog(waiting.get(key))
            row["feedback"] = _feedback(told.get(key, {}), done.get(key))
            if by == "agent":
                row["occupancy"] = summary.occupancy([time[key]] if key in time else [])
            row |= soon.get(key, Due()).shown()
            rows.append(row)
        return {"occupancy": summary.occupancy(desks), "rows": rows}

    async def series(
        self,
        workspace: str,
        metric: str,
        since: datetime,
        until: datetime,
        by: Dimension,
        cohort: Series,
        step_s: int,
        threshold_s: float | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[shapes.SeriesRow]:
        """One metric in steps of time since the epoch, of some groups (None: all): how long it took, who
        was in time, service level. Clocks that are still open are in none of the steps. The threshold
        is as in `service_level`. Raises TooMany above SERIES_ROWS_MAX rows."""
        limit = await self._limit(workspace, metric, by, threshold_s)
        async with self._store.moment() as moment:
            lines = await moment.steps(
                workspace, metric, cohort, by, since, until, step_s, limit.limits(), keys,
                SERIES_ROWS_MAX,
            )  # fmt: skip
        return await _steps(
            lines, metric, by, limit, lambda slot: datetime.fromtimestamp(slot * step_s, UTC)
        )

    async def daily(
        self,
        workspace: str,
        metric: str,
        since: datetime,
        until: datetime,
        by: Dimension,
        cohort: Series,
        zone: ZoneInfo,
        threshold_s: float | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[shapes.SeriesRow]:
        """The same by days of a zone, of 23 to 25 hours where its clock changes."""
        limit = await self._limit(workspace, metric, by, threshold_s)
        edges = local_days(since, until, zone)
        async with self._store.moment() as moment:
            lines = await moment.days(
                workspace, metric, cohort, by, since, until, edges, limit.limits(), keys,
                SERIES_ROWS_MAX,
            )  # fmt: skip
        return await _steps(lines, metric, by, limit, lambda slot: edges[slot - 1])

    async def _limit(
        self, workspace: str, metric: str, by: Dimension, threshold_s: float | None
    ) -> "_Limit":
        promised = _thresholds(await self._promises(workspace), metric)
        common = set(promised.values())
        other = next(iter(common)) if len(common) == 1 else DEFAULT_THRESHOLD_S
        if threshold_s is not None:
            return _Limit({}, threshold_s)
        return _Limit(promised if by == "queue" else {}, other)

    async def _elapsed(self, workspace: str, chunk: Sequence[Waiting]) -> list[tuple[Waiting, int]]:
        """Open time until now; what was stored where the clock is not open in memory any more."""
        if not chunk:
            return []
        wanted = [(one.conversation_id, one.id) for one in chunk]
        current = await self._runtime.query(workspace, partial(live.elapsed_us, wanted=wanted))
        return [
            (one, span_us(one.elapsed_s) if now is None else now)
            for one, now in zip(chunk, current, strict=True)
        ]


_NOT_CLOCKS = frozenset({summary.SPEED_OF_ANSWER, summary.HANDLE_TIME})


_NO_LIMITS = Limits({}, 0)


class _Limit:
    """Thresholds of groups, in seconds."""

    def __init__(self, promised: dict[str, float], other: float) -> None:
        self._promised = promised
        self._other = other

    def of(self, key: str) -> float:
        return self._promised.get(key, self._other)

    def limits(self) -> Limits:
        return Limits(
            {key: span_us(one) for key, one in self._promised.items()}, span_us(self._other)
        )


def _is_exact(threshold_s: float, declared: frozenset[int]) -> bool:
    edge = span_us(threshold_s)
    return on_grid(edge) or edge in declared


async def _steps(
    lines: Sequence[Line],
    metric: str,
    by: Dimension,
    limit: "_Limit",
    begin: Callable[[int], datetime],
) -> list[shapes.SeriesRow]:
    """`begin`: when the step of a number begins."""
    rows: list[shapes.SeriesRow] = []
    for first in range(0, len(lines), ROWS_AT_ONCE):
        part = lines[first : first + ROWS_AT_ONCE]
        rows += [_step(one, metric, by, begin(one.slot), limit.of(one.key)) for one in part]
        await asyncio.sleep(0)
    return rows


def _step(
    line: Line, metric: str, by: Dimension, at: datetime, threshold_s: float
) -> shapes.SeriesRow:
    """There may be thousands: counts and levels are structs, which need no copy and no collector."""
    sums, counts = line.sums, levels.counts_of(line.sums)
    return {
        "at": at,
        **_group(by, line.key),
        "metric": metric,
        **summary.shown_spread(sums.answered, sums.answered_us, line.quantiles_us, line.max_us),
        "threshold_s": threshold_s,
        "counts": counts,
        "service_level": levels_of(counts),
        "compliance": levels.compliance(levels.kept_of(sums)),
    }


def _group(by: Dimension, key: str) -> shapes.Grouped:
    return cast(shapes.Grouped, {by: shown_key(by, key)})


def shown_key(by: Dimension, key: str) -> str | float | None:
    """A group as answers name it; None: those without a value."""
    if by == "priority":
        level = float(key)
        return int(level) if level.is_integer() else level
    return key or None


def _thresholds(promises: dict[str, dict[str, Promise]], metric: str) -> dict[str, float]:
    return {
        queue: promised[metric].threshold_s
        for queue, promised in promises.items()
        if metric in promised
    }


def _by_key(groups: dict[Group, Ended]) -> dict[str, dict[str, Ended]]:
    found: dict[str, dict[str, Ended]] = {}
    for group, ended in groups.items():
        found.setdefault(group.key, {})[group.metric] = ended
    return found


def _parts(row: Row | None) -> Row:
    """Mean talk, hold and wrap-up."""
    names = ("talk_s", "hold_s", "wrap_s")
    return {name: None if row is None else _float(row[name]) for name in names}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _backlog(row: Row | None) -> shapes.Backlog:
    if row is None:
        return {"tasks": 0, "unassigned": 0, "oldest": None}
    return {"tasks": row["tasks"], "unassigned": row["unassigned"], "oldest": row["oldest"]}


def _scores(rows: list[Row]) -> dict[str, dict[str, Scores]]:
    """By group and survey."""
    told: dict[str, dict[str, Scores]] = {}
    for row in rows:
        scores = told.setdefault(row["key"], {}).setdefault(row["survey"], Scores())
        scores.add(row["survey"], row["score"], row["n"])
    return told


def _feedback(told: dict[str, Scores], done: Row | None) -> Row:
    """CSAT, NPS, CES of the answers of the span; `response_rate`: of the tasks completed in the
    span, the share that feedback names."""
    surveys = ("csat", "nps", "ces")
    shown: Row = {name: shown_scores(name, told.get(name, Scores())) for name in surveys}
    shown["response_rate"] = None if done is None else levels.share(done["told"], done["completed"])
    return shown
