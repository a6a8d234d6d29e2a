"""Shifts by each agent's own clock: a calendar's hours in another time zone than its own.

Windows come from the shell, and so do those of a calendar in an agent's zone: as one more calendar, named
`calendar@zone` (no id has an @), of the version of the calendar it is made from. `wanted` says which are
missing or made from an older version; until they come the calendar's own zone holds.
"""

from typing import Any, NamedTuple

import msgspec

from services.router.domain.config import Shift
from services.router.domain.desk import Desk
from services.router.domain.state import Resource
from services.router.domain.workspace import Workspace

MARK = "@"
ZONES_MAX = 500  # calendars in other zones than their own, of one workspace


class Wanted(NamedTuple):
    """A calendar's hours in a zone: `body` is the calendar's, `version` what the answer must have."""

    id: str
    zone: str
    version: int
    body: bytes


class _Own(msgspec.Struct):
    """What of a calendar says whether its hours can be read on another clock."""

    timezone: str | None = None
    calendars: Any = None
    always_open: bool = False


_OWN = msgspec.json.Decoder(_Own)


def calendar_of(ws: Workspace, shift: Shift, desk: Desk | None) -> str:
    """The calendar by which an agent's part in a shift is judged."""
    zone = desk.config.timezone if desk is not None else None
    if zone is None or shift.zone != "agent":
        return shift.calendar
    zoned = shift.calendar + MARK + zone
    found = ws.resource("calendar", zoned)
    whole = ws.resource("calendar", shift.calendar)
    has_both = found is not None and whole is not None and whole.body
    return zoned if has_both and found and _differs(whole, zone) else shift.calendar


def wanted(ws: Workspace) -> list[Wanted]:
    """What the shell is to derive now, in order; looked for again only after agents, teams or
    calendars have changed."""
    if ws.zones_wanted is None:
        ws.zones_wanted = _look(ws)
    return ws.zones_wanted


def in_zone(body: dict[str, Any], zone: str) -> dict[str, Any]:
    """The calendar as it is written, on the clocks of another zone, in all its versions."""
    versions = [
        {name: value for name, value in version.items() if name != "timezone"}
        for version in body.get("versions") or ()
    ]
    own = {name: value for name, value in body.items() if name != "windows"}
    return {**own, "timezone": zone, **({"versions": versions} if versions else {})}


def _look(ws: Workspace) -> list[Wanted]:
    if not ws.has_shifts:
        return []
    calendars = sorted(
        {one.calendar for team in ws.teams.values() for one in team.shifts if one.zone == "agent"}
    )
    zones = sorted({desk.config.timezone for desk in ws.desks.values() if desk.config.timezone})
    found: list[Wanted] = []
    for name in calendars:
        whole = ws.resource("calendar", name)
        for zone in zones if whole is not None and whole.body else ():
            known = ws.resource("calendar", name + MARK + zone)
            fresh = known is not None and known.version >= whole.version  # type: ignore[union-attr]
            if not fresh and _differs(whole, zone):
                found.append(Wanted(name + MARK + zone, zone, whole.version, whole.body))  # type: ignore[union-attr]
    return found[:ZONES_MAX]


def _differs(whole: Resource | None, zone: str) -> bool:
    """Whether the calendar's hours are others there. One that is made of calendars has no clock of
    its own, and one that never closes has no need of any."""
    if whole is None:
        return False
    own = _OWN.decode(whole.body)
    return own.timezone != zone and own.calendars is None and not own.always_open
