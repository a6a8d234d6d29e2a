"""Sorted keys with their ranks: how many come before one. For the position of waiting tasks."""

from bisect import bisect_left
from typing import Any

Key = Any  # whatever compares with the others
CHUNK_MAX = 512


class Ranks:
    """A sorted multiset in chunks: adding and taking away move at most one chunk.

    `_latest`: the key that was added last, with its chunk and place, until anything else changes: what
    has just come is what is asked for."""

    __slots__ = ("_at", "_chunks", "_lasts", "_latest", "_place", "_size")

    def __init__(self) -> None:
        self._chunks: list[list[Key]] = []
        self._lasts: list[Key] = []
        self._size = 0
        self._latest: Key | None = None
        self._at = self._place = 0

    def _chunk_of(self, key: Key) -> int:
        """The chunk where it is, or would be; beyond the last chunk: none."""
        return bisect_left(self._lasts, key) if len(self._lasts) > 1 else 0

    def add(self, key: Key) -> None:
        self._size += 1
        if not self._chunks or key > self._lasts[-1]:
            self._append(key)
            return
        self._latest = key
        self._at = at = self._chunk_of(key)
        chunk = self._chunks[at]
        self._place = place = bisect_left(chunk, key)
        chunk.insert(place, key)
        if len(chunk) > CHUNK_MAX:
            self._latest = None
            half = len(chunk) // 2
            self._chunks.insert(at + 1, chunk[half:])
            del chunk[half:]
            self._lasts.insert(at, chunk[-1])

    def _append(self, key: Key) -> None:
        """The commonest case: who comes last is last."""
        if not self._chunks or len(self._chunks[-1]) >= CHUNK_MAX:
            self._chunks.append([key])
            self._lasts.append(key)
        else:
            self._chunks[-1].append(key)
            self._lasts[-1] = key
        self._latest, self._at = key, len(self._chunks) - 1
        self._place = len(self._chunks[-1]) - 1

    def discard(self, key: Key) -> int:
        """Take the key away; one that is not there is no fault. Returns how many are left."""
        at = self._chunk_of(key)
        if at >= len(self._chunks):
            return self._size
        chunk = self._chunks[at]
        place = bisect_left(chunk, key)
        if place >= len(chunk) or chunk[place] != key:
            return self._size
        self._latest = None
        del chunk[place]
        self._size -= 1
        if chunk:
            if place == len(chunk):
                self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at]
            del self._lasts[at]
        return self._size

    def before(self, key: Key) -> int:
        """How many keys are smaller."""
        if key is self._latest:
            at, place = self._at, self._place
        else:
            at = self._chunk_of(key)
            if at >= len(self._chunks):
                return self._size
            place = bisect_left(self._chunks[at], key)
        return self._before(at) + place if at else place

    def _before(self, at: int) -> int:
        """Keys in the chunks before one, counted from the nearer end."""
        if 2 * at > len(self._chunks):
            return self._size - sum(map(len, self._chunks[at:]))
        return sum(map(len, self._chunks[:at]))

    def __len__(self) -> int:
        return self._size
