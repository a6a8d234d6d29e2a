"""Whether every promise held: the topics and the ledger of answers are compared, nothing else."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from shared.testing.kill_calls import Ledger
from shared.testing.kill_clocks import ENDS, check_clocks, clocks_of
from shared.testing.kill_setup import BOT, CAPACITY, CHATS, COST
from shared.testing.kill_topics import Data, Event, Topics

MOST_OFFERS = 3
"""Of one task at a time: two in parallel, and one more to a supervisor."""
STEERED = frozenset({"transfer", "requeue", "hold", "assign"})
_ROUTES = ("task.created", "task.reopened", "task.message")


class Task(msgspec.Struct):
    """A task as the events so far tell it. `done_by` are the agents who completed it, at once or into
    wrap-up. `warm`: its agent has it until another accepts."""

    owner: str | None = None
    open: bool = True
    warm: bool = False
    wrapping: bool = False
    done_by: list[str] = []
    told: list[str] = []
    assigned: list[tuple[str | None, str]] = []


class Floor:
    """One workspace, replayed from routing.events."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.tasks: dict[str, Task] = {}
        self.offers: dict[str, tuple[str, str]] = {}
        self.accepted: dict[str, tuple[str, str]] = {}
        self.routed: Counter[str] = Counter()
        self.steered: Counter[tuple[str, str]] = Counter()
        self.over: set[str] = set()
        """Agents whom a supervisor gave more than they can take, until they have less again."""
        self.problems: list[str] = []

    def take(self, event: Event) -> None:
        kind = event.type.removeprefix("routing.").removesuffix(".v1")
        data = event.data
        if kind in _ROUTES and data["event_id"] is not None:
            self.routed[data["event_id"]] += 1
        if kind.startswith("offer."):
            self._offer(kind, data)
        elif kind.startswith("task."):
            self._task(kind, data)
        if data.get("agent_id") and kind != "offer.accepted":  # the task is his with the next event
            self._weigh(data["agent_id"], event.sequence)

    def _wrong(self, said: str) -> None:
        self.problems.append(f"{self.workspace}: {said}")

    def _offer(self, kind: str, data: Data) -> None:
        offer, task, agent = data["offer_id"], data["task_id"], data["agent_id"]
        if kind == "offer.created":
            others = [whose for one, whose in self.offers.values() if one == task]
            if agent in others or len(others) >= MOST_OFFERS:
                self._wrong(f"{task} is offered to {agent}, and to {others} already")
            if self.tasks[task].owner is not None and not self.tasks[task].warm:
                self._wrong(f"{task} is offered while {self.tasks[task].owner} has it")
            self.offers[offer] = (task, agent)
            return
        if self.offers.pop(offer, None) != (task, agent):
            self._wrong(f"{kind} of {offer}, which was not open for {agent}")
        if kind == "offer.accepted":
            self.accepted[offer] = (task, agent)

    def _task(self, kind: str, data: Data) -> None:
        name = data["task_id"]
        if kind == "task.created":
            if name in self.tasks:
                self._wrong(f"{name} is created twice")
            self.tasks[name] = Task()
            return
        task = self.tasks[name]
        task.told.append(kind.removeprefix("task."))
        if verb := _steered(kind, data):
            self.steered[verb, name] += 1
        if kind == "task.assigned":
            self._assign(name, task, data)
        elif kind in ("task.requeued", "task.transferred"):
            task.warm = data.get("mode") == "warm"
            task.owner = task.owner if task.warm else None
        elif kind == "task.reopened":
            if task.open:
                self._wrong(f"{name} is reopened while it is open")
            task.open = True
        elif kind == "task.wrapping":
            task.done_by.append(data["agent_id"])
            task.wrapping, task.warm = True, False
        elif kind in ("task.completed", "task.cancelled"):
            self._end(kind, name, task, data)

    def _end(self, kind: str, name: str, task: Task, data: Data) -> None:
        if not task.open:
            self._wrong(f"{name} ends twice")
        if kind == "task.completed" and not task.wrapping:
            task.done_by.append(data["agent_id"])
        task.open, task.owner, task.warm, task.wrapping = False, None, False, False

    def _assign(self, name: str, task: Task, data: Data) -> None:
        agent, offer = data["agent_id"], data["offer_id"]
        by_hand = offer is None
        back = task.wrapping and task.owner == agent  # its customer wrote again
        if by_hand and not back:
            self.steered["assign", name] += 1
        if data.get("over_capacity"):
            self.over.add(agent)
        if not task.open or (task.owner is not None and not (task.warm or by_hand)):
            self._wrong(
                f"{name} goes to {agent} while {task.owner or 'nobody, as it ended,'} has it"
            )
        if not by_hand and self.accepted.get(offer) != (name, agent):
            self._wrong(f"{name} goes to {agent} without an accepted offer")
        task.owner, task.warm, task.wrapping = agent, False, False
        task.assigned.append((offer, agent))

    def _weigh(self, agent: str, sequence: int) -> None:
        held = sum(task.owner == agent for task in self._alive())
        held += sum(whose == agent for _, whose in self.offers.values())
        if held <= CHATS and held * COST <= CAPACITY:
            self.over.discard(agent)
        elif agent not in self.over and agent != BOT:
            self._wrong(f"{agent} holds {held} at event {sequence}")

    def _alive(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.open]

    @property
    def unfinished(self) -> int:
        return len(self._alive())


def _steered(kind: str, data: Data) -> str:
    """The verb of the command that the event of a task tells of; "" where none."""
    match kind:
        case "task.transferred":
            return "transfer"
        case "task.requeued" if data["reason"] == "moved":
            return "requeue"
        case "task.held":
            return "hold"
        case _:
            return ""


