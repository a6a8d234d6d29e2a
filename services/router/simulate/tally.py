"""What one replication adds up: counts by class and period, and integrals over time."""

from bisect import bisect_right
from typing import Protocol

import msgspec

from services.router.simulate.scenario import Scenario
from shared.contracts.instants import SECOND_US
from shared.contracts.service_level import SHORT_ABANDON_S

# Columns of a row; three more follow for each threshold: served, abandoned and waiting of those.
ARRIVED, SERVED, ABANDONED, BLOCKED, RETRIED, WAITED, WAIT_US, WAIT_SERVED_US, SHORT, WAITING = (
    range(10)
)
FIXED_COLUMNS = 10
SERVED_IN, ABANDONED_IN, WAITING_BEYOND = range(3)
OF_THRESHOLD = 3

CELLS_MAX = 96
_CELL_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_SHORT_US = round(SHORT_ABANDON_S * SECOND_US)

Row = list[int]


class Sums(msgspec.Struct):
    """The figures of one replication, all whole: counts, and spans in microseconds.

    rows      [class][period][column]: contacts that arrived in [warm-up, horizon), by their arrival
    queue     [class][cell]: how long contacts waited together within the cell
    admitted  [class][cell], waits [class][cell]: number and waits of the cell's arrivals
    busy      [group][cell], staffed [group][cell]: time of all its agents within the cell
    busy_us, staffed_us   [group]: the same from the warm-up's end up to the last departure
    served, at_once       [group][class]: counts
    clocks    of each metric how often each thing was told, where clocks ran beside
    """

    rows: list[list[Row]]
    queue: list[list[int]]
    admitted: list[list[int]]
    waits: list[list[int]]
    busy: list[list[int]]
    staffed: list[list[int]]
    busy_us: list[int]
    staffed_us: list[int]
    served: list[list[int]]
    at_once: list[list[int]]
    contacts: int = 0
    inputs: int = 0
    clocks: dict[str, dict[str, int]] = {}
    cpu_s: float = 0.0


class Try(Protocol):
    """What is counted of a contact: one try of it."""

    kind: int
    period: int
    arrived_us: int
    counted: bool


def cell_edges(scenario: Scenario) -> list[int]:
    """Cells of time from 0 to the horizon that no period and no warm-up cuts."""
    horizon = scenario.horizon_us
    widths = (width * SECOND_US for width in _CELL_WIDTHS_S)
    width = next((one for one in widths if one * CELLS_MAX >= horizon), horizon // CELLS_MAX)
    edges = {*range(0, horizon, width), scenario.warm_up_us, horizon}
    edges.update(at for at in scenario.starts_us() if at < horizon)
    return sorted(edges)


def zeros(*shape: int) -> list[list[int]]:
    rows, columns = shape
    return [[0] * columns for _ in range(rows)]


class Tally:
    """Adds up while the simulation runs. All instants are microseconds from the start."""

    def __init__(self, scenario: Scenario) -> None:
        self._warm_up_us, self._horizon_us = scenario.warm_up_us, scenario.horizon_us
        self._within = scenario.within_us
        self._edges = cell_edges(scenario)
        classes, groups, cells = len(scenario.classes), len(scenario.groups), len(self._edges)
        width = FIXED_COLUMNS + OF_THRESHOLD * len(self._within)
        # A cell more than there are before the horizon takes what comes after it.
        self.sums = Sums(
            rows=[zeros(len(scenario.ends_us), width) for _ in range(classes)],
            queue=zeros(classes, cells),
            admitted=zeros(classes, cells),
            waits=zeros(classes, cells),
            busy=zeros(groups, cells),
            staffed=zeros(groups, cells),
            busy_us=[0] * groups,
            staffed_us=[0] * groups,
            served=zeros(groups, classes),
            at_once=zeros(groups, classes),
        )
        self._presences: list[tuple[int, int, int]] = []

    # -- contacts

    def counts(self, at_us: int) -> bool:
        """Whether an arrival of this instant shows in the figures."""
        return self._warm_up_us <= at_us < self._horizon_us

    def arrived(self, one: Try, again: bool) -> None:
        self.sums.contacts += 1
        if one.counted:
            row = self.sums.rows[one.kind][one.period]
            row[ARRIVED] += 1
            row[RETRIED] += again

    def blocked(self, one: Try) -> None:
        if one.counted:
            self.sums.rows[one.kind][one.period][BLOCKED] += 1

    def served(self, one: Try, now_us: int, group: int) -> None:
        wait = now_us - one.arrived_us
        if one.counted:
            row = self.sums.rows[one.kind][one.period]
            row[SERVED] += 1
            row[WAIT_SERVED_US] += wait
            self.sums.served[group][one.kind] += 1
            self.sums.at_once[group][one.kind] += not wait
            self._count_within(row, wait, SERVED_IN)
        self._waited(one, wait, now_us)

    def abandoned(self, one: Try, now_us: int) -> None:
        wait = now_us - one.arrived_us
        if one.counted:
            row = self.sums.rows[one.kind][one.period]
            row[ABANDONED] += 1
            row[SHORT] += wait <= _SHORT_US
            self._count_within(row, wait, ABANDONED_IN)
        self._waited(one, wait, now_us)

    def still_waiting(self, one: Try, now_us: int) -> None:
        """At the end: it counts with what it has waited so far."""
        wait = now_us - one.arrived_us
        if one.counted:
            row = self.sums.rows[one.kind][one.period]
            row[WAITING] += 1
            for place, limit in enumerate(self._within):
                row[FIXED_COLUMNS + OF_THRESHOLD * place + WAITING_BEYOND] += wait > limit
        self._waited(one, wait, now_us)

    def _count_within(self, row: Row, wait: int, column: int) -> None:
        at = FIXED_COLUMNS + column
        for limit in self._within:
            if wait <= limit:
                row[at] += 1
            at += OF_THRESHOLD

    def _waited(self, one: Try, wait: int, now_us: int) -> None:
        if one.counted:
            row = self.sums.rows[one.kind][one.period]
            row[WAITED] += wait > 0
            row[WAIT_US] += wait
        if one.arrived_us < self._horizon_us:
            cell = bisect_right(self._edges, one.arrived_us) - 1
            self.sums.admitted[one.kind][cell] += 1
            self.sums.waits[one.kind][cell] += wait
        if wait:
            self._spread(self.sums.queue[one.kind], one.arrived_us, now_us)

    # -- agents

    def worked(self, group: int, since_us: int, until_us: int) -> None:
        """An agent had work from one instant to another."""
        self._spread(self.sums.busy[group], since_us, until_us)
        self.sums.busy_us[group] += max(0, until_us - max(since_us, self._warm_up_us))

    def present(self, group: int, since_us: int, until_us: int) -> None:
        """An agent was on duty, or had left and still worked."""
        self._spread(self.sums.staffed[group], since_us, until_us)
        self._presences.append((group, since_us, until_us))

    def close(self, last_us: int) -> Sums:
        """The last contact left, and the last work ended, at `last_us`."""
        for group, since, until in self._presences:
            span = min(until, last_us) - max(since, self._warm_up_us)
            self.sums.staffed_us[group] += max(0, span)
        self._presences.clear()
        return self.sums

    def _spread(self, cells: list[int], start: int, end: int) -> None:
        """Add the span from start to end to the cells that it touches."""
        edges = self._edges
        cell = bisect_right(edges, start) - 1
        last = len(edges) - 1
        while cell < last and end > edges[cell + 1]:
            cells[cell] += edges[cell + 1] - start
            cell += 1
            start = edges[cell]
        cells[cell] += end - start
