"""Confidence intervals: Student's t against printed tables, ratios against their definition."""

import math
import random

import pytest

from services.router.simulate.distributions import Distribution
from services.router.simulate.statistics import NOTHING, mean, ratio, student_t


@pytest.mark.parametrize(
    ("confidence", "freedom", "t"),
    [
        (0.95, 1, 12.7062),
        (0.95, 2, 4.3027),
        (0.95, 9, 2.2622),
        (0.99, 10, 3.1693),
        (0.90, 30, 1.6973),
        (0.999, 99, 3.3915),
        (0.95, 99_999, 1.9600),
    ],
)
def test_student_t_as_in_tables(confidence, freedom, t):
    assert student_t(confidence, freedom) == pytest.approx(t, abs=1e-4)


def test_the_mean_of_few():
    found = mean([1.0, 2.0, 4.0], 0.95)
    deviation = math.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2 / 3)
    assert found.mean == pytest.approx(7 / 3)
    assert found.half_width == pytest.approx(4.302653 * deviation, rel=1e-5)


def test_what_cannot_be_said_is_none():
    assert ratio([0, 0], [0, 0], 0.95) == NOTHING
    assert mean([3], 0.95) == (3, None)


def test_a_ratio_is_of_sums_and_covers_the_truth_as_often_as_it_says():
    """Of days with few and with many contacts; each of which waits with probability 0.3."""
    chance = random.Random(7)
    covered = 0
    for _ in range(400):
        below = [chance.choice((20, 80)) for _ in range(30)]
        above = [sum(chance.random() < 0.3 for _ in range(count)) for count in below]
        found = ratio(above, below, 0.9)
        assert found.mean == sum(above) / sum(below)
        covered += abs(found.mean - 0.3) <= found.half_width
    assert 0.86 <= covered / 400 <= 0.94


@pytest.mark.parametrize(
    ("kind", "parameters", "mean_s", "variance"),
    [
        ("exponential", (50,), 50, 2500),
        ("uniform", (20, 80), 50, 300),
        ("lognormal", (50, 30), 50, 900),
        ("gamma", (0.5, 50), 50, 5000),
        ("erlang", (4, 50), 50, 625),
        ("weibull", (1, 50), 50, 2500),
        ("weibull", (2, 50), 50, 2500 * (4 / math.pi - 1)),
        ("hyperexponential", (0.8, 25, 150), 50, 2 * (0.8 * 625 + 0.2 * 22_500) - 2500),
        ("fixed", (50,), 50, 0),
    ],
)
def test_distributions_have_their_mean_and_variance(kind, parameters, mean_s, variance):
    draw, chance = Distribution(kind, parameters).draw(), random.Random(3)
    seen = [draw(chance) / 1e6 for _ in range(20_000)]
    average = sum(seen) / len(seen)
    assert min(seen) >= 0
    assert average == pytest.approx(mean_s, rel=0.03)
    assert sum((one - average) ** 2 for one in seen) / len(seen) == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize(
    "kind", ["exponential", "lognormal", "gamma", "weibull", "hyperexponential"]
)
def test_a_mean_of_nothing_takes_no_time(kind):
    parameters = {
        "exponential": (0,),
        "lognormal": (0, 0),
        "gamma": (2, 0),
        "weibull": (2, 0),
        "hyperexponential": (0.5, 0, 0),
    }[kind]
    assert Distribution(kind, parameters).draw()(random.Random(1)) == 0
