"""Which calendars are open now, and when that next changes. Windows come expanded from the shell."""

from bisect import bisect_right

from services.router.domain import timers
from services.router.domain.workspace import Workspace


def is_open(ws: Workspace, calendar: str | None) -> bool:
    """What has no calendar, or one that is gone, is open."""
    found = ws.resource("calendar", calendar) if calendar else None
    if found is None or not found.body:
        return True
    at = bisect_right(found.windows, (ws.now, 2**62)) - 1
    return at >= 0 and ws.now < found.windows[at][1]


def arm(ws: Workspace) -> None:
    """One timer for the next instant at which any used calendar opens or closes."""
    names = {queue.calendar for queue in ws.queues.values() if queue.calendar}
    names.update(shift.calendar for team in ws.teams.values() for shift in team.shifts)
    edges = [
        edge
        for name in names
        if (found := ws.resource("calendar", name)) is not None
        for edge in _next_edges(found.windows, ws.now)
    ]
    if edges:
        ws.at_time(min(edges), timers.CALENDAR, 0, "")


def _next_edges(windows: list[tuple[int, int]], now_us: int) -> list[int]:
    at = max(0, bisect_right(windows, (now_us, 2**62)) - 1)
    return [edge for window in windows[at : at + 2] for edge in window if edge > now_us]
