"""Burn rate of a promise: how fast it uses up what it may miss, over a long and a short window.

burn = share missed / (1 - goal). The pairs of windows and their rates are those of the Google SRE
workbook («alerting on SLOs»), with one change: a goal of 80 % cannot burn faster than 5, so a fixed rate
of 14.4 could never fire. Each rate is therefore at most a share of the fastest burn that the goal allows,
and never below 1, which is the pace that just uses everything up. Windows are counted in open hours.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from shared.contracts.windows import DAY_US, Windows

Severity = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = ("page", "ticket")
S_US = 1_000_000
_EXACT = 1e-9  # what rounding may add to a share that is exactly allowed
LOOK_BACK_DAYS = 30  # open hours of a window are sought at most so far back


class Rule(msgspec.Struct, frozen=True):
    """Fires when both windows burn faster than the rate and hold enough to judge by."""

    severity: Severity
    long_s: int
    short_s: int
    rate: float
    of_fastest: float
    long_least: int = 10
    short_least: int = 3


RULES: tuple[Rule, ...] = (
    Rule("page", 3_600, 300, 14.4, 0.9),
    Rule("page", 21_600, 1_800, 6.0, 0.6),
    Rule("ticket", 259_200, 21_600, 1.0, 1.0),
)
WINDOWS_S: tuple[int, ...] = tuple(
    sorted({s for rule in RULES for s in (rule.long_s, rule.short_s)})
)


class Tally(msgspec.Struct, frozen=True):
    """What was decided in a window: all of it, and what was missed."""

    judged: int = 0
    missed: int = 0


class Burning(msgspec.Struct, frozen=True):
    """The rule that fires, with what it saw."""

    severity: Severity
    long_s: int
    short_s: int
    threshold: float
    burn_long: float
    burn_short: float
    judged: int
    missed: int


def threshold(rule: Rule, goal: float) -> float | None:
    """The rate at which a rule fires for a goal; None for a goal that cannot be missed that fast."""
    if not 0 < goal < 1:
        return None
    fastest = 1 / (1 - goal)
    rate = max(1.0, min(rule.rate, rule.of_fastest * fastest))
    return rate if rate < fastest else None


def burn(tally: Tally, goal: float) -> float | None:
    """None where nothing was decided."""
    return tally.missed / tally.judged / (1 - goal) if tally.judged else None


def judge(goal: float, tallies: dict[int, Tally]) -> Burning | None:
    """The gravest rule that fires. `tallies`: by length of window, of all `WINDOWS_S`."""
    for rule in RULES:
        rate = threshold(rule, goal)
        long, short = tallies[rule.long_s], tallies[rule.short_s]
        if rate is None or long.judged < rule.long_least or short.judged < rule.short_least:
            continue
        fast, slow = burn(short, goal), burn(long, goal)
        if fast is not None and slow is not None and min(fast, slow) > rate + _EXACT:
            return Burning(
                rule.severity, rule.long_s, rule.short_s, rate, slow, fast, long.judged, long.missed
            )
    return None


def window_start(windows: Windows | None, now_us: int, open_s: int) -> int:
    """Since when `open_s` seconds of open hours have passed; by the wall clock without a calendar.
    Where the last 30 days had fewer, their first opening."""
    left = open_s * S_US
    if windows is None:
        return now_us - left
    segments: Sequence[tuple[int, int]] = windows.segments(now_us - LOOK_BACK_DAYS * DAY_US, now_us)
    for opens, closes in reversed(segments):
        if closes - opens >= left:
            return closes - left
        left -= closes - opens
    return segments[0][0] if segments else now_us - open_s * S_US
