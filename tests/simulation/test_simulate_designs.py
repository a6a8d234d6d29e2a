"""The simulation against exact results for general service, arrivals and patience, for overflow, for
skill graphs and for days whose rates change: each within its own confidence interval at 99 %.
"""

import numpy
import pytest

from tests.simulation import theory
from tests.simulation.centres import calls, simulated, staff
from tests.simulation.test_simulate_theory import (
    COUNTED_S,
    DAYS,
    SERVICE_S,
    agrees,
    little,
    per_h,
    prioritised,
    skilled,
)

LONG = {**DAYS, "horizon_s": 60_000}
LONG_S = LONG["horizon_s"] - LONG["warm_up_s"]


def two_means(probability, mean_s, else_mean_s):
    form = {"probability": probability, "mean_s": mean_s, "else_mean_s": else_mean_s}
    return {"hyperexponential": form}


@pytest.mark.parametrize(
    ("load", "service", "moments"),
    [
        (0.8, {"fixed": 60}, (60, 60**2)),
        (0.6, {"lognormal": {"mean_s": 60, "sd_s": 40}}, (60, 60**2 + 40**2)),
        (0.5, two_means(0.9, 40, 240), (60, 2 * (0.9 * 40**2 + 0.1 * 240**2))),
    ],
    ids=["deterministic", "lognormal", "hyperexponential"],
)
def test_one_server(load, service, moments):
    made = simulated(**LONG, staff=[staff(1)], contacts=[calls(per_h(load), service)])
    agrees(made["total"]["wait_s"], theory.general_service_wait([load], [moments]), 0.35)
    agrees(made["total"]["p_wait"], load, 0.08)
    little(made["total"], LONG_S)


def test_one_server_and_two_classes_of_unlike_service():
    """Strict priority without preemption: short and urgent beside long ones."""
    made = simulated(
        **LONG, queue={"order": "strict_priority"}, policies=prioritised({"long": 0, "short": 5}),
        staff=[staff(1)],
        contacts=[
            calls(per_h(0.2) * 3, {"fixed": 20}, "short"),
            calls(per_h(0.5) / 2, {"gamma": {"shape": 2, "mean_s": 120}}, "long"),
        ],
    )  # fmt: skip
    moments = [(20, 400), (120, 120**2 * 1.5)]
    short, long = theory.general_priority_waits([0.2, 0.5], moments)
    agrees(made["classes"]["short"]["wait_s"], short, 0.15)
    agrees(made["classes"]["long"]["wait_s"], long, 0.3)


def test_regular_arrivals():
    made = simulated(**LONG, staff=[staff(1)], contacts=[calls({"every_s": 80}, SERVICE_S)])
    agrees(made["total"]["wait_s"], theory.regular_arrivals_wait(80, SERVICE_S), 0.3)


@pytest.mark.parametrize("service", [{"fixed": 60}, two_means(0.9, 30, 330)])
def test_what_is_blocked_does_not_depend_on_how_service_varies(service):
    made = simulated(**DAYS, lines=5, staff=[staff(5)], contacts=[calls(per_h(4), service)])
    arrived = 4 / SERVICE_S * COUNTED_S
    agrees(made["total"]["blocked"], theory.erlang_b(5, 4) * arrived, 0.12)


def test_one_server_with_room_for_few():
    """M/M/1/K, K = 4: one served and three who wait."""
    made = simulated(
        **LONG, queue={"limit": {"waiting": 3}}, staff=[staff(1)],
        contacts=[calls(per_h(0.9), SERVICE_S)],
    )  # fmt: skip
    blocked = (1 - 0.9) * 0.9**4 / (1 - 0.9**5)
    agrees(made["total"]["blocked"], blocked * 0.9 / SERVICE_S * LONG_S, 0.15)
    agrees(made["groups"]["all"]["occupancy"], 0.9 * (1 - blocked), 0.03)


PATIENCE = {
    "deterministic": ({"fixed": 45}, lambda x: (x < 45) * 1.0),
    "weibull": (
        {"weibull": {"shape": 2, "mean_s": 50}},
        lambda x: numpy.exp(-((x * 0.886227 / 50) ** 2)),
    ),
}


@pytest.mark.parametrize("kind", PATIENCE)
def test_patience_of_any_kind(kind):
    patience, survives = PATIENCE[kind]
    made = simulated(
        **DAYS, staff=[staff(4)], contacts=[calls(per_h(4.4), SERVICE_S, patience=patience)]
    )
    rate = 4.4 / SERVICE_S
    waits, abandons, wait_s = theory.general_patience(rate, SERVICE_S, 4, survives, 1_000)
    agrees(made["total"]["p_wait"], waits, 0.04)
    agrees(made["total"]["abandoned"], abandons * rate * COUNTED_S, 0.12)
    agrees(made["total"]["wait_s"], wait_s, 0.1)


