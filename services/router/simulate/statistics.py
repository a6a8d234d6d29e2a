"""Means and confidence intervals over independent replications."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

_BISECTIONS = 200


class Estimate(NamedTuple):
    """None where nothing can be said: no replication has any, or there is only one of them."""

    mean: float | None
    half_width: float | None

    def shown(self) -> dict[str, Any]:
        return {"mean": self.mean, "half_width": self.half_width}


NOTHING = Estimate(None, None)


def mean(values: Sequence[float], confidence: float) -> Estimate:
    """The mean over replications, with Student's t."""
    return ratio(values, [1] * len(values), confidence)


def ratio(above: Sequence[float], below: Sequence[float], confidence: float) -> Estimate:
    """Sum over all replications divided by sum; the half-width by the delta method.

    The variance of the quotient of means a/b is that of (A - r B) / b, with r = a/b (Law,
    Simulation Modeling and Analysis, on ratio estimators).
    """
    number, total = len(above), math.fsum(below)
    if total == 0:
        return NOTHING
    quotient = math.fsum(above) / total
    if number < 2:
        return Estimate(quotient, None)
    squares = math.fsum((a - quotient * b) ** 2 for a, b in zip(above, below, strict=True))
    deviation = math.sqrt(squares / (number - 1) / number) / (total / number)
    return Estimate(quotient, student_t(confidence, number - 1) * deviation)


@lru_cache(maxsize=1024)
def student_t(confidence: float, freedom: int) -> float:
    """The t that |T| with so many degrees of freedom exceeds with probability 1 - confidence."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        low, high = high, high * 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _within(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """P(|T| < t), by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    if freedom % 2 == 0:
        return sine * _series(square, 1, freedom - 1)
    tail = sine * math.cos(angle) * _series(square, 2, freedom - 1) if freedom > 1 else 0.0
    return 2 / math.pi * (angle + tail)


def _series(square: float, first: int, end: int) -> float:
    """1 + (first/(first+1)) c² + (first (first+2)) / ((first+1)(first+3)) c⁴ + … up to `end`."""
    term = total = 1.0
    for number in range(first, end - 1, 2):
        term *= square * number / (number + 1)
        total += term
        if term < 1e-18 * total:
            break
    return total
