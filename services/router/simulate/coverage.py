"""Who can serve what: looked at before anything is simulated."""

from collections.abc import Collection

import msgspec

from services.router.domain import capacity, planning, task_facts
from services.router.domain.config import Escalation
from services.router.domain.core import RouterCore
from services.router.domain.policy import Plan
from services.router.domain.pools import NEVER_US
from services.router.domain.requirements import active, met_by
from services.router.domain.state import Task
from services.router.simulate.centre import opened
from services.router.simulate.scenario import ContactClass, Group, Scenario
from shared.contracts.core import Entity
from shared.contracts.interactions import Author, Interaction
from shared.contracts.problems import Fault, Refused, Warn


def look(scenario: Scenario, entities: list[Entity], measured: Collection[str] = ()) -> list[Warn]:
    """What is doubtful: classes that no rule takes or that nobody can serve, and levels that wait for
    a clock that is not `measured` by any policy.

    Raises Refused (validation) where `by_group` leaves out a group that can serve the class.
    """
    core = opened(scenario, 0, entities).core
    core.begin(scenario.start_us)
    doubts = _clocks(scenario, measured)
    faults: list[Fault] = []
    for place, one in enumerate(scenario.classes):
        plan = _plan(core, one)
        able = [] if plan is None else _able(core, scenario.groups, one, plan)
        if plan is None:
            message = f"no rule of the policy {planning.DEFAULT_POLICY!r} takes {one.name!r}"
            doubts.append(Warn(f"/contacts/{place}/task", message))
        elif not able:
            doubts.append(Warn(f"/contacts/{place}", f"no group can ever serve {one.name!r}"))
        faults += _missing(one, able, f"/contacts/{place}/service/by_group")
    if faults:
        raise Refused("validation", faults[0].message, errors=faults)
    return doubts


def _clocks(scenario: Scenario, measured: Collection[str]) -> list[Warn]:
    return [
        Warn(
            f"{one.pointer}/levels/{place}",
            f"no SLA policy here has a target for {level.when.sla.metric!r}: the level never fires",
        )
        for one in scenario.resources
        if one.kind == "escalation"
        for place, level in enumerate(msgspec.json.decode(one.body, type=Escalation).levels)
        if level.when.sla is not None and level.when.sla.metric not in measured
    ]


def _plan(core: RouterCore, one: ContactClass) -> Plan | None:
    message = Interaction(
        workspace=core.name, connector="", conversation_id="", message_id="", received_at=core.at,
        direction="inbound", author=Author("customer"), channel=one.message["channel"],
        text=one.message.get("text"), attributes=one.message.get("attributes", {}),
        language=one.message.get("language"), subject=one.message.get("subject"),
    )  # fmt: skip
    task = Task(
        id="", number=0, kind="conversation", state="pending", conversation_id="",
        channel=message.channel, language=message.language, attributes=message.attributes,
        subject=message.subject, text=message.text,
        created_us=core.now, waiting_since_us=core.now,
    )  # fmt: skip
    policy = core.policies.get(planning.DEFAULT_POLICY)
    return policy.plan(task_facts.of(core, task, message)) if policy else None


def _able(core: RouterCore, groups: list[Group], one: ContactClass, plan: Plan) -> list[str]:
    """Groups whose agents serve the channel and a queue of the plan and meet what is asked in the
    end, when everything that relaxes with time has relaxed."""
    asks = active(plan.requires, NEVER_US)
    queues = [step.queue for step in plan.steps]
    found: list[str] = []
    for group in groups:
        desk = core.desks.get(next(iter(group.agent_ids()), ""))
        if (
            desk is not None
            and desk.config.channels.get(one.message["channel"], 0) > 0
            and capacity.serving(desk, queues, set()) is not None
            and met_by(asks, desk.facts)
        ):
            found.append(group.name)
    return found


def _missing(one: ContactClass, able: list[str], pointer: str) -> list[Fault]:
    return [
        Fault(f"{pointer}/{name}", "missing", f"{name!r} can serve {one.name!r}.", "a distribution")
        for name in able
        if name not in one.service
    ]
