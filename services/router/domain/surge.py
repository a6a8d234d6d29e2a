"""Surges: a queue to which much more comes than is usual for it.

Arrivals are counted in minutes. Usual is the larger of two rates: of late, a running mean over about half
an hour of minutes, and of the hour in other weeks (week.py), so that no morning is a surge. A surge begins as
soon as a minute has more than `factor` times the usual and at least `min_per_min`; it ends with the first
whole minute below three quarters of that. While it lasts the mean of late learns sixteen times more slowly:
an outage of two hours does not become usual, what stays for a working day does. Until other days are known
it learns as fast as ever. Both are told as `queue.surge`, and policies read it as `queues.<id>.surge`.
"""

from services.router.domain import timers, week
from services.router.domain.config import Queue
from services.router.domain.state import QueueFigures
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import SECOND_US

MINUTE_US = 60 * SECOND_US
USUAL_MINUTES = 30  # a minute counts one thirtieth of the usual rate
SURGE_MINUTES = 16 * USUAL_MINUTES
KNOWN_MINUTES = 5  # before so many minutes nothing is usual
IDLE_MINUTES_MAX = 600  # after a longer silence the usual rate has faded anyway
CALM = 0.75


def arrived(ws: Workspace, name: str) -> None:
    """One more task came to this queue."""
    queue = ws.queues.get(name)
    if queue is None:
        return
    figures = _figures(ws, name)
    if figures.minute_us + MINUTE_US <= ws.now:
        _roll(ws, queue, figures)
    figures.arrivals += 1
    if not figures.surge and figures.minutes >= KNOWN_MINUTES and _much(ws, queue, figures):
        figures.surge = True
        _tell(ws, figures, figures.arrivals, ws.now)
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
        at_us = figures.minute_us + number * MINUTE_US
        _close(ws, queue, figures, figures.arrivals if number == 0 else 0, at_us)
    _learn_hours(ws, queue, figures)
    figures.arrivals = 0
    figures.minute_us = _minute(ws)


def _close(ws: Workspace, queue: Queue, figures: QueueFigures, came: int, at_us: int) -> None:
    """A minute that began at `at_us` is over."""
    if figures.surge and came < CALM * _threshold(ws, queue, figures, at_us):
        figures.surge = False
        _tell(ws, figures, came, at_us)
    figures.minutes = min(figures.minutes + 1, USUAL_MINUTES)
    slow = figures.surge and week.usual(ws, figures.id, at_us) is not None
    figures.usual += (came - figures.usual) / (SURGE_MINUTES if slow else figures.minutes)


def _learn_hours(ws: Workspace, queue: Queue, figures: QueueFigures) -> None:
    """The minute from `minute_us` is over, and with it perhaps its hour, and hours in which nothing came."""
    if not figures.hour_us:
        figures.hour_us = figures.minute_us
    figures.hour_arrivals += figures.arrivals
    now_us = _minute(ws)
    end_us = week.end_of_hour(figures.hour_us)
    if now_us < end_us:
        return
    counted_us = end_us - figures.hour_us
    if counted_us >= week.HOUR_US // 2:
        known = week.known(ws, figures.id, figures.hour_us)
        rate = figures.hour_arrivals * MINUTE_US / counted_us
        if known is not None:  # a surge counts as the largest rate that is none
            rate = min(rate, max(queue.surge.min_per_min, queue.surge.factor * known))
        week.learn(ws, figures.id, figures.hour_us, rate)
    week.learn_silence(ws, figures.id, end_us, now_us)
    figures.hour_us, figures.hour_arrivals = now_us // week.HOUR_US * week.HOUR_US, 0


def _usual(ws: Workspace, figures: QueueFigures, at_us: int) -> float:
    return max(figures.usual, week.usual(ws, figures.id, at_us) or 0.0)


def _threshold(ws: Workspace, queue: Queue, figures: QueueFigures, at_us: int) -> float:
    return max(queue.surge.min_per_min, queue.surge.factor * _usual(ws, figures, at_us))


def _much(ws: Workspace, queue: Queue, figures: QueueFigures) -> bool:
    came, rules = figures.arrivals, queue.surge
    if came < rules.min_per_min or came <= rules.factor * figures.usual:
        return False
    return came > rules.factor * _usual(ws, figures, ws.now)


def _tell(ws: Workspace, figures: QueueFigures, came: int, at_us: int) -> None:
    (ws.surging.add if figures.surge else ws.surging.discard)(figures.id)
    ws.stirred[figures.id] = None
    ws.emit(
        routing.QueueSurge(
            *ws.head(),
            queue=figures.id,
            rate_per_min=float(came),
            usual_per_min=round(_usual(ws, figures, at_us), 2),
            surging=figures.surge,
        ),
        key=figures.id,
    )
