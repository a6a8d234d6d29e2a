"""Simulated contacts a second of one core, as `omniroute simulate` runs them: rules and journal on.

`python -m bench.simulate [--profile]` prints one line of JSON. Three groups, fifty agents, five rules with
skills that relax, 85 % load; each contact is an arrival, an offer, its acceptance and a completion, each
decided and journaled by the production core. Time is the process's own (CPU); `yardstick_us` is the
time of a fixed piece of work of the same run (bench/router_core.py).
"""

import argparse
import gc
import json
import random
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import Figure
from bench.processes import printed
from bench.router_core import yardsticks
from services.cli.simulate import read
from services.router.simulate.centre import hired
from services.router.simulate.replication import Replication
from services.router.simulate.scenario import Scenario

LANGUAGES = ("de", "en", "es", "fr", "it")
AGENTS = 50
LOAD = 0.85
SERVICE_S = 180
HORIZON_S = 12_000
DAYS = 4
YARDSTICKS = 20_000


def run() -> list[Figure]:
    seen = msgspec.json.decode(printed("bench.simulate"))
    return [
        Figure(
            name="Simulation, 50 agents, one core",
            value=seen["contacts_per_s"],
            unit="contacts/s",
            baseline=1e6 / seen["yardstick_us"],
            baseline_name="records/s",
            target=10_000,
            more={"us_per_contact": seen["us_per_contact"], "inputs": seen["inputs_per_contact"]},
        )
    ]


def scenario() -> Scenario:
    """Five languages of equal traffic; every agent speaks three of them."""
    rules = [
        {
            "when": f'task.attributes.type == "{name}"',
            "require": [{"skill": name, "level": 3, "relax": [{"after_s": 60, "level": 1}]}],
            "steps": [{"queue": "main"}],
        }
        for name in LANGUAGES
    ]
    rate = AGENTS * LOAD / SERVICE_S * 3600 / len(LANGUAGES)
    content: dict[str, Any] = {
        "version": "omniroute/scenario/v1",
        "workspace": {
            "channels": {"phone": {"cost": 100}},
            "queues": [{"id": "main", "select": "longest_idle"}],
            "policies": [{"id": "default", "rules": rules}],
        },
        "horizon_s": HORIZON_S,
        "staff": [_group(place) for place in range(len(LANGUAGES))],
        "contacts": [
            {
                "class": name,
                "task": {"channel": "phone", "attributes": {"type": name}},
                "arrivals": {"poisson_per_h": rate},
                "service": {"exponential": {"mean_s": SERVICE_S}},
                "patience": {"exponential": {"mean_s": 300}},
            }
            for name in LANGUAGES
        ],
    }
    return read(content, Path())


def _group(place: int) -> dict[str, Any]:
    skills = {LANGUAGES[(place + step) % len(LANGUAGES)]: 5 - step for step in range(3)}
    agent = {"capacity": 100, "channels": {"phone": 1}, "skills": skills}
    return {"group": f"g{place}", "count": AGENTS // len(LANGUAGES), "agent": agent}


def measure() -> dict[str, Any]:
    """The first day warms up."""
    tried = scenario()
    entities = hired(tried)
    gc.disable()
    Replication(tried, 0, entities).run()
    chance = random.Random(3)
    spent = sticks = 0.0
    contacts = inputs = counted = 0
    for day in range(1, DAYS + 1):
        sums = Replication(tried, day, entities).run()
        spent += sums.cpu_s
        contacts += sums.contacts
        inputs += sums.inputs
        started = time.process_time()
        counted += yardsticks(chance, YARDSTICKS)
        sticks += time.process_time() - started
    return {
        "contacts": contacts,
        "contacts_per_s": round(contacts / spent),
        "us_per_contact": round(spent / contacts * 1e6, 1),
        "inputs_per_contact": round(inputs / contacts, 2),
        "yardstick_us": round(sticks / counted * 1e6, 2),
        "cost": round(spent / contacts / (sticks / counted), 1),
    }


def profile() -> None:
    import cProfile
    import pstats

    tried = scenario()
    entities = hired(tried)
    with cProfile.Profile() as seen:
        Replication(tried, 1, entities).run()
    pstats.Stats(seen).sort_stats("tottime").print_stats(40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true")
    if parser.parse_args().profile:
        profile()
    else:
        print(json.dumps(measure()))


if __name__ == "__main__":
    main()
