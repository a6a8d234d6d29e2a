"""Spans of time cut into what the roll-up keeps of them, as the statements of the figures are given them."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from services.sla.domain.pieces import STEPS, Piece, pieces

MINUTES_READ = timedelta(hours=48)  # an hour less than they are kept (`rollup`)
HOUR = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cut_up(since: datetime, until: datetime, coarsest: int = STEPS[0]) -> list[Piece]:
    """[since, until) in pieces that the roll-up has now, none wider than `coarsest` minutes."""
    minutes_since = us(datetime.now(UTC) - MINUTES_READ)
    return pieces(us(since), us(until), minutes_since, coarsest)


def widest(minutes: int) -> int:
    """The widest step of the roll-up that divides a step of a series."""
    return next(step for step in STEPS if minutes % step == 0)


def local_days(since: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """The beginnings of the days of a zone that touch [since, until), and the last one's end. A day begins
    where its midnight is, or as the clock goes on where that is left out."""
    day = since.astimezone(zone).date()
    edges: list[datetime] = []
    while not edges or edges[-1] < until:
        begin = datetime.combine(day, time(), zone).astimezone(UTC)
        if not edges or begin > edges[-1]:  # a day that is left out has no place
            edges.append(begin)
        day += timedelta(days=1)
    return edges


def cut_days(since: datetime, until: datetime, edges: Sequence[datetime]) -> list[Piece]:
    """[since, until) in pieces of which none reaches over an edge: by hours, and what is no whole hour (in
    zones of half hours) by minutes or one by one."""
    return [
        piece
        for begin, end in pairwise(edges)
        for piece in cut_up(max(begin, since), min(end, until), HOUR)
    ]


def settled(
    cut: Sequence[Piece], unsettled: set[int], width_us: int
) -> tuple[list[Piece], list[Piece]]:
    """Pieces of whole steps without those numbered in `unsettled`, and these."""
    left: list[Piece] = []
    taken: list[Piece] = []
    for step, since, until in cut:
        for number in sorted(unsettled):
            begin = number * width_us
            if since <= begin < until:
                left.append(Piece(step, since, begin))
                taken.append(Piece(step, begin, begin + width_us))
                since = begin + width_us
        left.append(Piece(step, since, until))
    return [one for one in left if one.since_us < one.until_us], taken


def us(at: datetime) -> int:
    """Microseconds since the epoch."""
    return (at - EPOCH) // timedelta(microseconds=1)


def bounds(name: str, cut: Sequence[Piece]) -> dict[str, list[datetime]]:
    """The pieces' beginnings and ends as the parameters of a statement."""
    return {
        f"{name}_since": [EPOCH + timedelta(microseconds=one.since_us) for one in cut],
        f"{name}_until": [EPOCH + timedelta(microseconds=one.until_us) for one in cut],
    }
