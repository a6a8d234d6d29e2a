"""Inputs per second of the router's core alone: journal encoded, entities encoded, no I/O.

`python -m bench.router_core [--agents 1000] [--waiting 10000] [--inputs 30000] [--profile]` prints one
JSON line per size; the cost per input from 100 to 10,000 agents is the scaling ratio.

The mix is a busy centre: every agent is full or nearly so, tasks wait in 50 skills; each new
conversation is followed by the acceptance of an offer and the completion of a task, so an agent is
freed, takes the most urgent work he can do, and the backlog stays as it is. Time is the process's own
(CPU), so neighbours on the machine blur it less; how much they still do shows in `yardstick_us`, the
time of a fixed piece of work measured between the batches. `cost` is one input in yardsticks.
`bare_us` is what the bare core takes (bench/baselines/bare_core.py), in turns with the core itself.
"""

import argparse
import gc
import json
import random
import time
from typing import Any

import msgspec

from bench.baselines import bare_core
from services.router.domain import commands as cmd
from services.router.domain.core import RouterCore, RouterFactory
from services.router.driver import Driver
from shared.contracts.core import Input
from shared.runtime.supervisor import calm_collector

SKILLS = 50
BATCH = 200
YARDSTICK_EVERY = 5  # batches

_JSON = msgspec.json.Encoder()
_RECORDS = [{"id": f"r{n}", "state": "open", "at": n, "names": [f"n{n}"]} for n in range(20_000)]


def centre(agents: int, waiting: int, chance: random.Random) -> Driver:
    """Agents with 5 of 50 skills and room for three chats; `waiting` tasks that nobody can take."""
    driver = Driver(RouterFactory().create("bench", 1))
    driver.put("queue", "main", offer={"ttl_s": 3600})
    rules: list[dict[str, Any]] = [
        {
            "when": f"task.attributes.topic in {json.dumps([f's{n}' for n in range(p, SKILLS, 5)])}",
            "priority": p,
            "require": [f"skill(task.attributes.topic) >= {1 + p % 3}"],
            "steps": [{"queue": "main"}],
        }
        for p in range(5)
    ]
    driver.put("policy", "default", rules=rules)
    for number in range(agents):
        skills = {f"s{(number * 7 + k * 11) % SKILLS}": 3 for k in range(5)}
        driver.put("agent", f"a{number}", capacity=90, channels={"chat": 3}, skills=skills)
        driver.command(cmd.SetPresence(agent=f"a{number}", status="available"))
    for number in range(agents * 3 + waiting):
        say(driver, number, chance)
        driver.now_us += 1_000
    return driver


def say(driver: Driver, number: int, chance: random.Random) -> None:
    driver.say(
        f"c{number}", "my invoice is wrong", attributes={"topic": f"s{chance.randrange(SKILLS)}"}
    )


def lives(driver: Driver, inputs: int, chance: random.Random) -> list[Input]:
    """Recorded once, replayed for the measurement: message, accept, complete, in turn."""
    first = driver.number
    number = 10_000_000
    open_offers = [o.id for o in driver.core.offers.values() if o.state == "open"]
    while driver.number - first < inputs:
        say(driver, number, chance)
        number += 1
        driver.now_us += 1_000
        offer = driver.core.offers[open_offers.pop(chance.randrange(len(open_offers)))]
        driver.command(cmd.AcceptOffer(agent=offer.agent_id, offer=offer.id))
        task = driver.core.tasks[offer.task_id]
        driver.command(cmd.CompleteTask(task=task.id, agent=offer.agent_id, disposition="ok"))
        for event in driver.last.events:
            if event.type == "routing.offer.created.v1":
                open_offers.append(json.loads(event.data)["offer_id"])
    return driver.log[first:]  # type: ignore[return-value]


def measure(agents: int, waiting: int, inputs: int, profile: bool = False) -> dict[str, Any]:
    """Set up twice alike; the first run records the inputs, the second is timed."""
    driver = centre(agents, waiting, random.Random(1))
    stored = driver.core.dump()
    log: Any = lives(driver, inputs, random.Random(2))
    del driver
    warm, timed = log[: len(log) // 5], log[len(log) // 5 :]
    core, known = started(stored, warm), bare_core.learn(started(stored, warm), timed, BATCH)
    gc.collect()
    calm_collector()
    if profile:
        _profile(core, timed)
    spent, yardstick, bare, events = timed_run(core, timed, known)
    return {
        "agents": agents,
        "skills": SKILLS,
        "waiting": sum(task.state == "pending" for task in core.tasks.values()),
        "inputs": len(timed),
        "events": events,
        "inputs_per_s": round(len(timed) / spent),
        "us_per_input": round(spent / len(timed) * 1e6, 2),
        "bare_us": round(bare / len(timed) * 1e6, 2),
        "yardstick_us": round(yardstick * 1e6, 2),
        "cost": round(spent / len(timed) / yardstick, 2),
    }


def started(stored: Any, warm: Any) -> RouterCore:
    """A core with what was stored, which has taken `warm`."""
    core = RouterFactory().create("bench", 1)
    core.load(stored)
    run(core, warm)
    return core


def timed_run(core: RouterCore, log: Any, known: Any) -> tuple[float, float, float, int]:
    """Seconds of CPU: of the core, of one yardstick, of the bare core; and the events made."""
    spent = measured = bare = 0.0
    events = sticks = 0
    piece = BATCH * YARDSTICK_EVERY
    chance = random.Random(3)
    for at in range(0, len(log), piece):
        began = time.process_time()
        events += run(core, log[at : at + piece])
        between = time.process_time()
        bare_core.run(known[at : at + piece])
        after = time.process_time()
        sticks += yardsticks(chance)
        measured += time.process_time() - after
        bare += after - between
        spent += between - began
    return spent, measured / sticks, bare, events


def yardsticks(chance: random.Random, most: int = 2_000) -> int:
    """Pieces of work such as any core does: look up, change, encode."""
    for _ in range(most):
        record = _RECORDS[int(chance.random() * len(_RECORDS))]
        record["at"] += 1
        _JSON.encode({**record, "names": [*record["names"], record["id"]]})
    return most


def run(core: RouterCore, log: Any) -> int:
    """As the runtime does: apply, and after each batch take the changes."""
    events = 0
    for place, (now_us, number, what) in enumerate(log):
        events += len(core.apply(now_us, number, what).events)
        if place % BATCH == BATCH - 1:
            core.changes()
    return events


def _profile(core: RouterCore, timed: Any) -> None:
    import cProfile
    import pstats

    with cProfile.Profile() as profile:
        run(core, timed)
    pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    raise SystemExit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--inputs", type=int, default=30_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(agents, options.waiting, options.inputs, options.profile)
        for agents in options.agents
    ]
    for row in rows:
        print(json.dumps(row))
    if len(rows) > 1:
        ratio = rows[-1]["us_per_input"] / rows[0]["us_per_input"]
        print(json.dumps({"cost_ratio": round(ratio, 2), "agents": options.agents}))


if __name__ == "__main__":
    main()
