"""The simulation against exact results of queueing theory: each within its own confidence interval.

Seeds are fixed, so a test passes always or never. Intervals are at 99 %, and narrow enough to tell a
wrong discipline from the right one.
"""

import math
from pathlib import Path
from statistics import fmean, variance

import pytest

from services.cli.simulate import read
from services.router.simulate import streams
from tests.simulation import theory
from tests.simulation.centres import calls, means, scenario_of, simulated, staff

HOUR = 3600
DAYS = {
    "replications": 16,
    "confidence": 0.99,
    "warm_up_s": 3_000,
    "horizon_s": 20_000,
    "seed": 11,
}
COUNTED_S = DAYS["horizon_s"] - DAYS["warm_up_s"]
SERVICE_S = 60


def agrees(figure, exact, narrow=0.15):
    """Within the interval, which is no wider than a share of the exact value."""
    assert abs(figure["mean"] - exact) <= figure["half_width"], (figure, exact)
    assert figure["half_width"] <= narrow * abs(exact), (figure, exact)


def little(figures, over_s=COUNTED_S):
    """L = λ W, but for who waits across the edges of the counted time."""
    one = means(figures)
    flow = (one["arrived"] - one["blocked"]) / over_s
    assert one["queue_length"] == pytest.approx(flow * one["wait_s"], rel=0.03)


def per_h(load, agents=1):
    """Arrivals an hour that offer each agent this load."""
    return load * agents * HOUR / SERVICE_S


def test_erlang_b_blocks():
    made = simulated(**DAYS, lines=4, staff=[staff(4)], contacts=[calls(per_h(3), SERVICE_S)])
    arrived = 3 / SERVICE_S * COUNTED_S
    agrees(made["total"]["blocked"], theory.erlang_b(4, 3) * arrived, 0.1)
    carried = 3 * (1 - theory.erlang_b(4, 3)) / 4
    agrees(made["groups"]["all"]["occupancy"], carried, 0.03)


def test_erlang_c_waits():
    made = simulated(**DAYS, staff=[staff(4)], contacts=[calls(per_h(3), SERVICE_S)])
    waits = theory.erlang_c(4, 3)
    agrees(made["total"]["p_wait"], waits, 0.1)
    agrees(made["total"]["wait_s"], waits * SERVICE_S / (4 - 3), 0.25)
    little(made["total"])


def test_the_tail_of_erlang_c():
    """P(wait <= T) = 1 - C exp(-(c - a) T / s)."""
    made = simulated(
        **DAYS, staff=[staff(4)], contacts=[calls(per_h(3), SERVICE_S)], report={"within_s": [30]}
    )
    within = 1 - theory.erlang_c(4, 3) * math.exp(-(4 - 3) * 30 / SERVICE_S)
    for level in made["total"]["within"]["30"]["service_level"].values():
        agrees(level, within, 0.08)


def test_erlang_a_abandons():
    patience_s = 40
    made = simulated(
        **DAYS, staff=[staff(3)],
        contacts=[calls(per_h(3.3), SERVICE_S, patience={"exponential": {"mean_s": patience_s}})],
    )  # fmt: skip
    rate = 3.3 / SERVICE_S
    found, waiting = theory.many_servers(rate, 1 / SERVICE_S, 3, patience=1 / patience_s)
    agrees(made["total"]["abandoned"], waiting / patience_s * COUNTED_S, 0.12)
    agrees(made["total"]["p_wait"], sum(found[3:]), 0.05)
    agrees(made["total"]["queue_length"], waiting, 0.12)
    little(made["total"])


def test_a_queue_with_room_for_few():
    made = simulated(
        **DAYS, queue={"limit": {"waiting": 3}}, staff=[staff(2)],
        contacts=[calls(per_h(2.2), SERVICE_S)],
    )  # fmt: skip
    rate = 2.2 / SERVICE_S
    found, waiting = theory.many_servers(rate, 1 / SERVICE_S, 2, room=3)
    agrees(made["total"]["blocked"], found[-1] * rate * COUNTED_S, 0.12)
    agrees(made["total"]["wait_s"], waiting / (rate * (1 - found[-1])), 0.12)


def test_one_server_and_any_service_time():
    """Pollaczek and Khinchine: erlang, uniform, lognormal and gamma service."""
    contacts = [
        calls(per_h(0.15), {"erlang": {"shape": 3, "mean_s": 60}}, "erlang"),
        calls(per_h(0.15), {"uniform": {"min_s": 20, "max_s": 100}}, "uniform"),
        calls(per_h(0.2), {"lognormal": {"mean_s": 60, "sd_s": 40}}, "lognormal"),
        calls(per_h(0.2), {"gamma": {"shape": 0.8, "mean_s": 60}}, "gamma"),
    ]
    made = simulated(
        **{**DAYS, "horizon_s": 60_000, "seed": 3}, staff=[staff(1)], contacts=contacts
    )
    squares = [60**2 / 3, 80**2 / 12, 40**2, 60**2 / 0.8]
    second = sum(
        load * (variance + 60**2) for load, variance in zip((0.15, 0.15, 0.2, 0.2), squares)
    )
    agrees(made["total"]["wait_s"], second / SERVICE_S / 2 / (1 - 0.7), 0.25)


TWO = ("low", "high")


def prioritised(priorities):
    """Rules that give classes of these names their priority."""
    rules = [
        {
            "when": f'task.attributes.type == "{name}"',
            "priority": number,
            "steps": [{"queue": "main"}],
        }
        for name, number in priorities.items()
    ]
    return [{"id": "default", "rules": rules}]


