"""The watch over promises: burn rates of every queue's goals, as metrics and as alarms.

It runs where the workspace is owned, reads what the figures read, and tells the core only when an alarm
begins or ends; the core tells everybody else.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, Gauge

from services.sla import live
from services.sla.domain.alarms import Alarm
from services.sla.domain.burn import SEVERITIES, WINDOWS_S, Burning, Tally, burn, judge
from services.sla.domain.core import ALARM
from services.sla.domain.ended import Sums
from services.sla.domain.measures import SPEED_OF_ANSWER
from services.sla.domain.promises import Promise
from services.sla.figures_rows import Limits
from services.sla.figures_spans import EPOCH
from services.sla.figures_store import FiguresStore, Moment
from services.sla.readings import Promises
from shared.contracts.core import Input
from shared.contracts.instants import span_us
from shared.db.engine import DatabaseUnavailable
from shared.runtime.owned import PASSING, for_each
from shared.runtime.port import RuntimePort

TICK_S = 30.0
HOUR_S = 3_600
_PASSING = (*PASSING, DatabaseUnavailable)
_JSON = msgspec.json.Encoder()


class Goal(NamedTuple):
    """One promise that has a goal."""

    queue: str
    metric: str
    promise: Promise


Tallies = dict[Goal, dict[int, Tally]]
Starts = dict[str, dict[int, int]]  # of each queue and window


class PromiseWatch:
    """`owned` names the workspaces that decide here; `run` must be kept running."""

    def __init__(
        self,
        runtime: RuntimePort,
        owned: Callable[[], list[str]],
        store: FiguresStore,
        promises: Promises,
        registry: CollectorRegistry,
    ) -> None:
        self._runtime = runtime
        self._owned = owned
        self._store = store
        self._promises = promises
        self._metrics = _Gauges(registry)

    async def run(self) -> None:
        """Look at every promise each half minute. Until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            owned = self._owned()
            await for_each(owned, self.check, "promises.skipped", _PASSING)
            self._metrics.forget_all_but(set(owned))

    async def check(self, workspace: str) -> None:
        """Tallies a workspace's promises, and reports alarms that began or ended."""
        promised = await self._promises(workspace)
        goals = [
            Goal(queue, metric, promise)
            for queue, by_metric in sorted(promised.items())
            for metric, promise in sorted(by_metric.items())
            if promise.goal is not None
        ]
        tallies = await self._tallies(workspace, goals) if goals else {}
        self._metrics.show(workspace, tallies)
        await self._tell(workspace, tallies)

    async def _tallies(self, workspace: str, goals: list[Goal]) -> Tallies:
        queues = sorted({goal.queue for goal in goals})
        starts = await self._runtime.query(workspace, partial(live.window_starts, queues=queues))
        wanted: dict[int, list[Goal]] = defaultdict(list)
        for goal in goals:
            for start_us in starts[goal.queue].values():
                wanted[_minute(start_us)].append(goal)
        async with self._store.moment() as moment:
            ended = {
                start: await _ended(moment, workspace, those, start)
                for start, those in sorted(wanted.items())
            }
            beyond = await self._beyond(moment, workspace, goals, starts)
        return {
            goal: {
                span: _tally(goal, ended[_minute(starts[goal.queue][span])], beyond[goal][span])
                for span in WINDOWS_S
            }
            for goal in goals
        }

    async def _beyond(
        self, moment: Moment, workspace: str, goals: list[Goal], starts: Starts
    ) -> dict[Goal, Counter[int]]:
        """How many of those who still wait came beyond the threshold within each window."""
        found: dict[Goal, Counter[int]] = defaultdict(Counter)
        of = {(goal.queue, goal.metric): goal for goal in goals}
        metrics = sorted({goal.metric for goal in goals} - {SPEED_OF_ANSWER})
        async for chunk in moment.waiting(workspace, metrics, "queue"):
            ours = [one for one in chunk if (one.key, one.metric) in of]
            wanted = [(one.conversation_id, one.id) for one in ours]
            elapsed = await self._runtime.query(workspace, partial(live.elapsed_us, wanted=wanted))
            for one, now in zip(ours, elapsed, strict=True):
                goal = of[one.key, one.metric]
                over = (now or 0) - span_us(goal.promise.threshold_s)
                found[goal].update(span for span in WINDOWS_S if 0 < over <= span * 1_000_000)
        if len(metrics) < len({goal.metric for goal in goals}):
            await _unanswered(moment, workspace, of, starts, found)
        return found

    async def _tell(self, workspace: str, tallies: Tallies) -> None:
        known = {one.key: one for one in await self._runtime.query(workspace, live.alarms)}
        fresh: dict[str, Alarm] = {}
        for goal, by_window in tallies.items():
            assert goal.promise.goal is not None
            burning = judge(goal.promise.goal, by_window)
            if burning is not None:
                alarm = _alarm(goal, burning)
                fresh[alarm.key] = alarm
        ended = [
            Alarm(one.queue, one.metric, one.severity, False)
            for key, one in known.items()
            if key not in fresh
        ]
        begun = [one for key, one in fresh.items() if key not in known]
        for alarm in (*ended, *begun):
            await self._runtime.submit(workspace, Input("lifecycle", ALARM, _JSON.encode(alarm)))


