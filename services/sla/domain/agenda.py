"""When something is due next on each conversation."""

import heapq
from collections.abc import Iterator

from services.sla.domain.conversation import Live
from services.sla.domain.due import NEVER_US, next_due_us

RETENTION_US = 7 * 86_400_000_000  # after the last event, when nothing is open


def next_on(live: Live) -> int:
    """When something happens to an episode by itself: a warning, a breach, or it is put away."""
    due, own = next_due_us(live), live.fold.next_us()
    if due is not None:
        return due if own is None else min(due, own)
    if own is not None:
        return own
    if live.record.task_id is not None and not live.ended:
        return NEVER_US  # its end counts in the figures, however late
    for clock in live.fold.episode.clocks:
        if clock.is_open:
            return NEVER_US
    return live.record.touched_us + RETENTION_US


class Agenda:
    """One instant for each conversation. One that is put off keeps its place until that comes, and
    only then takes its new one, so that moving it is cheap."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._queued: dict[str, int] = {}  # its first place on the heap, never after it is due
        self._heap: list[tuple[int, str]] = []

    def due_us(self, name: str) -> int:
        return self._due.get(name, NEVER_US)

    def put(self, name: str, at_us: int) -> None:
        """Something is due then (NEVER_US: nothing is), whatever was due before."""
        if at_us == NEVER_US:
            self._due.pop(name, None)
            return
        self._due[name] = at_us
        if at_us < self._queued.get(name, NEVER_US):
            self._queued[name] = at_us
            heapq.heappush(self._heap, (at_us, name))

    def put_unsorted(self, name: str, at_us: int) -> None:
        """One of many that were stored; `sort` must follow."""
        if at_us != NEVER_US:
            self._due[name] = self._queued[name] = at_us
            self._heap.append((at_us, name))

    def sort(self) -> None:
        heapq.heapify(self._heap)

    def first_us(self) -> int | None:
        heap, queued = self._heap, self._queued
        while heap:
            at_us, name = heap[0]
            due_us = self._due.get(name)
            if due_us == at_us:
                return at_us
            if queued.get(name) != at_us:  # one that has an earlier place
                heapq.heappop(heap)
            elif due_us is None:
                heapq.heappop(heap)
                del queued[name]
            else:
                heapq.heapreplace(heap, (due_us, name))
                queued[name] = due_us
        return None

    def take(self, now_us: int) -> Iterator[tuple[int, str]]:
        """What is due until now, in order of its time; each may put more."""
        while (at_us := self.first_us()) is not None and at_us <= now_us:
            name = heapq.heappop(self._heap)[1]
            del self._due[name]
            self._queued.pop(name, None)
            yield at_us, name

    def take_of(self, name: str, now_us: int) -> Iterator[int]:
        """The same of one conversation alone, before its turn."""
        while (at_us := self.due_us(name)) <= now_us:
            del self._due[name]
            yield at_us
