"""The sums of all replications -> the report: scenario.yaml, «JSON out».

Counts are means per replication; ratios are sums over all replications divided by sums.
"""

from collections.abc import Callable, Sequence
from typing import Any

from services.router.simulate.scenario import Scenario
from services.router.simulate.statistics import NOTHING, Estimate, mean, ratio
from services.router.simulate.tally import (
    ABANDONED,
    ABANDONED_IN,
    ARRIVED,
    BLOCKED,
    FIXED_COLUMNS,
    OF_THRESHOLD,
    RETRIED,
    SERVED,
    SERVED_IN,
    SHORT,
    WAIT_SERVED_US,
    WAIT_US,
    WAITED,
    WAITING,
    WAITING_BEYOND,
    Row,
    Sums,
    cell_edges,
)
from shared.contracts.instants import SECOND_US
from shared.contracts.service_level import Counts, shares

Shown = dict[str, Any]
CLOCK_COUNTS = ("started", "met", "breached", "warned")
_COUNTS = {
    "arrived": ARRIVED,
    "served": SERVED,
    "abandoned": ABANDONED,
    "blocked": BLOCKED,
    "retried": RETRIED,
}


def report(scenario: Scenario, sums: list[Sums], wall_s: float) -> Shown:
    """Everything but what a picture shows. `sums`: of each replication."""
    whole = _Report(scenario, sums)
    classes = range(len(scenario.classes))
    contacts = sum(one.contacts for one in sums)
    return {
        "name": scenario.name,
        "classes": {scenario.classes[place].name: whole.of([place]) for place in classes},
        "groups": {group.name: whole.group(place) for place, group in enumerate(scenario.groups)},
        "total": whole.of(list(classes)),
        **whole.clocks(),
        "run": {
            "contacts": contacts,
            "inputs": sum(one.inputs for one in sums),
            "wall_s": wall_s,
            "cpu_s": sum(one.cpu_s for one in sums),
            "contacts_per_s": contacts / wall_s if wall_s else None,
            "replications": len(sums),
            "confidence": scenario.confidence,
            "seed": scenario.seed,
        },
    }


def spans(scenario: Scenario) -> list[tuple[int, int]]:
    """What of each period lies between the warm-up and the horizon; empty ones end where they begin."""
    found: list[tuple[int, int]] = []
    for period in range(len(scenario.ends_us)):
        start, end = scenario.span(period)
        low = max(start, scenario.warm_up_us)
        found.append((low, max(low, min(end, scenario.horizon_us))))
    return found


