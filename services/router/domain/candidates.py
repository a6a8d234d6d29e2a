"""Every agent held against a task, fast: the first condition that each fails, and who is nearest.

`capacity.conditions` states all conditions with their values, too slowly for thousands of agents; here
they are the columns of the roster (roster.py), one after the other in the same order. The few whom the
task itself tells from the others are judged singly. A test holds one to the other.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from services.router.domain import capacity, roster, slots
from services.router.domain.desk import Desk
from services.router.domain.roster import FREE, PRESENCE, WORDS, Roster
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace

LACKS_MAX = 250  # of more conditions that he lacks, an agent is as far away as with so many
_CELL = 255  # all bits of one agent's cell

# How near an agent is: one who lacks nothing, one who is only absent, and then by what he lacks.
_PRESENT, _ABSENT = 0, 1
_LEVELS = bytes([_PRESENT, *(min(lacks + 1, 255) for lacks in range(1, 256))])
_IS_ABSENT = bytes(value == PRESENCE for value in range(256))


class Candidates(NamedTuple):
    """All agents of the workspace: how many fail first under each kind of condition, the commonest
    first; and how far away each is, by his place in the roster."""

    total: int
    admissible: int
    by_reason: dict[str, int]
    levels: bytes
    roster: Roster


NOBODY = Candidates(0, 0, {}, b"", Roster())


class _Judgement:
    """A task held against all agents, condition after condition. `able`: who failed none so far;
    `lacks`: of each how many of the conditions that only configuration can change."""

    def __init__(self, everyone: int) -> None:
        self.able = self.everyone = everyone
        self.lacks = self.asked = 0
        self.failed: Counter[str] = Counter()

    def ask(self, kind: str, holds: int, *, configured: bool = True) -> None:
        """`holds`: of whom the condition is true."""
        still = self.able & holds
        if still != self.able:
            self.failed[kind] += (self.able ^ still).bit_count()
            self.able = still
        if configured and self.asked < LACKS_MAX:
            self.lacks += self.everyone ^ (self.everyone & holds)
            self.asked += 1


def candidates(ws: Workspace, task: Task) -> Candidates:
    """Every agent held against the task."""
    agents = roster.look(ws)
    direct = [one for one in slots.direct_to(ws, task) if one in agents.places]
    found = _Judgement(_without(agents.everyone(), agents, direct))
    _ask_configured(ws, task, agents, found)
    size = len(agents.desks)
    standing = (agents.moment(ws, task.channel) & found.able * _CELL).to_bytes(size, "little")
    failed = found.failed
    for value, word in WORDS.items():
        failed[word] += standing.count(value)
    admissible = _pair(ws, task, agents, standing, failed)
    absent = int.from_bytes(standing.translate(_IS_ABSENT), "little")
    far = int.from_bytes(found.lacks.to_bytes(size, "little").translate(_LEVELS), "little")
    levels = bytearray((far + absent).to_bytes(size, "little"))
    for agent_id in dict.fromkeys(direct):
        failure, levels[agents.places[agent_id]] = _direct(ws, task, ws.desks[agent_id])
        if failure is None:
            admissible += 1
        else:
            failed[failure] += 1
    reasons = {
        name: failed[name] for name in sorted(failed, key=lambda n: (-failed[n], n)) if failed[name]
    }
    return Candidates(len(ws.desks), admissible, reasons, bytes(levels), agents)


def _without(everyone: int, agents: Roster, names: Iterable[str]) -> int:
    for name in set(names):
        everyone ^= 1 << 8 * agents.places[name]
    return everyone


def _ask_configured(ws: Workspace, task: Task, agents: Roster, found: _Judgement) -> None:
    """`capacity.configured`, for all who are not named by the task."""
    found.ask("queue", agents.serving(task.queues))
    opened = [queue for queue in task.queues if queue not in ws.closed_queues]
    found.ask("closed", agents.serving(opened), configured=False)
    for item in capacity.active(task):
        if not (item.skill and item.preferred):  # which rules nobody out
            found.ask(item.condition_text, agents.meeting(ws, item))
    found.ask("channel", agents.on(task.channel))


def _pair(
    ws: Workspace, task: Task, agents: Roster, standing: bytes, failed: Counter[str]
) -> int:  # fmt: skip
    """`capacity.pairing`, for those who have room: who is apart for this task is judged singly, all
    others wait while it is kept for one. Returns how many may have it."""
    kept = capacity.kept_for(task)
    apart = _apart(ws, task)
    if kept is None:
        free = int.from_bytes(standing.translate(_IS_FREE), "little")
        late = (agents.delayed() & free).to_bytes(len(standing), "little")
        apart |= {desk.id for place in _places(late) if (desk := agents.desks[place]) is not None}
    others, admissible = standing.count(FREE), 0
    for agent_id in apart:
        place = agents.places.get(agent_id)
        if place is None or standing[place] != FREE:
            continue
        others -= 1
        conditions = capacity.pairing(ws, task, ws.desks[agent_id])
        failure = next((one.kind for one in conditions if not one.passed), None)
        if failure is None:
            admissible += 1
        else:
            failed[failure] += 1
    if kept is None:
        return admissible + others
    failed["hold"] += others
    return admissible


_IS_FREE = bytes(value == FREE for value in range(256))


def _apart(ws: Workspace, task: Task) -> set[str]:
    """Whom this task, or what they are kept free for, tells from the others."""
    found = {*task.refused, *task.never, *ws.drains}
    found |= {ws.offers[offer].agent_id for offer in task.offers}
    found |= {one for one in (task.agent_id, capacity.kept_for(task)) if one is not None}
    return found


def _places(cells: bytes) -> Iterable[int]:
    """Places of the agents whose cell is 1."""
    place = cells.find(1)
    while place >= 0:
        yield place
        place = cells.find(1, place + 1)


def _direct(ws: Workspace, task: Task, desk: Desk) -> tuple[str | None, int]:
    """For who may have the task past its requirements: what he fails first, and how far he is."""
    failed = [one.kind for one in capacity.conditions(ws, task, desk) if not one.passed]
    lacks = failed.count("channel")
    first = failed[0] if failed else None
    return first, 2 if lacks else _ABSENT if first == "presence" else _PRESENT


def nearest(found: Candidates, most: int) -> list[Desk]:
    """Those who lack least, present before absent, less loaded before more loaded."""
    levels, agents = found.levels, found.roster
    chosen: list[int] = []
    for level in sorted(set(levels)):
        left = most - len(chosen)
        if left <= 0:
            break
        chosen += islice((place for place in agents.order if levels[place] == level), left)
    return [desk for place in chosen if (desk := agents.desks[place]) is not None]
