"""What explanations keep of agents and tasks from look to look is what a plain look at all of them finds."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain import candidates, capacity, changed, explanation, roster
from services.router.domain import commands as cmd
from services.router.domain.agent_facts import AgentFacts
from services.router.domain.config import Agent, Require
from services.router.domain.core import RouterFactory
from services.router.domain.facts import TaskFacts
from services.router.domain.requirements import bind
from services.router.domain.state import OPEN, SEEKING
from services.router.driver import WORKSPACE, Driver
from services.router.fields import NAMED_AGENTS_MAX
from shared.contracts.problems import Refused
from tests.unit.router_life import Life

# -- the plain look


def looked_at(ws, task):
    """(by reason, admissible, all agents, the nearest first)."""
    counts, order = Counter(), []
    for desk in ws.desks.values():
        failed = [one for one in capacity.conditions(ws, task, desk) if not one.passed]
        counts[failed[0].kind if failed else None] += 1
        fixed = [one for one in capacity.configured(ws, task, desk) if not one.passed]
        lacks = sum(one.kind != "closed" for one in fixed)
        absent = bool(failed) and failed[0].kind == "presence"
        order.append((lacks, absent and not fixed, desk.share, desk.id))
    admissible = counts.pop(None, 0)
    return dict(counts), admissible, [name for *_, name in sorted(order)]


def tasks_of(ws, desk):
    """Whom an explanation shows of the tasks that wait: (number of them, the nearest)."""
    waiting = [task for task in ws.tasks.values() if task.state in SEEKING]
    waiting.sort(key=lambda task: (task.waiting_since_us, task.number))

    def lacks(task):
        return sum(not one.passed for one in capacity.conditions(ws, task, desk))

    longest = waiting[: explanation.WAITING_JUDGED_MAX]
    return len(waiting), [task.id for task in sorted(longest, key=lacks)[: explanation.NEAREST]]


def agree(ws):
    for task in [task for task in ws.tasks.values() if task.state in OPEN]:
        found = candidates.candidates(ws, task)
        reasons, admissible, order = looked_at(ws, task)
        assert (found.by_reason, found.admissible, found.total) == (reasons, admissible, len(order))
        assert list(found.by_reason) == sorted(reasons, key=lambda name: (-reasons[name], name))
        for most in (2, len(order) + 1):
            assert [desk.id for desk in candidates.nearest(found, most)] == order[:most]
    for desk in ws.desks.values():
        found = explanation.explain_agent(ws, desk.id)
        shown = [task["task_id"] for task in found["tasks"]]
        assert (found["waiting"], shown) == tasks_of(ws, desk)


# -- lives in which everything happens


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_agrees_with_a_look_at_everything(seed, monkeypatch):
    """Looked at after every fifth input, after a take-over and after refusals; sometimes so much has
    changed that all is looked at anew, and only the longest waits are shown."""
    monkeypatch.setattr(changed, "UNSEEN_MAX", 6 if seed % 2 else 20_000)
    monkeypatch.setattr(roster, "ONE_BY_ONE_MAX", seed)
    monkeypatch.setattr(roster, "COLUMNS_MAX", 8 if seed % 3 else 256)
    monkeypatch.setattr(explanation, "WAITING_JUDGED_MAX", 4 + seed)
    life = Life(seed)
    for step in range(250):
        life.step()
        if step % 5 == 0:
            agree(life.driver.core)
        if step % 90 == 89:
            life.driver.core.changes()
            fresh = RouterFactory().create(WORKSPACE, seed)
            fresh.load(life.driver.core.dump())
            life.driver.core = fresh
    agree(life.driver.core)


# -- workspaces of every kind of requirement

NAMES = [f"a{number}" for number in range(7)]
REQUIRES = [
    {"skill": "de", "level": 2},
    {"skill": "de", "level": 1, "preferred": True},
    {"skill": "sales", "level": 1, "relax": [{"after_s": 5, "drop": True}]},
    {"agents": ["a1", "a2", "a5"]},
    {"not_agents": ["a0", "a3"]},
    "skill(task.attributes.topic) >= 1",
    "!(skill(task.attributes.topic) >= 2)",
    "skill('de') >= 1 || skill('sales') >= 1",
    "agent.attributes.grade > 1",
    "!(agent.attributes.grade > 1)",
    "agent.attributes.region == task.attributes.region",
    "agent.attributes.region != task.attributes.region && agent.kind == 'human'",
    "'x' in agent.attributes.tags",
    "agent.id.startsWith('a')  && agent.id != 'a4'",
    "agent.capacity > 50",
    "agent.team == null",
    "agent.channels.chat > 0",
    "has(agent.attributes.region)",
]
# 1, true and 1.0 are one to Python, three to CEL.
GRADES = [None, 0, 1, 2, True, 1.0, 2.5, "2", ["x"], {"x": 1}]


def agent_of(chance):
    attributes = {}
    if (grade := chance.choice(GRADES)) is not None:
        attributes["grade"] = grade
    if chance.random() < 0.7:
        attributes["region"] = chance.choice(["n", "s", 1])
    if chance.random() < 0.3:
        attributes["tags"] = chance.choice([["x"], ["y"], "x", {"x": 1}])
    if chance.random() < 0.2:  # conditions see no more of him
        attributes = {**{f"a{number}": [1] * 60 for number in range(20)}, **attributes}
    body = {
        "channels": {"chat": chance.choice([0, 1, 2]), "email": chance.choice([1, 2])},
        "capacity": chance.choice([40, 100]),
        "skills": {name: chance.randrange(4) for name in ("de", "sales") if chance.random() < 0.7},
        "attributes": attributes,
    }
    if chance.random() < 0.4:
        names = chance.sample(["q0", "q1", "q2"], chance.randrange(3))
        body["queues"] = [{"queue": one, "delay_s": chance.choice([0, 0, 8])} for one in names]
    return body


def changes(driver, chance):
    name, draw = chance.choice(NAMES), chance.random()
    if draw < 0.3:
        topic, region = chance.choice(["de", "sales", "none"]), chance.choice(["n", "s", 1])
        attributes = {"topic": topic, "region": region, "rule": str(chance.randrange(6))}
        channel = chance.choice(["chat", "email"])
        driver.say(f"c{driver.number}", channel=channel, attributes=attributes)
    elif draw < 0.5:
        status = chance.choice(["available", "available", "away", "offline"])
        driver.command(cmd.SetPresence(agent=name, status=status, after_current=draw < 0.33))
    elif draw < 0.6:
        driver.put("agent", name, **agent_of(chance))
    elif draw < 0.65:
        driver.command(cmd.DeleteResource(resource="agent", id=name))
    elif draw < 0.75:
        driver.wait(chance.choice([1, 6]))
    elif offers := [one for one in driver.core.offers.values() if one.state == "open"]:
        offer = chance.choice(offers)
        if draw < 0.85:
            driver.command(cmd.AcceptOffer(agent=offer.agent_id, offer=offer.id))
        elif draw < 0.93:
            driver.command(cmd.DeclineOffer(agent=offer.agent_id, offer=offer.id))
        else:
            to = cmd.TransferTo(agent=name)
            driver.command(cmd.TransferTask(task=offer.task_id, to=to))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_every_kind_of_requirement_is_judged_as_one_by_one(seed):
    chance = Random(seed)
    driver = Driver(seed=seed)
    for queue in ("q0", "q1", "q2"):
        driver.put("queue", queue, offer={"cool_down_s": 20})
    driver.put(
        "policy",
        "default",
        rules=[
            {
                "when": f'task.attributes.rule == "{rule}"',
                "require": chance.sample(REQUIRES, chance.randrange(4)),
                "steps": [{"queue": chance.choice(["q0", "q1", "q2"])}, {"queue": "q1"}],
            }
            for rule in range(6)
        ],
    )
    for name in NAMES:
        driver.put("agent", name, **agent_of(chance))
        driver.command(cmd.SetPresence(agent=name, status="available"))
    for _ in range(24):
        try:
            changes(driver, chance)
        except Refused:
            continue
        agree(driver.core)


def test_a_requirement_of_named_agents_asks_for_them_alone():
    names = ("a1", "b")
    for require, wanted in ((Require(agents=names), True), (Require(not_agents=names), False)):
        (item,) = bind([require], TaskFacts.of(now_us=0))
        for name in ("a1", "b", "a", "a2"):
            assert item.met_by(AgentFacts(Agent(id=name))) == ((name in names) == wanted)


def test_a_requirement_may_name_many_agents():
    names = tuple(f"a{number}" for number in range(NAMED_AGENTS_MAX))
    (item,) = bind([Require(not_agents=names)], TaskFacts.of(now_us=0))
    seen = [item.evaluate(AgentFacts(Agent(id=name))) for name in ("a99", "b")]
    assert [(one.value, one.passed) for one in seen] == [(False, False), (True, True)]
