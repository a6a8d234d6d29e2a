"""Changes of configuration: resources put and deleted by command, and what each change means for agents
and waiting tasks."""

from typing import Any

import msgspec

from services.router.domain import (  # fmt: skip
    config,
    deletions,
    desktops,
    duty,
    hours,
    ladders,
    last_agents,
    lifecycle,
    membership,
    pairing,
    planning,
    presence,
    room,
    shift_zones,
    tasks,
)
from services.router.domain.commands import DeleteResource, PutResource
from services.router.domain.desk import Desk
from services.router.domain.escalation import compile_ladder
from services.router.domain.policy import CompiledPolicy
from services.router.domain.references import Known, as_json, highest_skills, references, warnings
from services.router.domain.state import OPEN, SEEKING, Agent, Resource, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.core import ConfigWrite
from shared.contracts.problems import Refused, Warn, not_found

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(struct)
    for kind, struct in (*config.TYPES.items(), ("workspace", config.Settings))
}
SHARED = frozenset({"queue", "team"})


# -- commands


def put(ws: Workspace, command: PutResource) -> dict[str, Any]:
    """PutResource. Raises Refused for what it names in vain and for a stale `if_version`."""
    body = bytes(command.body)
    before = _version(ws, command.resource, command.id)
    doubts = as_json(check_put(ws, command))
    version = _store(ws, command.resource, command.id, body)
    return {
        "id": command.id,
        "version": version,
        "created": before is None,
        "changed": version != before,
        "body": msgspec.Raw(body),
        "warnings": doubts,
    }


def check_put(ws: Workspace, command: PutResource) -> list[Warn]:
    """Raises what PutResource is refused for; returns what is legal but doubtful."""
    resource = _DECODERS[command.resource].decode(bytes(command.body))
    known = _known(ws, command.resource)
    faults = references(resource, known)
    if faults:
        raise Refused("validation", faults[0].message, errors=faults)
    before = _version(ws, command.resource, command.id)
    _check_version(command.if_version, before)
    if before is None:
        room.check(ws, command.resource)
    return warnings(resource, known)


def check_delete(ws: Workspace, command: DeleteResource) -> int:
    """Raises what DeleteResource is refused for without regard to work; returns the version."""
    before = _version(ws, command.resource, command.id)
    if before is None:
        raise not_found(command.resource, command.id)
    _check_version(command.if_version, before)
    return before


def delete(ws: Workspace, command: DeleteResource) -> dict[str, Any]:
    """DeleteResource. A queue or ladder that something still names stays: conflict."""
    before = check_delete(ws, command)
    deletions.check_unused(ws, command.resource, command.id)
    version = before + 1
    if command.resource == "agent":
        _delete_agent(ws, ws.desks[command.id])
    else:
        write(ws, command.resource, command.id, b"", version)
        ws.remove(command.resource, command.id)
        if command.resource == "customer":
            last_agents.forget(ws, command.id)
    ws.meta.retired = max(ws.meta.retired, version)
    _announce(ws, command.resource, command.id, version, deleted=True)
    if command.resource in SHARED:
        ws.config.append(ConfigWrite(command.resource, command.id, None))
    return {"id": command.id}


def _known(ws: Workspace, kind: str) -> Known:
    """What a resource of this kind may name. An agent names none of the many other agents, and only
    policies name skills: looking through all agents for each of them would take long."""
    calendars = ws.stored["calendar"].values()
    desks = () if kind == "agent" else ws.desks
    skilled = ws.desks.values() if kind == "policy" else ()
    return Known(
        queues=frozenset(ws.queues),
        escalations=frozenset(ws.ladders),
        calendars=frozenset(
            one.id for one in calendars if one.body and shift_zones.MARK not in one.id
        ),
        agents=frozenset(desks),
        teams=frozenset(ws.teams),
        skills=highest_skills(desk.config for desk in skilled),
        customers=ws.customers,
    )


def _version(ws: Workspace, kind: str, name: str) -> int | None:
    found = ws.stored[kind].get(name)
    return found.version if found is not None and found.body else None


def _check_version(wanted: int | None, version: int | None) -> None:
    changed = "The resource has changed meanwhile."
    if wanted is not None and wanted != (version or 0):
        raise Refused("precondition-failed", changed if wanted else "The resource exists.")


# -- storing


def _store(ws: Workspace, kind: str, name: str, body: bytes) -> int:
    """Take in a written resource; the same again changes nothing. Returns its version."""
    known = ws.stored[kind].get(name)
    if known is not None and known.body == body:
        return known.version
    version = (known.version if known is not None else ws.meta.retired) + 1
    if kind == "agent":
        _store_agent(ws, name, body, version)
    else:
        write(ws, kind, name, body, version)
    _announce(ws, kind, name, version)
    if kind in SHARED:
        ws.config.append(ConfigWrite(kind, name, body))
    return version


def _announce(ws: Workspace, kind: str, name: str, version: int, *, deleted: bool = False) -> None:
    ws.emit(
        routing.ConfigChanged(*ws.head(), kind=kind, id=name, version=version, deleted=deleted),
        key=name,
    )


def _store_agent(ws: Workspace, name: str, body: bytes, version: int) -> None:
    desk = ws.desks.get(name)
    if desk is None:
        ws.meta.agents += 1
        agent = Agent(id=name, version=version, body=body, ordinal=ws.meta.agents, since_us=ws.now)
        ws.add("agent", name, agent)
        desk = ws.desks[name] = Desk(agent)
        ws.touch_agent(name)
    else:
        ws.touch_agent(name)
        desk.agent.version, desk.agent.body = version, body
        desk.configure(desk.agent)
    duty.forget(ws)
    membership.agent_changed(ws, desk)
    if ws.skipped:
        ladders.review_skipped(ws)


