"""What an explanation says in one sentence: why a task is where it is, why an agent has nothing.

Read by people who know neither our words for states nor CEL: what a rule reads of the task stands beside
it, spans are in the units of a clock on the wall.
"""

import re
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from services.router.domain import capacity
from services.router.domain.candidates import Candidates
from services.router.domain.capacity import Condition
from services.router.domain.desk import Desk
from services.router.domain.requirements import Requirement
from services.router.domain.state import SEEKING, Task, waited_us
from services.router.domain.workspace import Workspace
from shared.contracts.instants import format_instant, seconds

_REASONS = {
    "presence": "not available",
    "capacity": "without enough free capacity",
    "channel": "not serving its channel",
    "channel_cap": "at their limit for its channel",
    "wrap_up": "in wrap-up",
    "queue": "not serving its queue",
    "closed": "behind a closed queue",
    "cool_down": "cooling down from it",
    "offered": "already having an offer of it",
    "owner": "having it",
    "never_pair": "never to be paired with its customer",
    "drain": "kept free for other work",
    "hold": "waiting while it is kept for another",
    "delay": "not due yet by their delay",
}
# Reasons of a presence that the router set, in words.
_ABSENT = {
    "lease": "the desktop has neither polled nor streamed within the lease",
    "missed_offers": "too many offers were missed in a row",
}
_ENDS = {
    "abandoned": "abandoned, the customer gave up",
    "queue_full": "queue_full, its queue was at its limit and there was nowhere to overflow to",
    "expired": "expired, nobody was free before it was too late for it (not_after)",
}
_HOLDS = {"waiting_on_customer": "waiting_on_customer, until the customer's next message"}
_READS = re.compile(r"\btask\.(?:attributes\.)?(?P<name>[a-z_]\w*)")
_VALUE_MAX = 40
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_IN_SECONDS = 600  # shorter spans stay in seconds


# -- a task


def of_task(ws: Workspace, task: Task, found: Candidates) -> str:
    if task.state in SEEKING:
        return _waits(ws, task, found)
    if task.state == "scheduled":
        when = format_instant(task.not_before_us) if task.not_before_us else "its time"
        return f"Scheduled: it begins to wait at {when}."
    if task.state in ("assigned", "wrapping"):
        return _has_agent(task)
    return of_ended(task)


def of_ended(task: Task) -> str:
    because = f": {_ENDS.get(task.reason, task.reason)}" if task.reason else ""
    who = f" by {task.agent_id}" if task.agent_id and task.state == "completed" else ""
    return f"{task.state.capitalize()}{who}{because}."


def _has_agent(task: Task) -> str:
    since = f" since {format_instant(task.assigned_us)}" if task.assigned_us else ""
    last = next((one for one in reversed(task.decisions) if one.kind == "assigned"), None)
    because = f": {last.because}" if last and last.because else ""
    why_held = _HOLDS.get(task.hold_reason or "", task.hold_reason)
    held = f"; on hold{f', {why_held}' if why_held else ''}" if task.held else ""
    doing = "In wrap-up with" if task.state == "wrapping" else "Assigned to"
    return f"{doing} {task.agent_id}{since}{because}{held}{_handed_on(task)}."


def _handed_on(task: Task) -> str:
    """A warm transfer: the agent keeps it until somebody has accepted."""
    if not task.warm:
        return ""
    to = task.target_agent or " or ".join(task.queues) or "others"
    return f"; handed on to {to}, where nobody has accepted it yet"


def _waits(ws: Workspace, task: Task, found: Candidates) -> str:
    offered = ", ".join(ws.offers[offer].agent_id for offer in task.offers)
    waited = span(seconds(waited_us(task, ws.now)))
    if offered:
        return f"Offered to {offered} after waiting {waited}."
    if not task.queues:
        return f"Waits {waited} without a queue: {_no_queue(task)}."
    place = " or ".join(task.queues)
    asked = f"Waits {waited} in {place} for {_whom(task)}"
    if found.admissible:
        return f"{asked}; {found.admissible} could have it now."
    return f"{asked}: {_nobody(found)}{_kept_free(task)}."


def _whom(task: Task) -> str:
    """The agent whom it is kept for, or whoever meets what it asks."""
    asked = capacity.active(task)
    asks = " and ".join(item.text for item in asked) or "any skill"
    anybody = f"an agent with {asks}{_read(task, asked)}"
    kept = capacity.kept_for(task)
    if kept is None:
        return anybody
    if task.target_agent is not None:
        return f"{kept}, whom it was transferred to"
    until = f" until {format_instant(task.hold_until_us)}" if task.hold_until_us else ""
    return f"{kept}, who is preferred{until}, and then for {anybody}"


def _read(task: Task, asked: Iterable[Requirement]) -> str:
    """The values of the task that rules read, such as its language."""
    names = dict.fromkeys(name for item in asked for name in _READS.findall(item.text))
    values = [f"its {name} is {_value(task, name)}" for name in names if name in _known(task)]
    return f" ({', '.join(values)})" if values else ""


