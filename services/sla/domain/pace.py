"""How fast queues go: running means, and the instant by which a clock's stop is to be expected."""

from bisect import bisect_left, insort

import msgspec

from services.sla.domain.clock import Clock
from services.sla.domain.conversation import Live
from services.sla.domain.events import Event
from shared.contracts.core import Entity

WEIGHT = 5  # one part in so many of a mean is the newest sample
SAMPLES_MIN = 5  # below this nothing is foretold
GAP_MAX_US = 3_600_000_000  # a longer gap between assignments says that nobody was waiting


_TEACHES = frozenset({"assigned", "agent_message", "resolved"})


class Pace(msgspec.Struct, gc=False):
    """Running means of a queue, in microseconds: between assignments, from assignment to the first
    answer, from assignment to resolution; and how many samples each has."""

    queue: str
    gap_us: int = 0
    gaps: int = 0
    reply_us: int = 0
    replies: int = 0
    handle_us: int = 0
    handles: int = 0
    assigned_us: int = 0

    def assigned(self, at_us: int) -> None:
        if self.assigned_us and 0 <= at_us - self.assigned_us <= GAP_MAX_US:
            self.gap_us = _mean(self.gap_us, self.gaps, at_us - self.assigned_us)
            self.gaps += 1
        self.assigned_us = max(self.assigned_us, at_us)

    def replied(self, span_us: int) -> None:
        self.reply_us = _mean(self.reply_us, self.replies, span_us)
        self.replies += 1

    def resolved(self, span_us: int) -> None:
        self.handle_us = _mean(self.handle_us, self.handles, span_us)
        self.handles += 1


def _mean(before: int, samples: int, new: int) -> int:
    parts = min(samples + 1, WEIGHT)
    return before + (new - before) // parts


class Paces:
    """The queues of one workspace: their pace, and who waits in which order."""

    def __init__(self) -> None:
        self.of: dict[str, Pace] = {}
        self.changed: set[str] = set()
        self._waiting: dict[str, list[tuple[int, str]]] = {}
        self._place: dict[str, tuple[str, int]] = {}

    def pace(self, queue: str) -> Pace:
        return self.of.setdefault(queue, Pace(queue))

    def follow(self, name: str, place: tuple[str, int] | None) -> None:
        """Keeps the place of a conversation that waits for an agent: its queue, and since when."""
        before = self._place.get(name)
        if place == before:
            return
        if before is not None:
            del self._place[name]
            listed = self._waiting[before[0]]
            del listed[bisect_left(listed, (before[1], name))]
        if place is not None:
            self._place[name] = place
            insort(self._waiting.setdefault(place[0], []), (place[1], name))

    def take_places(self, places: list[tuple[str, str, int]]) -> None:
        """Many at once, after loading: conversation, queue, since when."""
        for name, queue, since_us in places:
            self._place[name] = (queue, since_us)
            self._waiting.setdefault(queue, []).append((since_us, name))
        for waiting in self._waiting.values():
            waiting.sort()

    def changes(self) -> list[Entity]:
        changed, self.changed = self.changed, set()
        return [self._entity(queue) for queue in changed]

    def dump(self) -> list[Entity]:
        return [self._entity(queue) for queue in self.of]

    def load(self, entity: Entity) -> None:
        assert entity.body is not None
        self.of[entity.key] = msgspec.msgpack.decode(entity.body, type=Pace)

    def _entity(self, queue: str) -> Entity:
        return Entity("pace", queue, msgspec.msgpack.encode(self.of[queue]))

    def heard(self, live: Live, event: Event) -> None:
        """Learns from an event of a task: an assignment, the first answer after it, its end."""
        record = live.record
        if event.type not in _TEACHES or record.task_id is None:
            return
        queue = live.fold.episode.facts.task.get("queue")
        if not isinstance(queue, str):
            return
        if event.type == "assigned":
            self.pace(queue).assigned(event.at_us)
            record.assigned_us, record.replied = event.at_us, False
        elif record.assigned_us is None or event.at_us < record.assigned_us:
            return
        elif event.type == "agent_message" and not record.replied:
            self.pace(queue).replied(event.at_us - record.assigned_us)
            record.replied = True
        elif event.type == "resolved":
            self.pace(queue).resolved(event.at_us - record.assigned_us)
        else:
            return
        self.changed.add(queue)

    def expected_us(self, live: Live, clock: Clock, now_us: int) -> int | None:
        """When the clock's stop is to be expected; None when too little is known.

        A task that waits: its place times the mean gap between assignments (or what the router
        estimated), then the mean time to an answer or to the end; an assigned one: the mean from
        its assignment on.
        """
        task, record = live.fold.episode.facts.task, live.record
        queue = task.get("queue")
        pace = self.of.get(queue) if isinstance(queue, str) else None
        if pace is None:
            return None
        if clock.metric == "time_to_assign":
            after, known = 0, True
        elif clock.metric == "resolution":
            after, known = pace.handle_us, pace.handles >= SAMPLES_MIN
        else:
            after, known = pace.reply_us, pace.replies >= SAMPLES_MIN
        if not known:
            return None
        if record.assigned_us is not None and task.get("agent_id"):
            began = record.assigned_us
            if clock.metric == "next_response":
                began = max(began, clock.started_us)
            expected = began + after
            return expected if expected > now_us else None
        assigned = self._assigned_us(live, pace, now_us)
        return None if assigned is None else assigned + after

    def _assigned_us(self, live: Live, pace: Pace, now_us: int) -> int | None:
        if live.record.estimate_us is not None and live.record.estimate_us > now_us:
            return live.record.estimate_us
        place = self._place.get(live.conversation.id)
        if place is None or pace.gaps < SAMPLES_MIN:
            return None
        ahead = bisect_left(self._waiting[place[0]], (place[1], live.conversation.id))
        return now_us + (ahead + 1) * pace.gap_us