def _delete_agent(ws: Workspace, desk: Desk) -> None:
    """What he has goes back to where it came from."""
    presence.set_status(ws, desk, "offline", "deleted")
    for task_id in sorted(desk.tasks, key=lambda task_id: ws.tasks[task_id].number):
        task = ws.tasks[task_id]
        if task.state == "wrapping":
            tasks.finish(ws, task, "agent_deleted")
        else:
            ladders.requeue(ws, task, "agent_deleted")
    membership.agent_gone(ws, desk)
    del ws.desks[desk.id]  # before anything looks for agents again
    ws.leaving.pop(desk.id, None)
    wished = [ws.tasks[task_id] for task_id in ws.wishes.pop(desk.id, ())]
    for task in sorted(wished, key=lambda task: task.number):
        lifecycle.refuse(ws, task, desk.id, 0)
        task.also = [agent_id for agent_id in task.also if agent_id != desk.id]
        membership.enter(ws, task)
    ws.remove("agent", desk.id)
    duty.forget(ws)


def write(
    ws: Workspace, kind: str, name: str, body: bytes, version: int, windows: Any = None
) -> int:
    resource = Resource(kind=kind, id=name, version=version, body=body, windows=windows or [])
    paired = _never_pair(ws, name) if kind == "customer" else ()
    seen = desktops.faces(ws, name) if kind == "customer" else {}
    parallel = _parallel(ws, name) if kind == "queue" else 0
    ws.add(kind, name, resource)
    use(ws, resource)
    _react(ws, kind, name)
    if kind == "queue" and _parallel(ws, name) != parallel:
        membership.offers_changed(ws, name)
    if kind == "customer" and _never_pair(ws, name) != paired:
        pairing.all_anew(ws)
    desktops.wake(ws, seen)
    return version


def _parallel(ws: Workspace, name: str) -> int:
    queue = ws.queues.get(name)
    return queue.offer.parallel if queue else 1


def _never_pair(ws: Workspace, customer_id: str) -> tuple[str, ...]:
    customer = ws.customers.get(customer_id)
    return customer.never_pair if customer else ()


# -- from stored form to what decides


def use(ws: Workspace, resource: Resource) -> None:
    """Compile a resource into its place; an empty body takes it away."""
    kind, name = resource.kind, resource.id
    written: Any = None
    if resource.body and kind in _DECODERS:
        written = _DECODERS[kind].decode(resource.body)
    match kind:
        case "queue":
            _place(ws.queues, name, written)
        case "policy":
            _place(ws.policies, name, written and CompiledPolicy(written, resource.version))
        case "escalation":
            _place(ws.ladders, name, written and compile_ladder(written))
        case "team":
            _place(ws.teams, name, written)
            ws.has_shifts = any(team.shifts for team in ws.teams.values())
        case "customer":
            ws.customers.remove(name)
            if written is not None:
                ws.customers.put(written)
        case "workspace":
            ws.use_settings(written or config.Settings())
        case _:
            pass


def _place(into: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        into.pop(name, None)
    else:
        into[name] = value


def _react(ws: Workspace, kind: str, name: str) -> None:
    """What a change means for waiting tasks and for agents."""
    match kind:
        case "queue":
            ws.stirred[name] = None
            turn(ws)
            membership.queue_changed(ws, name)
        case "calendar":
            ws.zones_wanted = None
            turn(ws)
        case "workspace":
            _reweigh(ws)
        case "policy":
            _replan(ws, name)
        case "team":
            duty.forget(ws)
            turn(ws)
        case "escalation":
            for task in _in_order(ws):
                if task.ladder == name:
                    ladders.review(ws, task)
        case _:
            pass


def _in_order(ws: Workspace) -> list[Any]:
    return sorted(
        (task for task in ws.tasks.values() if task.state in OPEN), key=lambda task: task.number
    )


def _replan(ws: Workspace, policy_id: str) -> None:
    """Waiting tasks take an edited policy where it says so; those that no rule fitted always."""
    policy = ws.policies.get(policy_id)
    if policy is None:
        return
    for task in _in_order(ws):
        if task.state not in SEEKING or task.policy is None or task.policy.id != policy_id:
            continue
        if planning.takes_edit(task, policy):
            _plan_again(ws, task, policy_id)


def _plan_again(ws: Workspace, task: Task, policy_id: str) -> None:
    """The task takes the policy as it is now written. Its open offers go on."""
    membership.leave(ws, task)
    task.admitted = True
    planning.again(ws, task, policy_id)
    planning.start_waiting(ws, task)


def _reweigh(ws: Workspace) -> None:
    """The costs changed: count every agent's load again."""
    for desk in ws.desks.values():
        recount(ws, desk)
        membership.freed(ws, desk)
        ws.touch_agent(desk.id)


def recount(ws: Workspace, desk: Desk) -> None:
    """Load from what the agent has."""
    desk.units, desk.count, desk.used, desk.wrapping = {}, {}, 0, 0
    owned = list(desk.tasks)
    for task_id in owned:
        lifecycle.own(ws, ws.tasks[task_id], desk)
    for offer_id in desk.offers:
        channel = ws.offers[offer_id].channel
        desk.load(channel, ws.costs[channel], 1)


# -- opening hours


def turn(ws: Workspace) -> None:
    """Open and close queues as their calendars say, and wake for the next change."""
    closed = hours.closed_queues(ws, ws.now)
    changed = sorted(closed ^ ws.closed_queues)
    ws.closed_queues = closed
    if ws.meta.behind:
        ws.meta.turned_us = ws.now
    for queue in changed:
        membership.queue_changed(ws, queue)
    if ws.skipped:
        ladders.review_skipped(ws)
    hours.arm(ws, ws.now)