class _Report:
    def __init__(self, scenario: Scenario, sums: list[Sums]) -> None:
        self._scenario = scenario
        self._sums = sums
        self._spans = spans(scenario)
        self._edges = cell_edges(scenario)
        self._all = (scenario.warm_up_us, scenario.horizon_us)

    def clocks(self) -> Shown:
        """Of each metric how often clocks were told to have started, been met, been breached or warned,
        means per replication; nothing where no clocks ran."""
        metrics = sorted({metric for one in self._sums for metric in one.clocks})
        if not metrics:
            return {}
        shown = {
            metric: {
                told: self._mean(
                    [one.clocks.get(metric, {}).get(told, 0) for one in self._sums]
                ).shown()
                for told in CLOCK_COUNTS
            }
            for metric in metrics
        }
        return {"clocks": shown}

    # -- estimates

    def _mean(self, values: Sequence[float]) -> Estimate:
        return mean(values, self._scenario.confidence)

    def _ratio(self, above: Sequence[float], below: Sequence[float]) -> Estimate:
        return ratio(above, below, self._scenario.confidence)

    def _within(self, cells: Sequence[int], span: tuple[int, int]) -> int:
        """The part of a sum over cells that lies in a span; cells are never cut by it."""
        low, high = span
        return sum(
            value for start, value in zip(self._edges, cells, strict=True) if low <= start < high
        )

    # -- classes

    def of(self, classes: list[int]) -> Shown:
        """The figures of one class, or of several together, and the same by period."""
        periods = range(len(self._spans))
        shown = self._figures(classes, list(periods), self._all)
        shown["by_period"] = [
            self._figures(classes, [period], self._spans[period]) for period in periods
        ]
        return shown

    def _figures(self, classes: list[int], periods: list[int], span: tuple[int, int]) -> Shown:
        rows = [
            [sum(column) for column in zip(*_rows(one, classes, periods), strict=True)]
            for one in self._sums
        ]

        def column(number: int) -> list[int]:
            return [row[number] for row in rows]

        admitted = [row[ARRIVED] - row[BLOCKED] for row in rows]
        no_wait = [
            all_of_them - row[WAITED] for all_of_them, row in zip(admitted, rows, strict=True)
        ]
        shown: Shown = {
            name: self._mean(column(number)).shown() for name, number in _COUNTS.items()
        }
        shown["p_wait"] = self._ratio(column(WAITED), admitted).shown()
        shown["p_no_wait"] = self._ratio(no_wait, admitted).shown()
        shown["wait_s"] = self._ratio(_s(column(WAIT_US)), admitted).shown()
        shown["wait_served_s"] = self._ratio(_s(column(WAIT_SERVED_US)), column(SERVED)).shown()
        shown["within"] = {
            _plain(limit): self._threshold(rows, FIXED_COLUMNS + OF_THRESHOLD * place)
            for place, limit in enumerate(self._scenario.within_us)
        }
        shown["queue_length"] = self._queue_length(classes, span).shown()
        return shown

    def _threshold(self, rows: list[Row], at: int) -> Shown:
        levels = [shares(_counts(row, at)) for row in rows]
        return {
            "served": self._mean([row[at + SERVED_IN] for row in rows]).shown(),
            "abandoned_within": self._mean([row[at + ABANDONED_IN] for row in rows]).shown(),
            "service_level": {
                name: self._ratio(
                    [one[name][0] for one in levels], [one[name][1] for one in levels]
                ).shown()
                for name in levels[0]
            },
        }

    def _queue_length(self, classes: list[int], span: tuple[int, int]) -> Estimate:
        length = span[1] - span[0]
        if length <= 0:
            return NOTHING
        return self._mean(
            [
                sum(self._within(one.queue[place], span) for place in classes) / length
                for one in self._sums
            ]
        )

    # -- groups

    def group(self, place: int) -> Shown:
        def of(read: Callable[[Sums], float]) -> list[float]:
            return [read(one) for one in self._sums]

        def by_class(table: Callable[[Sums], list[list[int]]]) -> Shown:
            counts = [table(one)[place] for one in self._sums]
            return {
                each.name: self._mean([row[number] for row in counts]).shown()
                for number, each in enumerate(self._scenario.classes)
            }

        busy = of(lambda one: self._within(one.busy[place], self._all))
        staffed = of(lambda one: self._within(one.staffed[place], self._all))
        return {
            "occupancy": self._ratio(busy, staffed).shown(),
            "busy_s": self._mean(_s(of(lambda one: one.busy_us[place]))).shown(),
            "staffed_s": self._mean(_s(of(lambda one: one.staffed_us[place]))).shown(),
            "served_by_class": by_class(lambda one: one.served),
            "served_at_once_by_class": by_class(lambda one: one.at_once),
        }


def _rows(one: Sums, classes: list[int], periods: list[int]) -> list[Row]:
    return [one.rows[place][period] for place in classes for period in periods]


def _counts(row: Row, at: int) -> Counts:
    return Counts(
        offered=row[SERVED] + row[ABANDONED] + row[WAITING],
        answered=row[SERVED],
        answered_within=row[at + SERVED_IN],
        abandoned=row[ABANDONED],
        abandoned_within=row[at + ABANDONED_IN],
        abandoned_short=row[SHORT],
        waiting=row[WAITING],
        waiting_beyond=row[at + WAITING_BEYOND],
    )


def _s(values: Sequence[float]) -> list[float]:
    return [value / SECOND_US for value in values]


def _plain(span_us: int) -> str:
    """20 for 20 s, 0.5 for half a second: the key as people wrote it."""
    return f"{span_us / SECOND_US:.6f}".rstrip("0").rstrip(".")
