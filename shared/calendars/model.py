"""A calendar as people write it, checked: the form that expansion works on."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from shared.calendars.feed import Feed

Combine = Literal["union", "intersection"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 86_400
NAMED_FIRST, NAMED_LAST = 1900, 2199  # years of dates and instants that people may name

# (opens, closes) in seconds of local wall time from the day's midnight; overnight closes > DAY_S.
Span = tuple[int, int]
Week = tuple[tuple[Span, ...], ...]

NO_HOURS: Week = ((),) * 7
ALL_HOURS: Week = (((0, DAY_S),),) * 7


@dataclass(frozen=True)
class Rules:
    """What holds from `since` (a local date, inclusive) until the next version."""

    since: date
    timezone: str
    week: Week = NO_HOURS
    always_open: bool = False
    dated: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    country: str | None = None
    subdivision: str | None = None
    overrides: dict[date, tuple[Span, ...]] = field(default_factory=dict[date, tuple[Span, ...]])
    feeds: tuple[Feed, ...] = ()


@dataclass(frozen=True)
class Calendar:
    """`versions` in order of `since`; the first holds from the beginning of time. One that is made
    of others has `parts` and how they `combine`; its own version then only states its zone."""

    id: str | None
    versions: tuple[Rules, ...]
    parts: tuple["Calendar", ...] = ()
    combine: Combine = "union"

    @property
    def timezone(self) -> str:
        return self.versions[0].timezone

    def rules_on(self, day: date) -> Rules:
        """The version in force on a local date."""
        found = self.versions[0]
        for rules in self.versions[1:]:
            if rules.since > day:
                break
            found = rules
        return found

    def dates(self) -> list[date]:
        """Every single date that the calendar names, sorted."""
        named = {rules.since for rules in self.versions[1:]}
        for rules in self.versions:
            named |= rules.dated | rules.overrides.keys()
            named.update(*(feed.dates() for feed in rules.feeds))
        named.update(*(part.dates() for part in self.parts))
        return sorted(named)

    @property
    def recurring(self) -> bool:
        """Whether days close every year, so that weeks differ for ever."""
        return any(part.recurring for part in self.parts) or any(
            rules.yearly or rules.country or any(feed.recurring for feed in rules.feeds)
            for rules in self.versions
        )

    def unread(self) -> list[str]:
        """The feeds of which only the address is known."""
        own = [feed.name for rules in self.versions for feed in rules.feeds if feed.unread]
        return own + [name for part in self.parts for name in part.unread()]

    def leaves(self) -> list["Calendar"]:
        """The calendars with hours of their own that it is made of, in order."""
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]
