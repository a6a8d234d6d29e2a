"""How long things take: distributions of spans, and the draws from them."""

import math
from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

from shared.contracts.instants import SECOND_US

Draw = Callable[[Random], int]
Kind = Literal[
    "exponential", "uniform", "lognormal", "gamma", "erlang", "weibull", "hyperexponential", "fixed"
]

# What each takes, in the order of `Distribution.parameters`; all spans in seconds.
PARAMETERS: dict[Kind, tuple[str, ...]] = {
    "exponential": ("mean_s",),
    "uniform": ("min_s", "max_s"),
    "lognormal": ("mean_s", "sd_s"),
    "gamma": ("shape", "mean_s"),
    "erlang": ("shape", "mean_s"),
    "weibull": ("shape", "mean_s"),
    "hyperexponential": ("probability", "mean_s", "else_mean_s"),
    "fixed": ("value_s",),
}


class Distribution(msgspec.Struct, frozen=True):
    """`parameters` in the order of PARAMETERS. erlang is a gamma with a whole shape."""

    kind: Kind
    parameters: tuple[float, ...]

    def draw(self) -> Draw:
        """A function that draws a span in whole microseconds, never negative."""
        return _DRAWS[self.kind](*self.parameters)


PerPeriod = tuple[Distribution, ...]
"""One distribution for each period."""


def whole_us(seconds: float) -> int:
    return round(seconds * SECOND_US)


def _exponential(mean_s: float) -> Draw:
    if mean_s == 0:
        return _fixed(0)
    scale = mean_s * SECOND_US
    return lambda random: round(-math.log(1.0 - random.random()) * scale)


def _uniform(min_s: float, max_s: float) -> Draw:
    return lambda random: whole_us(min_s + (max_s - min_s) * random.random())


def _lognormal(mean_s: float, sd_s: float) -> Draw:
    """Mean and standard deviation are those of the span, not of its logarithm."""
    if mean_s == 0:
        return _fixed(0)
    variance = math.log1p((sd_s / mean_s) ** 2)
    mu, sigma = math.log(mean_s) - variance / 2, math.sqrt(variance)
    return lambda random: whole_us(random.lognormvariate(mu, sigma))


def _gamma(shape: float, mean_s: float) -> Draw:
    if mean_s == 0:
        return _fixed(0)
    scale = mean_s / shape
    return lambda random: whole_us(random.gammavariate(shape, scale))


def _weibull(shape: float, mean_s: float) -> Draw:
    scale = mean_s / math.gamma(1 + 1 / shape)
    return lambda random: whole_us(random.weibullvariate(scale, shape)) if scale else 0


def _hyperexponential(probability: float, mean_s: float, else_mean_s: float) -> Draw:
    """Exponential of the one mean with `probability`, of the other without."""
    one, other = _exponential(mean_s), _exponential(else_mean_s)
    return lambda random: (one if random.random() < probability else other)(random)


def _fixed(value_s: float) -> Draw:
    value = whole_us(value_s)
    return lambda random: value


_DRAWS: dict[Kind, Callable[..., Draw]] = {
    "exponential": _exponential,
    "uniform": _uniform,
    "lognormal": _lognormal,
    "gamma": _gamma,
    "erlang": _gamma,
    "weibull": _weibull,
    "hyperexponential": _hyperexponential,
    "fixed": _fixed,
}