def _known(task: Task) -> dict[str, Any]:
    """What rules read most of a task, by the name that they use."""
    return {
        **task.attributes,
        "language": task.language,
        "channel": task.channel,
        "kind": task.kind,
        "priority": task.priority,
    }


def _value(task: Task, name: str) -> str:
    value = _known(task)[name]
    return "unknown" if value in (None, "") else str(value)[:_VALUE_MAX]


def _kept_free(task: Task) -> str:
    if task.drain_agent is None:
        return ""
    until = f" until {format_instant(task.drain_until_us)}" if task.drain_until_us else ""
    return f"; {task.drain_agent} takes nothing else{until}, to have room for it"


def _no_queue(task: Task) -> str:
    return (
        "no rule of its policy matches" if task.reason == "no_rule" else task.reason or "none set"
    )


def _nobody(found: Candidates) -> str:
    if not found.total:
        return "there are no agents"
    parts = [f"{count} {_reason(kind)}" for kind, count in found.by_reason.items()]
    return f"of {found.total} agents {', '.join(parts)}"


def _reason(kind: str) -> str:
    return _REASONS.get(kind) or f"without {kind.removeprefix('skill ')}"


# -- an agent


def of_agent(desk: Desk, waiting: int, nearest: list[tuple[Task, list[Condition]]]) -> str:
    """`nearest`: the tasks that wait and lack least to be his, each with its conditions."""
    agent = desk.agent
    wraps = f", {desk.wrapping} in wrap-up," if desk.wrapping else ""
    has = f"{desk.id} has {_count(desk.tasks, 'task')}{wraps} and {_count(desk.offers, 'offer')}"
    if not desk.takes_work:
        because = agent.shown_reason
        reason = f" ({_ABSENT.get(because, because)})" if because else ""
        if agent.shown_status == "available" and agent.next_status is not None:
            why = f" ({agent.next_reason})" if agent.next_reason else ""
            return f"{has}; nothing more is offered, {agent.next_status}{why} comes after it."
        return f"{has}; nothing is offered while {agent.shown_status}{reason}."
    if not nearest:
        return f"{has}; nothing waits."
    task, conditions = nearest[0]
    failed = [lack(task, one) for one in conditions if not one.passed]
    wait = "1 task waits" if waiting == 1 else f"{waiting} tasks wait"
    if not failed:
        return f"{has}; {wait} and {task.id} is about to be offered."
    return f"{has}; {wait}, the nearest, {task.id}, not for {desk.id}: {', '.join(failed)}."


def _count(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def lack(task: Task, one: Condition) -> str:
    """A condition that fails, in words, and how far it is from holding."""
    told = next(_told(task, one), None)
    if told is not None:
        return told
    if one.value is None or isinstance(one.value, bool):
        return f"{one.text} does not hold"
    value = f"{one.value:.1f}" if isinstance(one.value, float) else one.value
    return f"{one.text} (is {value})"


def _told(task: Task, one: Condition) -> Iterator[str]:
    text, _, wraps = one.text.partition(", ")
    after = f", {wraps}" if wraps else ""
    if one.kind == "cool_down" and isinstance(one.value, int | float):
        yield f"cooling down from it for another {one.value:.0f} s"
    elif text.endswith(" units free") and isinstance(one.value, int | float):
        yield f"it needs {text.removesuffix(' free')}, {_free(one.value)}{after}"
    elif text.startswith("fewer than ") and one.value is not None:
        channel = text.rpartition(" ")[2]
        yield f"{one.value} of {channel} in hand, which is the limit{after}"
    elif one.kind == "never_pair":
        yield f"never to be paired with {task.customer_id}"
    elif one.kind == "hold":
        yield f"it is kept for {one.value}"
    elif one.kind == "drain":
        yield f"kept free for {one.value}, which comes first"
    elif one.kind == "delay" and isinstance(one.value, int | float):
        yield f"due after it has {text}, so far {one.value:.0f} s"
    elif one.kind in ("queue", "closed", "channel"):
        yield _not_served(one)


def _free(left: float) -> str:
    if left > 0:
        return f"{left:g} free"
    return "none free" if left == 0 else f"{-left:g} over capacity"


def _not_served(one: Condition) -> str:
    if one.kind == "closed":
        return "its queue is closed"
    kind, _, names = one.text.partition(" ")
    return f"does not serve the {kind} {names}"


def span(whole_s: float) -> str:
    """Seconds as people say them: 45 s, 380 s, 12 min, 3 h 5 min, 2 d 4 h."""
    if whole_s < _IN_SECONDS:
        return f"{whole_s:.0f} s"
    if whole_s < _HOUR_S:
        return f"{whole_s / _MINUTE_S:.0f} min"
    large, small, names = (
        (_HOUR_S, _MINUTE_S, ("h", "min")) if whole_s < _DAY_S else (_DAY_S, _HOUR_S, ("d", "h"))
    )
    many, left = divmod(int(whole_s), large)
    rest = f" {left // small} {names[1]}" if left >= small else ""
    return f"{many} {names[0]}{rest}"
