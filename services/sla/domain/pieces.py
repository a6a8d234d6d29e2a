"""A span of time in whole days, hours and minutes, as the roll-up keeps them, and ragged ends.

Disjoint pieces that cover [since, until) exactly: the coarsest the roll-up has, finer ones at the ends,
and step 0 for what is no whole minute (or is a minute no longer kept), which is counted one by one.
"""

from typing import NamedTuple

MINUTE_US = 60_000_000
STEPS: tuple[int, ...] = (1440, 60, 1)  # minutes


class Piece(NamedTuple):
    """[since, until) to be read at a step in minutes; 0: one by one."""

    step: int
    since_us: int
    until_us: int


def pieces(
    since_us: int, until_us: int, minutes_since_us: int, coarsest: int = STEPS[0]
) -> list[Piece]:
    """In time's order. Minutes are used from `minutes_since_us` on, no step above `coarsest`."""
    steps = tuple(step for step in STEPS if step <= coarsest)
    return [
        piece
        for piece in _cut(since_us, until_us, steps, minutes_since_us)
        if piece.since_us < piece.until_us
    ]


def _cut(since: int, until: int, steps: tuple[int, ...], minutes_since: int) -> list[Piece]:
    if since >= until:
        return []
    if not steps:
        return [Piece(0, since, until)]
    step, finer = steps[0], steps[1:]
    first = max(since, minutes_since) if step == 1 else since
    width = step * MINUTE_US
    begin = -(-first // width) * width
    end = until // width * width
    if begin >= end:
        return _cut(since, until, finer, minutes_since)
    return [
        *_cut(since, begin, finer, minutes_since),
        Piece(step, begin, end),
        *_cut(end, until, finer, minutes_since),
    ]