def unfinished(topics: Topics, ledger: Ledger) -> list[str]:
    """What is still on its way: not a fault yet."""
    waiting: list[str] = []
    routed: set[str] = set()
    for name, events in topics.routing.items():
        floor = Floor(name)
        for event in events:
            floor.take(event)
        routed |= set(floor.routed)
        if floor.unfinished:
            waiting.append(f"{name}: {floor.unfinished} tasks")
    left = [one for one in ledger.posted if one not in routed]
    if left:
        waiting.append(f"{len(left)} events not routed")
    for name, events in topics.sla.items():
        clocks = clocks_of(events).values()
        running = [one for one in clocks if not set(ENDS) & set(one.said)]
        if running:
            waiting.append(f"{name}: {len(running)} clocks")
    clocked = {event.data["conversation_id"] for its in topics.sla.values() for event in its}
    unseen = {one.conversation for one in ledger.posted.values()} - clocked
    if unseen:
        waiting.append(f"{len(unseen)} conversations without a clock")
    return waiting


def check(topics: Topics, ledger: Ledger) -> list[str]:
    """Every broken promise, in words; [] when all were kept."""
    floors: dict[str, Floor] = {}
    for name, events in topics.routing.items():
        floor = floors[name] = Floor(name)
        for event in events:
            floor.take(event)
    problems = [*topics.problems, *(f"dead letter: {one[:300]}" for one in topics.dead)]
    for floor in floors.values():
        problems += floor.problems
        problems += _unended(floor)
    problems += _routed_once(topics, ledger, floors)
    problems += _honoured(ledger, floors)
    problems += _never_stale(ledger)
    for name, events in topics.sla.items():
        problems += check_clocks(name, topics, events)
    return problems


def check_journal(workspace: str, journal: Sequence[Data], topics: Topics) -> list[str]:
    """`GET events` has no gap, and what is on the topic stands in it as it is."""
    numbers = [each["seq"] for each in journal]
    problems: list[str] = []
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append(f"{workspace}: the journal's numbers are not 1 to {len(numbers)}")
    told = {each["seq"]: (each["type"], each["data"]) for each in journal}
    for event in topics.routing.get(workspace, ()):
        if told.get(event.sequence) != (event.type, event.data):
            problems.append(f"{workspace}: event {event.sequence} is another in the journal")
    return problems


def _unended(floor: Floor) -> list[str]:
    return [
        f"{floor.workspace}: {name} never ended: {task.owner} has it, {task.told[-6:]}"
        for name, task in floor.tasks.items()
        if task.open
    ]


def _routed_once(topics: Topics, ledger: Ledger, floors: dict[str, Floor]) -> list[str]:
    problems: list[str] = []
    for posted in (*ledger.posted.values(), *ledger.replies):
        if posted.event_id not in topics.interactions:
            problems.append(f"{posted} was answered and is on no topic")
    for posted in ledger.posted.values():
        times = floors[posted.workspace].routed[posted.event_id]
        if times != 1:
            problems.append(f"{posted} was routed {times} times")
    for floor in floors.values():
        strange = [one for one in floor.routed if one not in topics.interactions]
        problems += [f"{floor.workspace} routed {one}, which is on no topic" for one in strange]
    return problems


def _honoured(ledger: Ledger, floors: dict[str, Floor]) -> list[str]:
    problems: list[str] = []
    for taken in ledger.taken:
        task = floors[taken.workspace].tasks.get(taken.task)
        if task is None or (taken.offer, taken.agent) not in task.assigned:
            problems.append(f"{taken} was answered and did not happen")
    for workspace, name in ledger.created:
        if name not in floors[workspace].tasks:
            problems.append(f"{workspace}: {name} was answered and not created")
    for workspace, floor in floors.items():
        problems += _steered_once(workspace, floor, ledger)
    claims = Counter((one.workspace, one.task, one.agent) for one in ledger.done)
    for (workspace, name, agent), times in claims.items():
        if floors[workspace].tasks[name].done_by.count(agent) < times:
            problems.append(f"{workspace}: {agent} completed {name} {times} times: not so")
    return problems


def _steered_once(workspace: str, floor: Floor, ledger: Ledger) -> list[str]:
    """What was commanded of tasks happened as often as it was answered, and nothing else did."""
    answered = {
        (verb, task): times
        for (whose, verb, task), times in ledger.steered.items()
        if whose == workspace and verb in STEERED
    }
    return [
        f"{workspace}: {verb} of {task} was answered {answered.get((verb, task), 0)} times and"
        f" happened {floor.steered[verb, task]} times"
        for verb, task in sorted(answered.keys() | floor.steered.keys())
        if answered.get((verb, task), 0) != floor.steered[verb, task]
    ]


def _never_stale(ledger: Ledger) -> list[str]:
    """A look that was sent after another had come shows nothing older."""
    problems: list[str] = []
    whose: dict[tuple[str, str], int] = {}
    by_sent = sorted(ledger.looks, key=lambda one: one.sent)
    by_got = iter(sorted(ledger.looks, key=lambda one: one.got))
    come = next(by_got, None)
    for look in by_sent:
        while come is not None and come.got <= look.sent:
            key = (come.workspace, come.agent)
            whose[key] = max(whose.get(key, 0), come.revision)
            come = next(by_got, None)
        known = whose.get((look.workspace, look.agent), 0)
        if look.revision < known:
            problems.append(f"{look} after revision {known} had been shown")
    return problems
