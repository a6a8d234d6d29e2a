"""Which calendars are open now, and when that next changes. Windows come expanded from the shell."""

from bisect import bisect_right

from services.router.domain import shift_zones, timers
from services.router.domain.workspace import Workspace


def is_open(ws: Workspace, calendar: str | None) -> bool:
    return is_open_at(ws, calendar, ws.now)


def is_open_at(ws: Workspace, calendar: str | None, at_us: int) -> bool:
    """What has no calendar, or one that is gone, is open."""
    found = ws.resource("calendar", calendar) if calendar else None
    if found is None or not found.body:
        return True
    at = bisect_right(found.windows, (at_us, 2**62)) - 1
    return at >= 0 and at_us < found.windows[at][1]


def closed_queues(ws: Workspace, at_us: int) -> set[str]:
    return {name for name, queue in ws.queues.items() if not is_open_at(ws, queue.calendar, at_us)}


def arm(ws: Workspace, since_us: int) -> None:
    """One timer for the next instant after `since_us` at which any used calendar opens or closes."""
    names = {queue.calendar for queue in ws.queues.values() if queue.calendar}
    names.update(shift.calendar for team in ws.teams.values() for shift in team.shifts)
    if ws.has_shifts:
        names.update(name for name in ws.stored["calendar"] if shift_zones.MARK in name)
    edges = [
        edge
        for name in names
        if (found := ws.resource("calendar", name)) is not None
        for edge in _next_edges(found.windows, since_us)
    ]
    ws.edge_us = min(edges, default=None)
    ws.at_time(ws.edge_us, timers.CALENDAR, 0, "")


def _next_edges(windows: list[tuple[int, int]], now_us: int) -> list[int]:
    at = max(0, bisect_right(windows, (now_us, 2**62)) - 1)
    return [edge for window in windows[at : at + 2] for edge in window if edge > now_us]
