"""A shard's inbox: a queue per workspace, taken in turns, and the log positions that are settled."""

from collections import deque
from collections.abc import Iterable

from shared.runtime.arrivals import Arrival
from shared.runtime.limits import Limits

Taken = list[tuple[str, Arrival]]


class Inbox:
    """Holds what arrived until a batch takes it. The caller asks `full` and `crowded` first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queues: dict[str, deque[Arrival]] = {}
        self._turns: deque[str] = deque()
        self._unsettled: dict[str, deque[Arrival]] = {}
        self._next: dict[str, int] = {}
        self._records = 0
        self._bytes = 0
        self._commands = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def waiting(self) -> int:
        """Records and commands that wait."""
        return self._records + self._commands

    @property
    def full(self) -> bool:
        """No more records, please."""
        return (
            self._records >= self._limits.inbox_records or self._bytes >= self._limits.inbox_bytes
        )

    @property
    def roomy(self) -> bool:
        """At most half full: more records are welcome again."""
        limits = self._limits
        return self._records <= limits.inbox_records // 2 and self._bytes <= limits.inbox_bytes // 2

    @property
    def crowded(self) -> bool:
        """No more commands, please."""
        return self._commands >= self._limits.commands

    def start(self, positions: dict[str, int]) -> None:
        """Reading begins at these offsets."""
        self._next = dict(positions)
        self._unsettled = {topic: deque() for topic in positions}

    def put(self, workspace: str, arrival: Arrival) -> None:
        """Behind all that waits for the workspace."""
        self.put_all([(workspace, arrival)])

    def put_all(self, arrived: Taken) -> None:
        """Each behind all that waits for its workspace; records in the order of their log."""
        queues, ends, unsettled = self._queues, self._next, self._unsettled
        for workspace, arrival in arrived:
            if (offset := arrival.offset) >= 0:
                topic = arrival.topic
                ends[topic] = offset + 1
                unsettled[topic].append(arrival)
            if (queue := queues.get(workspace)) is None:
                queue = queues[workspace] = deque()
                self._turns.append(workspace)
            queue.append(arrival)
        self._count(arrived, 1)

    def put_first(self, workspace: str, arrival: Arrival) -> None:
        """Before all that waits for the workspace: a word of the runtime's own."""
        assert arrival.offset < 0 and arrival.future is None
        self._push_back(workspace, arrival)

    def put_back(self, rest: Taken) -> None:
        """What a batch took and did not reach, in the order taken."""
        self._count(rest, 1)
        for workspace, arrival in reversed(rest):
            self._push_back(workspace, arrival)

    def _push_back(self, workspace: str, arrival: Arrival) -> None:
        queue = self._queues.get(workspace)
        if queue is None:
            queue = self._queues[workspace] = deque()
            self._turns.appendleft(workspace)
        queue.appendleft(arrival)

    def take(self, count: int, size: int) -> Taken:
        """One of each workspace in turn, up to `count`, and until `size` bytes are reached."""
        taken: Taken = []
        turns, queues = self._turns, self._queues
        while turns and len(taken) < count and size > 0:
            workspace = turns[0]
            queue = queues[workspace]
            arrival = queue.popleft()
            if not queue:
                turns.popleft()
                del queues[workspace]
            elif len(turns) > 1:
                turns.rotate(-1)
            size -= arrival.size
            taken.append((workspace, arrival))
        self._count(taken, -1)
        return taken

    def positions(self) -> dict[str, int]:
        """Per topic the lowest offset that is not done: where a successor goes on."""
        settled: dict[str, int] = {}
        for topic, waiting in self._unsettled.items():
            while waiting and waiting[0].done:
                waiting.popleft()
            settled[topic] = waiting[0].offset if waiting else self._next[topic]
        return settled

    def workspaces(self) -> Iterable[str]:
        return self._queues.keys()

    def clear(self) -> list[Arrival]:
        """Forget everything; returns what waited."""
        waiting = [arrival for queue in self._queues.values() for arrival in queue]
        self._queues.clear()
        self._turns.clear()
        self._unsettled.clear()
        self._next.clear()
        self._records = self._bytes = self._commands = 0
        return waiting

    def _count(self, arrivals: Taken, sign: int) -> None:
        sizes = [each.size for _, each in arrivals if each.offset >= 0]
        self._records += sign * len(sizes)
        self._bytes += sign * sum(sizes)
        if len(sizes) < len(arrivals):
            commands = sum(each.offset < 0 and each.future is not None for _, each in arrivals)
            self._commands += sign * commands
