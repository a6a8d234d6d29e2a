"""Figures out of histograms and counts: what a row of an answer says. Nothing is said of nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.sla.domain import shapes
from services.sla.domain.ended import NOTHING, SHORT_ABANDON_US, Ended
from services.sla.domain.histogram import S_US, Histogram, seconds
from services.sla.domain.measures import HANDLE_TIME, SPEED_OF_ANSWER
from services.sla.domain.service_level import share

SHARES = (("p50_s", 0.5), ("p90_s", 0.9), ("p95_s", 0.95))
RESPONSES = ("first_response", "next_response", "time_to_assign", "first_resolution", "resolution")
PREDICT_LEAST = 20  # ended clocks of the kind, below which nothing is predicted


def spread(histogram: Histogram) -> shapes.Spread:
    """How long something took: n, mean (exact), percentiles and maximum (at most 2.5 % too high)."""
    quantiles = histogram.quantiles_us(part for _, part in SHARES)
    return shown_spread(histogram.n, histogram.sum_us, quantiles, histogram.max_us())


def shown_spread(
    n: int, sum_us: int, quantiles_us: Iterable[int | None], max_us: int | None
) -> shapes.Spread:
    p50, p90, p95 = quantiles_us
    return {
        "n": n,
        "mean_s": sum_us / n / S_US if n else None,
        "p50_s": seconds(p50),
        "p90_s": seconds(p90),
        "p95_s": seconds(p95),
        "max_s": seconds(max_us),
    }


def abandonment(answers: Histogram, abandons: Histogram) -> shapes.Abandonment:
    """Abandoned of all that were answered or abandoned; short abandons are taken off both sides in
    the second rate."""
    short = abandons.at_most(SHORT_ABANDON_US)
    offered = answers.n + abandons.n
    return {
        "offered": offered,
        "abandoned": abandons.n,
        "abandoned_short": short,
        "rate": share(abandons.n, offered),
        "rate_without_short": share(abandons.n - short, offered - short),
    }


def occupancy(desks: Iterable[Mapping[str, Any]]) -> shapes.Occupancy:
    """Shares of agents' time. `occupancy` = busy / (busy + idle); `weighted` = units of capacity in
    use x time / units x time present; `concurrency`: tasks in hand while busy, on average."""
    names = ("present_s", "busy_s", "idle_s", "task_s", "unit_s", "capacity_s")
    total = dict.fromkeys(names, 0.0)
    for desk in desks:
        for name in names:
            total[name] += desk[name] or 0.0
    worked = total["busy_s"] + total["idle_s"]
    return {
        "present_s": total["present_s"],
        "busy_s": total["busy_s"],
        "idle_s": total["idle_s"],
        "occupancy": total["busy_s"] / worked if worked else None,
        "weighted": total["unit_s"] / total["capacity_s"] if total["capacity_s"] else None,
        "concurrency": total["task_s"] / total["busy_s"] if total["busy_s"] else None,
    }


def contacts(row: Mapping[str, Any] | None) -> shapes.Contacts:
    """First-contact resolution, reopening and repeat contacts of the tasks completed. `provisional`:
    of the resolved at first contact, those whose time for a repeat is not over yet."""
    n = 0 if row is None else row["completed"]
    of = dict.fromkeys(("first_contact", "provisional", "reopened", "repeated"), 0) | dict(
        row or {}
    )
    return {
        "completed": n,
        "first_contact": of["first_contact"],
        "provisional": of["provisional"],
        "reopened": of["reopened"],
        "repeated": of["repeated"],
        "first_contact_rate": share(of["first_contact"], n),
        "reopen_rate": share(of["reopened"], n),
        "repeat_rate": share(of["repeated"], n),
    }


def of_metrics(by_metric: Mapping[str, Ended], wall: Mapping[str, Ended]) -> dict[str, Any]:
    """What histograms say of one group: waits, responses, resolution and handling."""
    waits = by_metric.get(SPEED_OF_ANSWER, NOTHING)
    responses = {
        metric: {
            "open_time": spread(by_metric.get(metric, NOTHING).answered),
            "wall_time": spread(wall.get(metric, NOTHING).answered),
        }
        for metric in RESPONSES
    }
    return {
        "speed_of_answer": spread(waits.answered),
        "time_to_abandon": spread(waits.abandoned),
        "abandonment": abandonment(waits.answered, waits.abandoned),
        **responses,
        "handle_time": spread(by_metric.get(HANDLE_TIME, NOTHING).answered),
    }


def breach_chance(ended: Histogram, elapsed_us: int, target_us: int) -> float | None:
    """The chance that a clock still open takes longer than its target: of the clocks of its kind
    that took longer than it has by now, the share that took longer than the target. None where too
    few did to say."""
    longer = ended.beyond(elapsed_us)
    if longer < PREDICT_LEAST:
        return None
    return min(1.0, ended.beyond(target_us) / longer)
