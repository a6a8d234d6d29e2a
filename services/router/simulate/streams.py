"""Chance: a stream of its own for each purpose in each replication, so that a change of one thing
leaves the draws of the others as they were (common random numbers)."""

from collections.abc import Iterator
from hashlib import blake2b
from math import log
from random import Random

from services.router.simulate.scenario import (
    RANDOM_BITS,
    ContactClass,
    Poisson,
    Recorded,
    Regular,
    Scenario,
)


def seed_of(seed: int, replication: int, purpose: str) -> int:
    """The same on every machine and in every process."""
    text = f"{seed}:{replication}:{purpose}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % RANDOM_BITS


def stream(scenario: Scenario, replication: int, purpose: str) -> Random:
    return Random(seed_of(scenario.seed, replication, purpose))


def busyness(scenario: Scenario, replication: int) -> float:
    """The day's factor on all Poisson rates."""
    factor = scenario.busyness
    if factor is None:
        return 1.0
    random = stream(scenario, replication, "busyness")
    return random.gammavariate(factor.shape, factor.mean / factor.shape)


def arrivals(scenario: Scenario, one: ContactClass, replication: int, busy: float) -> Iterator[int]:
    """Instants of a class's arrivals before the horizon, in microseconds from the start."""
    match one.arrivals:
        case Poisson(rate=rate):
            random = stream(scenario, replication, f"arrivals:{one.name}")
            return _poisson(scenario, [each * busy for each in rate], random)
        case Regular(every_us=every):
            return _regular(scenario, every)
        case Recorded(at_us=at):
            return (instant for instant in at if instant < scenario.horizon_us)


def _poisson(scenario: Scenario, rate: list[float], random: Random) -> Iterator[int]:
    """By inversion of the cumulative rate: exact where the rate changes."""
    draw = random.random
    left = -log(1.0 - draw())
    for period, (start, end) in _spans(scenario):
        speed, at = rate[period], float(start)
        if speed <= 0:
            continue
        while at + left / speed < end:
            at += left / speed
            yield int(at)
            left = -log(1.0 - draw())
        left -= (end - at) * speed


def _regular(scenario: Scenario, every: tuple[int, ...]) -> Iterator[int]:
    """Each comes so long after the one before as the period of that one says; after a period
    without arrivals the first comes with the start of the next."""
    at = 0
    for period, (start, end) in _spans(scenario):
        at = max(at, start)
        while every[period] and at < end:
            yield at
            at += every[period]


def _spans(scenario: Scenario) -> Iterator[tuple[int, tuple[int, int]]]:
    """The periods up to the horizon."""
    for period in range(len(scenario.ends_us)):
        start, end = scenario.span(period)
        if start < scenario.horizon_us:
            yield period, (start, min(end, scenario.horizon_us))
