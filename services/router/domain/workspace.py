"""One workspace in memory: its entities, the journal it writes, and what is derived from both.

Every change of an entity goes through `edit` (before the change), so that `changes` knows what to
store and a refused command can be undone.
"""

import heapq
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from services.router.domain.config import DEFAULT_COST, Escalation, Queue, Settings, Team
from services.router.domain.customers import CustomerIndex
from services.router.domain.desk import Desk
from services.router.domain.escalation import Ladder, compile_ladder
from services.router.domain.policy import CompiledPolicy
from services.router.domain.pools import Pool, PoolKey
from services.router.domain.ranks import Ranks
from services.router.domain.state import (
    KINDS,
    Agent,
    Conversation,
    Meta,
    Offer,
    QueueFigures,
    QueueWeek,
    Resource,
    Task,
)
from shared.contracts.core import ConfigWrite, Emitted
from shared.contracts.ids import sequence
from shared.contracts.instants import format_instant
from shared.contracts.routing import TYPE_OF, RoutingEvent
from shared.contracts.topics import ROUTING_EVENTS

if TYPE_CHECKING:
    from services.router.domain.changed import Unseen
    from services.router.domain.counts import Counts
    from services.router.domain.histories import Histories
    from services.router.domain.roster import Roster
    from services.router.domain.shift_zones import Wanted
    from services.router.domain.waits import Waits

# Named limits: how much of what has ended stays in memory, so that late calls get exact answers.
ENDED_TASKS_MAX = 10_000
ENDED_OFFERS_MAX = 10_000
REOPENABLE_TASKS_MAX = (
    20_000  # completed, within `reopen_within_s`; beyond it the oldest leave first
)
CLOSED_CONVERSATIONS_MAX = 50_000
DECISIONS_MAX = 12
TIMERS_MIN = 4_096  # void timers are not looked for before there are so many

