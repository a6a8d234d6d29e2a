"""What figures are read as from PostgreSQL: groups, steps of series, and who still waits."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from services.sla.domain.ended import Sums


class Group(NamedTuple):
    """Which figures these are. `slot`: number of the step in a series of time, else 0."""

    slot: int
    metric: str
    key: str


class Limits(NamedTuple):
    """Up to which time something counts as within, in microseconds: of some groups, and of others."""

    of: Mapping[str, int]
    other: int


class Line(msgspec.Struct, gc=False):
    """One step of one group in a series of time; percentiles (`SHARES`) and maximum in microseconds,
    None where nobody was answered."""

    slot: int
    key: str
    sums: Sums
    quantiles_us: tuple[int | None, ...]
    max_us: int | None


class TooMany(Exception):
    """An answer would have more rows than are allowed."""


class Waiting(NamedTuple):
    """An open clock, as it was when it last changed."""

    key: str
    metric: str
    id: str
    conversation_id: str
    queue: str | None
    state: str
    elapsed_s: float
    target_s: float
    due_at: datetime | None
    breached_at: datetime | None


class Unanswered(NamedTuple):
    """A task without an agent yet, since it began to wait."""

    key: str
    since: datetime