def test_strict_priority_in_one_pool():
    made = simulated(
        **DAYS, queue={"order": "strict_priority"}, policies=prioritised({"low": 0, "high": 7}),
        staff=[staff(3)],
        contacts=[calls(per_h(1.3), SERVICE_S, "low"), calls(per_h(1.1), SERVICE_S, "high")],
    )  # fmt: skip
    rates = [1.1 / SERVICE_S, 1.3 / SERVICE_S]
    high, low = theory.strict_priority_waits(rates, 1 / SERVICE_S, 3)
    agrees(made["classes"]["high"]["wait_s"], high, 0.15)
    agrees(made["classes"]["low"]["wait_s"], low, 0.4)
    for name in TWO:
        little(made["classes"][name])


def test_weighted_wait_in_one_pool():
    made = simulated(
        **DAYS, queue={"order": "weighted_wait"}, policies=prioritised({"low": 1, "high": 4}),
        staff=[staff(3)],
        contacts=[calls(per_h(1.3), SERVICE_S, "low"), calls(per_h(1.1), SERVICE_S, "high")],
    )  # fmt: skip
    rates = [1.3 / SERVICE_S, 1.1 / SERVICE_S]
    low, high = theory.accumulating_priority_waits(rates, [1, 4], 1 / SERVICE_S, 3)
    agrees(made["classes"]["high"]["wait_s"], high, 0.25)
    agrees(made["classes"]["low"]["wait_s"], low, 0.35)


def skilled(asks):
    """Rules by which each class asks for the skill of its name."""
    rules = [
        {
            "when": f'task.attributes.type == "{name}"',
            "require": [{"skill": name}],
            "steps": [{"queue": "main"}],
        }
        for name in asks
    ]
    return [{"id": "default", "rules": rules}]


@pytest.mark.parametrize(
    ("loads", "groups"),
    [
        ({"a": 0.7, "b": 1.6}, {"flexible": "ab", "other": "ab", "fixed": "b"}),  # N
        ({"a": 0.5, "b": 0.8, "c": 0.9}, {"left": "ab", "right": "bc", "third": "c"}),  # W
    ],
    ids=["N", "W"],
)
def test_first_come_first_served_longest_idle_agent(loads, groups):
    means_s = dict(zip(groups, (60, 45, 75)))
    service = {"by_group": {name: {"exponential": {"mean_s": s}} for name, s in means_s.items()}}

    def able(c):
        return {"by_group": {g: one for g, one in service["by_group"].items() if c in groups[g]}}

    made = simulated(
        **DAYS, policies=skilled(loads),
        staff=[staff(1, name, dict.fromkeys(skills, 5)) for name, skills in groups.items()],
        contacts=[calls(per_h(load), able(name), name) for name, load in loads.items()],
    )  # fmt: skip
    rates = {name: load / SERVICE_S for name, load in loads.items()}
    exact = theory.fcfs_alis(rates, {name: 1 / s for name, s in means_s.items()}, groups)
    for name, (waits, waiting) in exact.items():
        agrees(made["classes"][name]["p_wait"], waits, 0.1)
        agrees(made["classes"][name]["wait_s"], waiting / rates[name], 0.4)
        little(made["classes"][name])


def test_retrials():
    """Nobody waits; three of four who find no agent come again after five minutes on average."""
    made = simulated(
        **DAYS, staff=[staff(3)],
        contacts=[
            calls(
                per_h(2.2), SERVICE_S, patience={"fixed": 0},
                retry={"probability": 0.75, "after": {"exponential": {"mean_s": 300}}},
            )
        ],
    )  # fmt: skip
    orbit, full = theory.retrial(2.2 / SERVICE_S, 1 / SERVICE_S, 3, 1 / 300, 0.75)
    agrees(made["total"]["retried"], orbit / 300 * COUNTED_S, 0.12)
    tries = (2.2 / SERVICE_S + orbit / 300) * COUNTED_S
    agrees(made["total"]["arrived"], tries, 0.05)
    agrees(made["total"]["abandoned"], full * tries, 0.12)


def test_busy_days():
    """Var N = m + m²/shape, and classes are busy on the same days."""
    days, mean = 4_000, 12
    scenario = read(
        scenario_of(
            horizon_s=600, seed=5, busyness={"gamma": {"shape": 10, "mean": 1.2}},
            staff=[staff(1)], contacts=[calls(60, 10, "a"), calls(60, 10, "b")],
        ),
        Path(),
    )  # fmt: skip
    counts = []
    for day in range(days):
        busy = streams.busyness(scenario, day)
        counts.append(
            [len(list(streams.arrivals(scenario, c, day, busy))) for c in scenario.classes]
        )
    first, second = zip(*counts)
    assert fmean(first) == pytest.approx(mean, rel=0.02)
    assert variance(first) == pytest.approx(mean + mean**2 / 10, rel=0.08)
    both = variance([a + b for a, b in counts])
    assert both == pytest.approx(2 * mean + (2 * mean) ** 2 / 10, rel=0.08)


def test_poisson_rates_by_period():
    made = simulated(
        horizon_s=7200, periods_s=[1800, 3600, 5400], replications=40, confidence=0.999,
        staff=[staff(3)], contacts=[calls([60, 0, 120], 20)],
    )  # fmt: skip
    arrived = [one["arrived"] for one in made["total"]["by_period"]]
    agrees(arrived[0], 30)
    assert arrived[1]["mean"] == 0
    agrees(arrived[2], 60 + 60)
