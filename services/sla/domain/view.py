"""Clocks as they are shown: the shape of API.md, with the ledger that explains every second."""

from collections.abc import Mapping
from typing import Literal

from services.sla.domain.clock import Clock, Hands, Span
from services.sla.domain.shapes import ClockView, LedgerEntry
from shared.contracts.instants import format_instant, optional_instant
from shared.contracts.windows import Windows

Kind = Literal["counted", "closed", "holiday", "paused"]
Entry = tuple[int, int, Kind, str]  # from, to, kind, because


def plain_seconds(span_us: int) -> int | float:
    """Microseconds as seconds, whole ones without a fraction."""
    whole, rest = divmod(span_us, 1_000_000)
    return span_us / 1_000_000 if rest else whole


def clock_view(clock: Clock, hands: Hands, now_us: int) -> ClockView:
    """A clock without its ledger."""
    elapsed = hands.elapsed(clock, now_us)
    breached = hands.breach(clock, now_us)
    return {
        "metric": clock.metric,
        "cycle": clock.cycle,
        "state": clock.state,
        "started_at": format_instant(clock.started_us),
        "target_s": plain_seconds(clock.target_us),
        "due_at": optional_instant(clock.due_us),
        "satisfied_at": optional_instant(clock.satisfied_us),
        "breached_at": optional_instant(breached),
        "ended_at": optional_instant(clock.ended_us),
        "elapsed_s": plain_seconds(elapsed),
        "remaining_s": plain_seconds(clock.target_us - elapsed),
        "policy": {"id": clock.policy_id, "version": clock.policy_version},
        "calendar": clock.calendar,
    }


def ledger(
    clock: Clock, hands: Hands, now_us: int, former: Mapping[str, Hands]
) -> list[LedgerEntry]:
    """What every second between the clock's start and its end (or now) was: disjoint entries that
    cover it, in order. `former`: the hands from before each change of policies, by its key."""
    end = clock.ended_us if clock.ended_us is not None else now_us
    entries: list[Entry] = []
    for span in clock.spans:
        for entry in _span_entries(span, _hours(clock, span, hands, former), end):
            _append(entries, entry)
    return [
        {
            "from": format_instant(start),
            "to": format_instant(until),
            "kind": kind,
            "seconds": plain_seconds(until - start),
            "because": because,
        }
        for start, until, kind, because in entries
    ]


def _hours(clock: Clock, span: Span, hands: Hands, former: Mapping[str, Hands]) -> Windows:
    """The hours that a span counted on; those of now where the change lies so far back that nothing is
    kept of it."""
    if span.to_us is not None:
        for until_us, key in clock.earlier:
            if span.to_us <= until_us:
                hands = former.get(key, hands)
                break
    return hands.of(span.calendar)


def _span_entries(span: Span, windows: Windows, end_us: int) -> list[Entry]:
    until = end_us if span.to_us is None else min(span.to_us, end_us)
    entries: list[Entry] = []
    at = span.from_us
    for opens, closes in windows.segments(span.from_us, until):
        entries += _closed(span, windows, at, opens)
        if span.runs:
            entries.append((opens, closes, "counted", f"{span.calendar} is open"))
        else:
            entries.append((opens, closes, "paused", span.because))
        at = closes
    return entries + _closed(span, windows, at, until)


def _closed(span: Span, windows: Windows, start_us: int, end_us: int) -> list[Entry]:
    """Time outside the open hours, holidays apart."""
    if start_us >= end_us:
        return []
    entries: list[Entry] = []
    at, because = start_us, f"{span.calendar} is closed"
    for begins, ends, name in windows.closures(start_us, end_us):
        if at < begins:
            entries.append((at, begins, "closed", because))
        entries.append((begins, ends, "holiday", name))
        at = ends
    if at < end_us:
        entries.append((at, end_us, "closed", because))
    return entries


def _append(entries: list[Entry], entry: Entry) -> None:
    if entries and entries[-1][1] == entry[0] and entries[-1][2:] == entry[2:]:
        entries[-1] = (entries[-1][0], *entry[1:])
    else:
        entries.append(entry)
