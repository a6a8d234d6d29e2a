"""The compact explanations in a large centre, cold: each is asked for the first time after a change.

10,000 agents, 100,000 tasks waiting in five shapes of requirements: skills, conditions on attributes, a
negation, agents excluded by name, a preferred skill, and none. `python -m bench.explanation` prints
one line of JSON: the worst CPU time of each call by what changed before it.

The baseline is the least that a look at everybody could be: each agent's status read in a loop.
"""

import argparse
import gc
import json
import random
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import msgspec

from bench.figures import Figure
from bench.processes import printed
from services.router.domain import commands as cmd
from services.router.domain import explanation
from services.router.domain.core import RouterFactory
from services.router.driver import Driver

AGENTS = 10_000
WAITING = 100_000
TOPICS = 50
ROUNDS = 5
REQUIRES: dict[str, list[Any]] = {
    "skills": ["skill(task.attributes.topic) >= 2", "skill('lang') >= 2"],
    "condition": ["agent.attributes.region == task.attributes.region", "skill('lang') >= 1"],
    "negation": [
        "!(agent.attributes.region == task.attributes.region)",
        "agent.attributes.grade > 2",
    ],
    "excluded": [{"not_agents": [f"a{n}" for n in range(50)]}, "skill('lang') >= 1"],
    "preferred": [{"skill": "lang", "level": 3, "preferred": True}, "skill('s1') >= 1"],
    "none": [],
}


def run() -> list[Figure]:
    seen = msgspec.json.decode(printed("bench.explanation"))
    return [
        Figure(
            name=f"Explanation of {what}, {AGENTS:,} agents and {WAITING:,} waiting, cold, worst",
            value=max(seen[what].values()),
            unit="ms",
            baseline=seen["look_ms"],
            baseline_name="ms, a look at all agents",
            target=10,
            at_most=True,
            more=seen[what],
        )
        for what in ("a task", "an agent")
    ]


def centre(agents: int, waiting: int) -> Driver:
    """Everybody has an offer or is away; half of the agents serve named queues, some after a delay."""
    chance = random.Random(1)
    driver = Driver(RouterFactory().create("bench", 1))
    for queue in ("main", "side"):
        driver.put("queue", queue, offer={"ttl_s": 36_000})
    rules = [
        {
            "when": f'task.attributes.shape == "{shape}"',
            "require": requires,
            "steps": [{"queue": "side" if shape == "negation" else "main"}],
        }
        for shape, requires in REQUIRES.items()
    ]
    driver.put("policy", "default", rules=rules)
    for number in range(agents):
        driver.put("agent", f"a{number}", **_agent(number, 1 + number % 3))
        status = "available" if number % 5 else "away"
        driver.command(cmd.SetPresence(agent=f"a{number}", status=status))
    for number in range(agents + waiting):
        attributes = {
            "shape": chance.choice(list(REQUIRES)),
            "topic": f"s{chance.randrange(TOPICS)}",
            "region": f"r{chance.randrange(5)}",
        }
        driver.say(f"c{number}", "my invoice is wrong", attributes=attributes)
        driver.now_us += 1_000
        driver.log.clear()
        driver.journal.clear()
        if number % 1_000 == 0:
            driver.core.changes()
    return driver


def _agent(number: int, level: int) -> dict[str, Any]:
    skills = {f"s{(number * 7 + step * 11) % TOPICS}": level for step in range(5)}
    body: dict[str, Any] = {
        "capacity": 100,
        "channels": {"chat": 1, "email": 1},
        "skills": {**skills, "lang": level},
        "attributes": {"region": f"r{number % 5}", "grade": number % 6},
    }
    if number % 2:
        body["queues"] = [{"queue": "main"}, {"queue": "side", "delay_s": 20, "rank": 2}]
    return body


class Changes:
    """One change of an agent or of a task each."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._desks = cycle(list(driver.core.desks.values()))
        self._turn = 0

    def all(self) -> dict[str, Callable[[str], None]]:
        return {
            "presence": self._presence,
            "agent written": self._write,
            "task handled": self._life,
            "priority": self._priority,
            "300 tasks handled": self._lives,
        }

    def _presence(self, _: str) -> None:
        self._turn += 1
        status = "away" if self._turn % 2 else "available"
        self._driver.command(cmd.SetPresence(agent="a77", status=status))

    def _write(self, _: str) -> None:
        self._turn += 1
        self._driver.put("agent", "a78", **_agent(self._turn, 1 + self._turn % 3))

    def _life(self, _: str) -> None:
        desk = next(desk for desk in self._desks if desk.offers)
        offer = self._driver.core.offers[next(iter(desk.offers))]
        self._driver.command(cmd.AcceptOffer(agent=desk.id, offer=offer.id))
        self._driver.command(cmd.CompleteTask(task=offer.task_id, agent=desk.id))

    def _lives(self, task: str) -> None:
        for _ in range(300):
            self._life(task)

    def _priority(self, task: str) -> None:
        self._turn += 1
        self._driver.command(cmd.ReprioritizeTask(task=task, priority=self._turn))


def measure(agents: int, waiting: int) -> dict[str, Any]:
    """Of each kind of change the worst over all shapes, of each of which the usual of some rounds."""
    driver = centre(agents, waiting)
    core = driver.core
    gc.collect()
    gc.disable()
    shown = {task.attributes["shape"]: task.id for task in core.tasks.values() if not task.offers}
    for task in shown.values():
        explanation.explain_task(core, task)
    explanation.explain_agent(core, "a7")
    of_task: dict[str, float] = {}
    of_agent: dict[str, float] = {}
    for name, change in Changes(driver).all().items():
        for task in shown.values():
            spent = _usual(change, task, lambda task: explanation.explain_task(core, task))
            of_task[name] = max(spent, of_task.get(name, 0))
        task = shown["skills"]
        of_agent[name] = _usual(change, task, lambda _: explanation.explain_agent(core, "a9"))
    look = _usual(lambda _: None, "", lambda _: _look(driver))
    return {"a task": of_task, "an agent": of_agent, "look_ms": look}


def _usual(change: Callable[[str], None], task: str, ask: Callable[[str], Any]) -> float:
    """Milliseconds of CPU, with the answer's encoding."""
    times: list[float] = []
    for _ in range(ROUNDS):
        change(task)
        started = time.process_time()
        msgspec.json.encode(ask(task))
        times.append((time.process_time() - started) * 1e3)
    return round(sorted(times)[ROUNDS // 2], 2)


def _look(driver: Driver) -> int:
    return sum(desk.takes_work for desk in driver.core.desks.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--waiting", type=int, default=WAITING)
    options = parser.parse_args()
    print(json.dumps(measure(options.agents, options.waiting)))


if __name__ == "__main__":
    main()
