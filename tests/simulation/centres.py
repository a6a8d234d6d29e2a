"""Small centres for the tests of `omniroute simulate`: scenarios as people write them, and their report."""

from pathlib import Path

from services.cli.simulate import read
from services.router.simulate import coverage, running
from services.router.simulate.centre import hired
from services.router.simulate.report import report

AGENT = {"capacity": 100, "channels": {"phone": 1}}


def simulated(*, queue=(), policies=None, queues=None, folder=".", **given):
    """The report of a scenario. `queue`: fields of its one queue, in which everybody waits, unless
    `policies` says otherwise."""
    scenario = read(scenario_of(queue, policies, queues, **given), Path(folder))
    entities = hired(scenario)
    coverage.look(scenario, entities)
    return report(scenario, running.run(scenario, entities, 1, lambda more: None), 1.0)


def scenario_of(queue=(), policies=None, queues=None, **given):
    rules = [{"steps": [{"queue": "main"}]}]
    workspace = {
        "channels": {"phone": {"cost": 100}},
        "queues": queues or [{"id": "main", "select": "longest_idle", **dict(queue)}],
        "policies": policies or [{"id": "default", "rules": rules}],
    }
    return {"version": "omniroute/scenario/v1", "workspace": workspace, "replications": 1, **given}


def staff(count, group="all", skills=(), **more):
    return {"group": group, "count": count, "agent": {**AGENT, "skills": dict(skills)}, **more}


def calls(arrivals, service, name="call", **more):
    """`arrivals` a number: Poisson, an hour. `service` a number: exponential with this mean."""
    if not isinstance(arrivals, dict):
        arrivals = {"poisson_per_h": arrivals}
    if not isinstance(service, dict):
        service = {"exponential": {"mean_s": service}}
    task = {"channel": "phone", "attributes": {"type": name}}
    return {"class": name, "task": task, "arrivals": arrivals, "service": service, **more}


def means(figures):
    """A class's or group's figures without half-widths, by name, numbers only."""
    return {
        name: one["mean"]
        for name, one in figures.items()
        if isinstance(one, dict) and "mean" in one
    }
