"""What this process itself has appended, handed to its readers without asking PostgreSQL again."""

from collections import deque
from collections.abc import Sequence

from shared.bus.port import Outgoing, Record

MOST_BYTES = 8 << 20
"""Of one partition that wait for a reader; with more they are read from PostgreSQL instead."""


class Pushed:
    """One reader's, of one partition: records that are committed and follow each other."""

    __slots__ = ("_bytes", "_records")

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def put(self, records: Sequence[Record], size: int) -> None:
        """Behind those that are here; where they do not follow, instead of them. `size`: their
        bytes, as `size_of` counts them."""
        if self._records and self._records[-1].offset + 1 != records[0].offset:
            self.clear()
        self._records.extend(records)
        self._bytes += size
        if self._bytes > MOST_BYTES:
            self.clear()

    def begins_at(self, position: int) -> bool:
        """Whether the record at `position` is the next one; those before it are dropped."""
        while self._records and self._records[0].offset < position:
            self._bytes -= size_of(self._records.popleft())
        return bool(self._records) and self._records[0].offset == position

    def take(self, most: int, room: int) -> tuple[list[Record], int]:
        """At most `most`, until `room` bytes are reached, and how many bytes they are; one always
        comes."""
        taken: list[Record] = []
        before = self._bytes
        if len(self._records) <= most and before <= room:
            taken += self._records
            self.clear()
        while self._records and len(taken) < most and before - self._bytes < room:
            record = self._records.popleft()
            self._bytes -= size_of(record)
            taken.append(record)
        return taken, before - self._bytes

    def clear(self) -> None:
        self._records.clear()
        self._bytes = 0


def size_of(record: Record | Outgoing) -> int:
    """Bytes of key and value."""
    return len(record.key or b"") + len(record.value or b"")
