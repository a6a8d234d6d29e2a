"""The production cores that the simulation plays with."""

from services.router.domain import invariants, views
from services.router.domain.core import RouterCore, RouterFactory
from services.router.domain.state import OPEN, OWNED, Task
from services.sla.domain.core import SlaCore, SlaFactory
from shared.contracts.core import Core
from shared.testing.simulation.hosts import Heard, Parts


def heard(core: Core) -> dict[tuple[str, str], Heard]:
    assert isinstance(core, RouterCore)
    return {
        (task.id, note.clock_id): (
            Heard(note.due_us) if task.cycle > 1 else Heard(note.due_us, note.warned, note.breached)
        )
        for task in core.tasks.values()
        if task.state in OPEN
        for note in task.clocks
        if not note.ended
    }


def disagree(router: Core, sla: Core) -> list[str]:
    """Where the SLA service believes something else of an open task than the router knows."""
    assert isinstance(router, RouterCore) and isinstance(sla, SlaCore)
    found: list[str] = []
    for task in router.tasks.values():
        lives = [one for one in sla.lives(task.conversation_id) if one.record.task_id == task.id]
        if not lives:
            if task.state in OPEN:
                found.append(f"of {task.id}, {task.state}, the SLA service knows nothing")
            continue
        (live,) = lives
        believed, ended = live.fold.episode.facts.task, live.ended
        if ended != (task.state not in OPEN):
            found.append(f"{task.id} is {task.state}, for the SLA service ended: {ended}")
        if task.state not in OPEN:
            continue
        state = {"reserved": "pending"}.get(task.state, task.state)
        knows = {
            "state": state,
            "priority": task.priority,
            "held": task.held,
            "agent_id": task.agent_id,
        }
        thinks = {name: believed.get(name) for name in knows}
        # To a message that is dated after the hold, by a clock that is ahead, the hold has ended.
        waits = task.held and task.hold_reason == "waiting_on_customer"
        thinks["held"] = bool(thinks["held"]) or waits
        if thinks != knows or believed.get("queue") not in _queues(task):
            found.append(f"{task.id} is {knows}, {task.queues}, for the SLA service {believed}")
    return found + _desks(router, sla)


def _queues(task: Task) -> list[str | None]:
    """Work that an agent has is of the queue from which it was taken; a warm transfer tells where it goes."""
    if task.state in OWNED and task.queue is not None:
        return [task.queue, *task.queues]
    return [*task.queues] or [None]


def _desks(router: RouterCore, sla: SlaCore) -> list[str]:
    """Occupancy is counted from what the SLA service believes of agents."""
    found: list[str] = []
    for name, desk in router.desks.items():
        believed = sla.desk(name)
        has = {
            one.id
            for one in (router.tasks[task] for task in desk.tasks)
            if not (one.held and one.hold_reason == "waiting_on_customer")
        }
        thinks = set(believed.tasks) if believed else set[str]()
        status = believed.status if believed else "offline"
        if (has, desk.agent.shown_status) != (thinks, status):
            found.append(
                f"{name} is {desk.agent.shown_status} with {has}, for the SLA service {believed}"
            )
    return found


PARTS = Parts(
    factories=(RouterFactory, SlaFactory),
    work=lambda core, agent: views.work(core, agent)[1],
    wrong=invariants.check,
    heard=heard,
    disagree=disagree,
)
