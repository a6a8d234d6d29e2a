"""Surges: a queue to which much more comes than is usual for it.

Arrivals are counted in minutes. The usual rate is a running mean over about half an hour of minutes.
A surge begins as soon as a minute has more than `factor` times the usual and at least `min_per_min`;
it ends with the first whole minute below three quarters of that. Both are told as `queue.surge`, and
policies read it as `queues.<id>.surge`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from services.router.domain import timers
from services.router.domain.config import Queue
from services.router.domain.state import QueueFigures, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import SECOND_US

MINUTE_US = 60 * SECOND_US
USUAL_MINUTES = 30  # a minute counts one thirtieth of the usual rate
KNOWN_MINUTES = 5  # before so many minutes nothing is usual
IDLE_MINUTES_MAX = 600  # after a longer silence the usual rate has faded anyway
CALM = 0.75


def came(ws: Workspace, task: Task) -> None:
    """A task begins to wait."""
    if task.queues:
        arrived(ws, task.queues[0])


def arrived(ws: Workspace, name: str) -> None:
    """One more task came to this queue."""
    queue = ws.queues.get(name)
    if queue is None:
        return
    figures = _figures(ws, name)
    if figures.minute_us + MINUTE_US <= ws.now:
        _roll(ws, queue, figures)
    figures.arrivals += 1
    if not figures.surge and figures.minutes >= KNOWN_MINUTES and _much(queue, figures):
        figures.surge = True
        _tell(ws, figures, figures.arrivals)
        ws.at_time(figures.minute_us + MINUTE_US, timers.SURGE, 0, name)


def look_again(ws: Workspace, name: str, due_us: int) -> None:
    """A minute of a surge is over."""
    queue, figures = ws.queues.get(name), ws.figures.get(name)
    if queue is None or figures is None or not figures.surge:
        return
    if figures.minute_us + MINUTE_US == due_us:
        _roll(ws, queue, ws.edit("queue_figures", name, figures))
    if figures.surge:
        ws.at_time(figures.minute_us + MINUTE_US, timers.SURGE, 0, name)


def _figures(ws: Workspace, name: str) -> QueueFigures:
    known = ws.figures.get(name)
    if known is None:
        return ws.add("queue_figures", name, QueueFigures(id=name, minute_us=_minute(ws)))
    ws.edit("queue_figures", name, known)
    if not known.minute_us:  # known by its assignments alone: nothing has been counted yet
        known.minute_us = _minute(ws)
    return known


def _minute(ws: Workspace) -> int:
    return ws.now // MINUTE_US * MINUTE_US


def _roll(ws: Workspace, queue: Queue, figures: QueueFigures) -> None:
    """Close the minutes that are over: the first with its arrivals, the others without any."""
    passed = (_minute(ws) - figures.minute_us) // MINUTE_US
    if passed <= 0:
        return
    for number in range(min(passed, IDLE_MINUTES_MAX)):
        _close(ws, queue, figures, figures.arrivals if number == 0 else 0)
    figures.arrivals = 0
    figures.minute_us = _minute(ws)


def _close(ws: Workspace, queue: Queue, figures: QueueFigures, came: int) -> None:
    if figures.surge and came < CALM * _threshold(queue, figures):
        figures.surge = False
        _tell(ws, figures, came)
    figures.minutes = min(figures.minutes + 1, USUAL_MINUTES)
    figures.usual += (came - figures.usual) / figures.minutes


def _threshold(queue: Queue, figures: QueueFigures) -> float:
    return max(queue.surge.min_per_min, queue.surge.factor * figures.usual)


def _much(queue: Queue, figures: QueueFigures) -> bool:
    over = figures.arrivals > queue.surge.factor * figures.usual
    return over and figures.arrivals >= queue.surge.min_per_min


def _tell(ws: Workspace, figures: QueueFigures, came: int) -> None:
    ws.stirred[figures.id] = None
    ws.emit(
        routing.QueueSurge(
            *ws.head(),
            queue=figures.id,
            rate_per_min=float(came),
            usual_per_min=round(figures.usual, 2),
            surging=figures.surge,
        ),
        key=figures.id,
    )


class QueueFacts(Mapping[str, Any]):
    """`queues` as rules see it: of each queue `surge`, `waiting`, `open`. Worked out when asked."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def __getitem__(self, name: str) -> dict[str, Any]:
        ws = self._ws
        if name not in ws.queues:
            raise KeyError(name)
        figures = ws.figures.get(name)
        return {
            "surge": figures is not None and figures.surge,
            "waiting": ws.pending.get(name, 0),
            "open": name not in ws.closed_queues,
        }

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._ws.queues))

    def __len__(self) -> int:
        return len(self._ws.queues)
