"""Who is on duty: agents come and go as the periods say.

When a group's number falls, idle agents leave first, then whoever ends his work first; they take
nothing new. When it rises, those who were about to leave stay, then others come.
"""

from collections.abc import Iterator
from math import inf

from services.router.simulate.centre import Centre
from services.router.simulate.scenario import Group, Scenario
from services.router.simulate.tally import Tally
from shared.contracts.core import Outcome
from shared.contracts.instants import span_us


class Head:
    """One agent: since when he is on duty and since when he has had work (None: not so now)."""

    __slots__ = ("busy_us", "group", "id", "number", "on_us")

    def __init__(self, agent_id: str, group: int, number: int) -> None:
        self.id = agent_id
        self.group = group
        self.number = number
        self.on_us: int | None = None
        self.busy_us: int | None = None


class Staffing:
    """`ends`: by task id, when its service will end, kept by the replication."""

    def __init__(
        self, scenario: Scenario, centre: Centre, tally: Tally, ends: dict[str, int]
    ) -> None:
        self._groups: list[Group] = scenario.groups
        self._centre = centre
        self._tally = tally
        self._ends = ends
        self._teams = [
            [Head(agent, place, number) for number, agent in enumerate(group.agent_ids())]
            for place, group in enumerate(scenario.groups)
        ]
        self.heads = {head.id: head for team in self._teams for head in team}
        self._leaving: list[dict[Head, None]] = [{} for _ in self._teams]
        self.last_us = 0

    def group_of(self, agent_id: str) -> int:
        return self.heads[agent_id].group

    # -- what changes

    def change(self, period: int) -> Iterator[Outcome]:
        """Bring every group to its number in the period: first who leaves, then who comes."""
        wanted = [group.count[period] for group in self._groups]
        for place, count in enumerate(wanted):
            yield from self._fall(place, self._on_duty(place)[count:])
        for place, count in enumerate(wanted):
            yield from self._rise(place, count - len(self._on_duty(place)))

    def make_way(self, agent_id: str) -> Iterator[Outcome]:
        """The agent is about to end his work: he leaves instead of one who would work longer."""
        head = self.heads[agent_id]
        leaving = self._leaving[head.group]
        if not leaving or head in leaving:
            return
        longest = max(leaving, key=self._rank)
        if self._ends_us(head) < self._ends_us(longest):
            yield from self._send(head)
            yield self._keep(longest)

    def look(self, agent_id: str) -> None:
        """An input touched the agent: note when he comes, goes, begins or ends to work."""
        head = self.heads[agent_id]
        now = self._centre.now_us
        desk = self._centre.core.desks[agent_id]
        if desk.tasks:
            if head.busy_us is None:
                head.busy_us = now
        elif head.busy_us is not None:
            self._tally.worked(head.group, head.busy_us, now)
            head.busy_us, self.last_us = None, now
        if desk.agent.status != "offline":
            if head.on_us is None:
                head.on_us = now
        elif head.on_us is not None:
            self._tally.present(head.group, head.on_us, now)
            head.on_us = None
            self._leaving[head.group].pop(head, None)

    def close(self, now_us: int) -> None:
        """The simulation ends: so do all spans."""
        for head in self.heads.values():
            if head.busy_us is not None:
                self._tally.worked(head.group, head.busy_us, now_us)
                self.last_us = now_us
            if head.on_us is not None:
                self._tally.present(head.group, head.on_us, now_us)

    # -- who

    def _on_duty(self, place: int) -> list[Head]:
        leaving = self._leaving[place]
        return [h for h in self._teams[place] if h.on_us is not None and h not in leaving]

    def _fall(self, place: int, excess: list[Head]) -> Iterator[Outcome]:
        """`excess` is as long as the number that leaves."""
        ranked = sorted(self._on_duty(place), key=self._rank) if excess else []
        for head in ranked[: len(excess)]:
            yield from self._send(head)

    def _rise(self, place: int, missing: int) -> Iterator[Outcome]:
        if missing <= 0:
            return
        staying = sorted(self._leaving[place], key=self._rank, reverse=True)[:missing]
        for head in staying:
            yield self._keep(head)
        absent = [head for head in self._teams[place] if head.on_us is None]
        for head in absent[: missing - len(staying)]:
            yield self._centre.present(head.id)

    def _send(self, head: Head) -> Iterator[Outcome]:
        self._leaving[head.group][head] = None
        yield self._centre.leave(head.id)

    def _keep(self, head: Head) -> Outcome:
        del self._leaving[head.group][head]
        return self._centre.present(head.id)

    def _rank(self, head: Head) -> tuple[float, int]:
        """Idle ones first, the last of the team before the others; then by the end of the work."""
        return self._ends_us(head), -head.number

    def _ends_us(self, head: Head) -> float:
        """When the agent will have no work left; unknown (last) while an offer is open."""
        core = self._centre.core
        desk = core.desks[head.id]
        if desk.offers:
            return inf
        latest = -1.0
        for task_id in desk.tasks:
            task = core.tasks[task_id]
            if task.state == "wrapping":
                ends = (task.wrap_until_us or 0) - self._centre.start_us
            else:
                queue = core.queue_of(task)
                wrap = span_us(queue.wrap_up.limit_s) if queue and queue.wrap_up else 0
                ends = self._ends.get(task_id, 0) + wrap
            latest = max(latest, ends)
        return latest