Mark = tuple[str, str]
Timer = tuple[int, int, int, str]
E = TypeVar("E", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode
pack = msgspec.msgpack.Encoder().encode
_DECODERS = {kind: msgspec.msgpack.Decoder(struct) for kind, struct in KINDS.items()}


def unpack(kind: str, body: bytes) -> Any:
    return _DECODERS[kind].decode(body)


class Workspace:
    """State (stored), derived indexes (rebuilt on load) and the outcome of the current input.

    With slots, since a class of so many fields has none of the interpreter's short cuts otherwise."""

    __slots__ = (
        "agents", "arrived", "at", "by_skill", "called", "catching_up", "closed_conversations",
        "closed_queues", "config", "conversations", "costs", "counts", "customers", "desks",
        "dirty", "drains", "edge_us", "ended_offers", "ended_tasks", "events", "figures",
        "forgotten", "freed", "has_shifts", "histories", "ladders", "leaving", "meta", "name",
        "new_id", "now", "offered", "offers", "pending", "policies", "pool_count", "pool_of",
        "pools", "queues", "ranked", "ranks", "removed", "reopenable", "roster", "seed", "seekers",
        "settings", "skipped", "stirred", "stored", "surging", "tasks", "team_members",
        "team_supervisors", "teams", "timers", "timers_max", "touched", "uncounted",
        "uncounted_agents", "undo", "undrained", "unplaced", "unranked", "unseen",
        "unseen_agents", "untold", "waits", "weeks", "wishes", "writes", "zones_wanted",
    )  # fmt: skip

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.seed = seed
        self.new_id = sequence("router", name)
        self.stored: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.tasks: dict[str, Task] = self.stored["task"]
        self.offers: dict[str, Offer] = self.stored["offer"]
        self.agents: dict[str, Agent] = self.stored["agent"]
        self.conversations: dict[str, Conversation] = self.stored["conversation"]
        self.figures: dict[str, QueueFigures] = self.stored["queue_figures"]
        self.weeks: dict[str, QueueWeek] = self.stored["queue_week"]
        self.meta = Meta()
        self.stored["meta"]["meta"] = self.meta
        # What has changed since it was last stored: kind → key → the entity, None where it is gone for
        # good; and which of these have left memory.
        self.dirty: dict[str, dict[str, Any]] = {kind: {} for kind in sorted(KINDS)}
        self.forgotten: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.removed: set[str] = set()  # kinds of which something may be gone for good
        self.undo: dict[Mark, bytes | None] | None = None
        self.writes = (
            True  # whether events are written out; a simulation may read only what they are
        )
        self.reset_derived()
        self.now, self.at = 0, format_instant(0)
        self.begin(0)

    def reset_derived(self) -> None:
        """Everything that load rebuilds from the entities."""
        self.desks: dict[str, Desk] = {}
        self.queues: dict[str, Queue] = {}
        self.policies: dict[str, CompiledPolicy] = {}
        self.ladders: dict[str, Ladder] = {}
        self.customers = CustomerIndex()
        self.use_settings(Settings())
        self.closed_queues: set[str] = set()
        self.edge_us: int | None = None  # when a calendar next opens or closes
        self.pools: dict[PoolKey, Pool] = {}
        self.pool_count = 0
        self.pool_of: dict[str, Pool] = {}
        self.wishes: dict[str, dict[str, None]] = {}
        self.pending: dict[str, int] = {}
        self.timers: list[Timer] = []
        self.timers_max = TIMERS_MIN
        self.seekers: dict[str, None] = {}
        self.arrived: dict[str, tuple[str, ...]] = {}
        self.freed: dict[str, None] = {}
        self.unplaced: dict[str, None] = {}  # changed, and their pools do not know yet
        self.ended_tasks: dict[str, None] = {}
        self.reopenable: dict[str, None] = {}
        self.ended_offers: dict[str, None] = {}
        self.closed_conversations: dict[str, None] = {}
        self.team_supervisors: dict[tuple[str, ...], list[str]] = {}
        self.team_members: dict[str, list[str]] = {}
        self.teams: dict[str, Team] = {}
        self.has_shifts = False
        self.surging: set[str] = set()
        self.skipped: dict[str, None] = {}
        self.zones_wanted: list[Wanted] | None = None  # None: to be looked for (shift_zones.py)
        self.drains: dict[str, str] = {}
        self.untold: dict[str, None] = {}
        self.undrained: dict[str, None] = {}  # began to wait in this input
        self.unranked: dict[str, None] = {}
        self.ranked: dict[str, list[tuple[dict[float, Ranks], float, Any]]] = {}
        self.ranks: dict[str, dict[float, Ranks]] = {}
        self.by_skill: dict[str, set[str]] = {}
        self.catching_up = False
        self.leaving: dict[str, None] = {}
        self.offered: tuple[int, dict[str, list[str]]] = (-1, {})  # by customer (desktops.py)
        # Kept for those who look: as of their last look, and what has changed since (changed.py).
        self.counts: Counts | None = None
        self.waits: Waits | None = None
        self.roster: Roster | None = None
        self.histories: Histories | None = None
        self.uncounted: set[str] = set()
        self.uncounted_agents: set[str] = set()
        self.unseen: Unseen = {}
        self.unseen_agents: Unseen = {}

    # -- the outcome of the current input

    def begin(self, now_us: int) -> None:
        if now_us != self.now:
            self.now = now_us
            self.at = format_instant(now_us)  # as events show it, and soon replies
        self.events: list[Emitted] = []
        self.touched: list[str] = []
        self.stirred: dict[str, None] = {}  # queues with other counts than before
        self.called: list[str] = []  # agents announced in this input
        self.config: list[ConfigWrite] = []

    def head(self) -> tuple[str, int, str]:
        """What the next event begins with: `ws.emit(SomeEvent(*ws.head(), …), key)`."""
        return self.name, self.meta.seq + 1, self.at

    def of(self, task: Task) -> tuple[str, int, str, str, str]:
        """What the next event of a task begins with: `ws.emit(SomeEvent(*ws.of(task), …))`. The events
        that every task has spell it out: with a `*` the names beside it pass through a dict, which
        costs more than the rest of the event."""
        return self.name, self.meta.seq + 1, self.at, task.id, task.conversation_id

    def emit(self, event: RoutingEvent, key: str | None = None) -> int:
        """Write an event to the journal, in the order of `key`, by default its conversation's; returns
        its sequence number."""
        meta, seq = self.meta, event.seq
        assert seq == meta.seq + 1, "another event was written meanwhile"
        meta.seq = seq
        where = event.conversation_id if key is None else key
        data = _encode(event) if self.writes else b""
        self.events.append(Emitted(seq, TYPE_OF[type(event)], ROUTING_EVENTS, where or "", data))
        return seq

    # -- entities

    def edit(self, kind: str, key: str, entity: E) -> E:
        """Announce a change of (or a new) entity: call it before changing a field."""
        if self.undo is not None:
            self._keep(kind, key)
        self.dirty[kind][key] = entity
        return entity

    def _keep(self, kind: str, key: str) -> None:
        """What the entity was before this input, in case it is undone."""
        if self.undo is not None and (kind, key) not in self.undo:
            known = self.stored[kind].get(key)
            self.undo[kind, key] = None if known is None else pack(known)

    def add(self, kind: str, key: str, entity: E) -> E:
        if self.undo is not None:
            self._keep(kind, key)
        self.dirty[kind][key] = entity
        self.forgotten[kind].discard(key)
        self.stored[kind][key] = entity
        return entity

    def task(self, task: Task) -> Task:
        """Announce a change of a task, and with it of what its agents see: once in an input, which its
        revision is, since whoever gets the task or an offer of it later in the same input is announced
        there."""
        number, name = self.meta.number, task.id
        if task.revision == number:
            return task
        self.uncounted.add(name)
        if self.undo is not None:
            self._keep("task", name)
        self.dirty["task"][name] = task
        task.revision = number
        self.touched.append(f"task:{name}")
        if task.agent_id is not None:
            self.touch_agent(task.agent_id)
        for offer in task.offers:
            self.touch_agent(self.offers[offer].agent_id)
        return task

    def touch_agent(self, agent_id: str) -> None:
        """Announce that an agent's work snapshot changes."""
        number, agent = self.meta.number, self.agents.get(agent_id)
        if agent is not None and agent.revision != number:
            self.called.append(agent_id)
            self.uncounted_agents.add(agent_id)
            if self.undo is not None:
                self._keep("agent", agent_id)
            self.dirty["agent"][agent_id] = agent
            agent.revision = number
            self.touched.append(f"agent:{agent_id}")

    def discard_changes(self) -> None:
        """What has changed is stored, or need not be."""
        for changed in self.dirty.values():
            changed.clear()
        for left in self.forgotten.values():
            left.clear()
        self.removed.clear()

    def remove(self, kind: str, key: str) -> None:
        """Delete an entity for good."""
        self.edit(kind, key, self.stored[kind][key])
        self.dirty[kind][key] = None
        self.removed.add(kind)
        del self.stored[kind][key]

    def forget(self, kind: str, key: str) -> None:
        """Let an entity leave memory: from now on it is history."""
        entity = self.stored[kind].get(key)
        if entity is None:
            return
        self.edit(kind, key, entity)
        self.forgotten[kind].add(key)
        del self.stored[kind][key]

    def resource(self, kind: str, key: str) -> Resource | None:
        return self.stored[kind].get(key)

    # -- timers

    def at_time(self, due_us: int | None, kind: int, number: int, key: str) -> None:
        if due_us is not None:
            heapq.heappush(self.timers, (due_us, kind, number, key))

    # -- words of the field

    def queue_of(self, task: Task) -> Queue | None:
        """The queue that rules for a task: the one it was assigned through, else its first."""
        name = task.queue or (task.queues[0] if task.queues else None)
        return None if name is None else self.queues.get(name)

    def use_settings(self, settings: Settings) -> None:
        self.settings = settings
        channels = {*DEFAULT_COST, *settings.channels}
        self.costs = {name: settings.channel(name).cost for name in channels}  # units of one task

    def held_cost(self, channel: str) -> int:
        """Units of one task of the channel while it is held."""
        rule = self.settings.channel(channel)
        return rule.cost if rule.held_cost is None else rule.held_cost

    def compile_ladder(self, body: bytes) -> Ladder:
        return compile_ladder(msgspec.json.decode(body, type=Escalation))