def test_priorities_move_who_abandons_and_not_how_many():
    """With one patience and service the number in the centre is that of Erlang A."""
    patience = {"exponential": {"mean_s": 40}}
    made = simulated(
        **DAYS, queue={"order": "strict_priority"}, policies=prioritised({"low": 0, "high": 5}),
        staff=[staff(3)],
        contacts=[
            calls(per_h(1.6), SERVICE_S, "low", patience=patience),
            calls(per_h(1.7), SERVICE_S, "high", patience=patience),
        ],
    )  # fmt: skip
    found, waiting = theory.many_servers(3.3 / SERVICE_S, 1 / SERVICE_S, 3, patience=1 / 40)
    agrees(made["total"]["abandoned"], waiting / 40 * COUNTED_S, 0.12)
    agrees(made["total"]["p_wait"], sum(found[3:]), 0.05)
    # Across each number of urgent ones who wait, as many come as go: a birth-death chain.
    places = range(1, 60)
    urgent = theory.birth_death(
        [1.7 / SERVICE_S] * len(places), [3 / SERVICE_S + n / 40 for n in places]
    )
    waiting = sum(found[3:]) * sum(n * share for n, share in enumerate(urgent))
    agrees(made["classes"]["high"]["abandoned"], waiting / 40 * COUNTED_S, 0.15)


def test_overflow_to_a_second_group():
    """The first class goes to its own group as long as that has anybody, then to the second's."""
    tiers = [{"queue": "main", "tier": 1}]
    rules = [
        {"when": 'task.attributes.type == "first"', "steps": [{"queue": "main"}],
         "require": [{"skill": "first"}]},
        {"steps": [{"queue": "main"}], "require": [{"skill": "second"}]},
    ]  # fmt: skip
    agent = {"capacity": 100, "channels": {"phone": 1}}
    both = {"first": 5, "second": 5}
    made = simulated(
        **DAYS, queue={"select": "ranked"}, policies=[{"id": "default", "rules": rules}],
        staff=[
            {"group": "own", "count": 3, "agent": {**agent, "skills": {"first": 5}, "queues": tiers}},
            {"group": "other", "count": 3, "agent": {
                **agent, "skills": both, "queues": [{"queue": "main", "tier": 2}]}},
        ],
        contacts=[
            calls(per_h(2.5), SERVICE_S, "first", patience={"fixed": 0}),
            calls(per_h(1.5), SERVICE_S, "second", patience={"fixed": 0}),
        ],
    )  # fmt: skip
    rates = [2.5 / SERVICE_S, 1.5 / SERVICE_S]
    over, lost, full = theory.two_groups(rates, 1 / SERVICE_S, (3, 3))
    agrees(made["groups"]["other"]["served_by_class"]["first"], over * COUNTED_S, 0.06)
    agrees(made["classes"]["first"]["abandoned"], lost * rates[0] * COUNTED_S, 0.2)
    agrees(made["classes"]["second"]["abandoned"], full * rates[1] * COUNTED_S, 0.12)


@pytest.mark.parametrize(
    ("loads", "groups"),
    [
        ({"a": 0.8, "b": 0.7}, {"slow": "ab", "fast": "ab"}),
        ({"a": 1.1, "b": 0.9}, {"only_a": "a", "shared": "ab", "only_b": "b"}),
    ],
    ids=["V", "M"],
)
def test_skill_graphs(loads, groups):
    """First come first served, longest idle agent: the exact product form."""
    means_s = dict(zip(groups, (70, 45, 60)))

    def able(kind):
        return {
            "by_group": {
                name: {"exponential": {"mean_s": means_s[name]}}
                for name, skills in groups.items()
                if kind in skills
            }
        }

    made = simulated(
        **DAYS, policies=skilled(loads),
        staff=[staff(1, name, dict.fromkeys(skills, 5)) for name, skills in groups.items()],
        contacts=[calls(per_h(load), able(name), name) for name, load in loads.items()],
    )  # fmt: skip
    rates = {name: load / SERVICE_S for name, load in loads.items()}
    exact = theory.fcfs_alis(rates, {name: 1 / s for name, s in means_s.items()}, groups)
    for name, (waits, waiting) in exact.items():
        agrees(made["classes"][name]["p_wait"], waits, 0.12)
        agrees(made["classes"][name]["wait_s"], waiting / rates[name], 0.4)


def test_a_day_whose_rate_changes():
    """Kolmogorov's forward equations, period by period, from the empty centre on."""
    spans, loads = (600, 900, 1_200), (2, 7, 3)
    made = simulated(
        replications=120, confidence=0.99, seed=4, horizon_s=2_700, periods_s=[600, 1_500, 2_700],
        staff=[staff(5)],
        contacts=[
            calls(
                [per_h(load) for load in loads], SERVICE_S,
                patience={"exponential": {"mean_s": 60}},
            )
        ],
    )  # fmt: skip
    periods = [(span, load / SERVICE_S) for span, load in zip(spans, loads)]
    exact = theory.varying(periods, 1 / SERVICE_S, 5, 1 / 60)
    for shown, (waiting, busy) in list(zip(made["total"]["by_period"], exact))[1:]:
        agrees(shown["queue_length"], waiting, 0.35)
        agrees(shown["p_wait"], busy, 0.25)
    assert exact[1][1] > 2 * exact[2][1], "the rush is told from what follows it"