def _minute(at_us: int) -> int:
    """Whole minutes, so that windows of queues share their reads."""
    return at_us // 60_000_000


Key = tuple[str, str]


async def _ended(
    moment: Moment, workspace: str, goals: list[Goal], start_minute: int
) -> dict[Key, Sums]:
    """By queue and metric, up to the thresholds promised."""
    since, until = EPOCH + timedelta(minutes=start_minute), datetime.now(UTC)
    found: dict[Key, Sums] = {}
    for metric in sorted({goal.metric for goal in goals}):
        promised = {
            goal.queue: span_us(goal.promise.threshold_s) for goal in goals if goal.metric == metric
        }
        limits = Limits(promised, 0)
        found |= await moment.sums(workspace, [metric], "finished", "queue", since, until, limits)
    return found


async def _unanswered(
    moment: Moment,
    workspace: str,
    of: dict[Key, Goal],
    starts: Starts,
    found: dict[Goal, Counter[int]],
) -> None:
    """Adds the tasks without an agent yet: no clock is theirs, and they wait by the clock on the wall."""
    now = datetime.now(UTC)
    async for tasks in moment.unanswered(workspace, "queue"):
        for task in tasks:
            goal = of.get((task.key, SPEED_OF_ANSWER))
            if goal is None:
                continue
            late = task.since + timedelta(seconds=goal.promise.threshold_s)
            late_us = (late - EPOCH) // timedelta(microseconds=1)
            since = starts[goal.queue]
            if late < now:
                found[goal].update(span for span in WINDOWS_S if late_us >= since[span])


def _tally(goal: Goal, ended: dict[Key, Sums], waiting: int) -> Tally:
    """As the definition `live`: early abandons are nobody's fault, who waits beyond T is missed."""
    sums = ended.get((goal.queue, goal.metric), Sums())
    gave_up_late = sums.abandoned - sums.abandoned_within
    missed = sums.answered - sums.answered_within + gave_up_late
    return Tally(sums.answered + gave_up_late + waiting, missed + waiting)


def _alarm(goal: Goal, burning: Burning) -> Alarm:
    return Alarm(
        goal.queue,
        goal.metric,
        burning.severity,
        True,
        goal.promise.goal or 0,
        burning.threshold,
        burning.burn_long,
        burning.burn_short,
        burning.long_s,
        burning.short_s,
        burning.judged,
        burning.missed,
    )


class _Gauges:
    """What Prometheus is told of promises; what is no longer promised or owned is taken away."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("workspace", "queue", "metric")
        self._burn = Gauge(
            "omniroute_sla_burn_rate",
            "Share missed in a window of open hours, in units of what the goal allows",
            (*names, "window_s"),
            registry=registry,
        )
        self._firing = Gauge(
            "omniroute_sla_burn_alert",
            "1 while a promise burns too fast over a long and a short window",
            (*names, "severity"),
            registry=registry,
        )
        self._level = Gauge(
            "omniroute_sla_service_level",
            "Share within the threshold over the last open hour, those who wait beyond it counted",
            names,
            registry=registry,
        )
        self._goal = Gauge(
            "omniroute_sla_goal", "The share that a queue promises", names, registry=registry
        )
        self._shown: dict[str, set[tuple[Gauge, tuple[str, ...]]]] = {}

    def show(self, workspace: str, tallies: Tallies) -> None:
        shown: set[tuple[Gauge, tuple[str, ...]]] = set()

        def put(gauge: Gauge, labels: tuple[str, ...], value: float | None) -> None:
            if value is not None:
                gauge.labels(*labels).set(value)
                shown.add((gauge, labels))

        for goal, by_window in tallies.items():
            aim = goal.promise.goal or 0
            labels = (workspace, goal.queue, goal.metric)
            put(self._goal, labels, aim)
            hour = by_window[HOUR_S]
            put(self._level, labels, 1 - hour.missed / hour.judged if hour.judged else None)
            if aim < 1:
                for span, tally in by_window.items():
                    put(self._burn, (*labels, str(span)), burn(tally, aim))
            burning = judge(aim, by_window)
            for severity in SEVERITIES:
                fires = burning is not None and burning.severity == severity
                put(self._firing, (*labels, severity), float(fires))
        for gauge, labels in self._shown.get(workspace, set()) - shown:
            gauge.remove(*labels)
        self._shown[workspace] = shown

    def forget_all_but(self, owned: set[str]) -> None:
        for gone in self._shown.keys() - owned:
            for gauge, labels in self._shown.pop(gone):
                gauge.remove(*labels)
