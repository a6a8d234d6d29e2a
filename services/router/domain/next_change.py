"""The earliest moment at which something changes for a task by itself, and what it is."""

from collections.abc import Iterable, Iterator

from services.router.domain import requirements
from services.router.domain.capacity import Condition, serving
from services.router.domain.desk import Desk
from services.router.domain.policy import queues_at
from services.router.domain.pools import NEVER_US
from services.router.domain.shapes import NextChange
from services.router.domain.state import OWNED, SEEKING, Task
from services.router.domain.workspace import Workspace
from shared.contracts.instants import format_instant, span_us

Change = tuple[int, str]
_ROOM = frozenset({"capacity", "channel_cap", "wrap_up"})


def next_change(
    ws: Workspace, task: Task, nearest: Iterable[tuple[Desk, list[Condition]]]
) -> NextChange | None:
    """`{"at", "what"}`, or None when nothing is due. `nearest`: agents and what they fail."""
    found = [*_of_task(ws, task)]
    if task.state in SEEKING:
        found += [*_of_queues(ws, task)]
        for desk, failed in nearest:
            found += [*_of_agent(ws, task, desk, {one.kind for one in failed})]
    later = [change for change in found if ws.now < change[0] < NEVER_US]
    if not later:
        return None
    at, what = min(later)
    return {"at": format_instant(at), "what": what}


def _of_task(ws: Workspace, task: Task) -> Iterator[Change]:
    if task.state == "scheduled" and task.not_before_us is not None:
        yield task.not_before_us, "it begins to wait"
    if task.state == "wrapping" and task.wrap_until_us is not None:
        yield task.wrap_until_us, "its wrap-up ends"
    if task.state in OWNED and task.orphan_us is not None:
        yield task.orphan_us, f"it is taken from {task.agent_id}, who is offline"
    if task.respond_us is not None and task.state == "assigned":
        yield task.respond_us, f"it is taken from {task.agent_id}, who does not answer"
    if task.escalate_us is not None:
        yield task.escalate_us, f"the next level of the ladder {task.ladder}"
    for offer in task.offers:
        yield ws.offers[offer].expires_us, f"the offer to {ws.offers[offer].agent_id} expires"
    if task.state in SEEKING:
        yield from _of_wait(task)


def _of_wait(task: Task) -> Iterator[Change]:
    if task.not_after_us is not None:
        yield task.not_after_us, "it is too late for it"
    if task.drain_until_us is not None:
        yield task.drain_until_us, f"{task.drain_agent} is kept free for it no longer"
    if task.hold_until_us is not None:
        yield task.hold_until_us, f"it is kept for {task.prefer_agent} no longer"
    if task.step_until_us is not None and task.policy is not None:
        queues = queues_at(task.steps, task.policy.step + 1)
        yield task.step_until_us, f"the next step: {' or '.join(queues)}"
    if task.relax_us is not None:
        yield task.relax_us, f"relaxed to {_relaxed(task, task.relax_us)}"


def _relaxed(task: Task, at_us: int) -> str:
    """What the task asks for once it is relaxed at that instant."""
    asked = requirements.active(
        task.requires,
        max(task.relaxed_to_us, at_us - task.waiting_since_us),
        relax_all=task.relax_all,
        dropped=task.dropped,
    )
    return " and ".join(item.text for item in asked) or "any skill"


def _of_queues(ws: Workspace, task: Task) -> Iterator[Change]:
    for name in task.queues:
        queue = ws.queues.get(name)
        if name not in ws.closed_queues or queue is None or queue.calendar is None:
            continue
        calendar = ws.resource("calendar", queue.calendar)
        opens = (start for start, _ in (calendar.windows if calendar else ()) if start > ws.now)
        yield min(opens, default=NEVER_US), f"the queue {name} opens"


def _of_agent(ws: Workspace, task: Task, desk: Desk, failed: set[str]) -> Iterator[Change]:
    """What ends by itself for an agent who fails nothing else."""
    if failed == {"cool_down"}:
        yield task.refused[desk.id], f"the cool-down of {desk.id} ends"
    if failed == {"delay"}:
        served = serving(desk, task.queues, ws.closed_queues)
        delay = span_us(served.delay_s) if served else NEVER_US
        yield task.waiting_since_us + delay, f"the delay of {desk.id} for its queue ends"
    if failed and failed <= _ROOM:
        ends = (ws.tasks[other].wrap_until_us for other in desk.tasks)
        yield (
            min((at for at in ends if at is not None), default=NEVER_US),
            f"{desk.id} ends a wrap-up",
        )
