"""What the next batch takes from the inbox: what is known, was not answered, and was not seen before."""

from collections.abc import Awaitable
from typing import TypeVar

from shared.contracts.problems import Refused
from shared.runtime.arrivals import Arrival
from shared.runtime.inbox import Inbox, Taken
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.port import Reply
from shared.runtime.roster import Roster
from shared.runtime.round import answer
from shared.runtime.store.port import Store

T = TypeVar("T")
PACE_MIN = 16


class Gathering:
    """One shard's. `stray`: what was taken and belongs to no workspace, or cannot be read.

    `pace` is how many inputs a batch has time for: to take more would be to look them up twice.
    """

    def __init__(
        self, inbox: Inbox, roster: Roster, store: Store, limits: Limits, metrics: RuntimeMetrics
    ) -> None:
        self._inbox = inbox
        self._roster = roster
        self._store = store
        self._limits = limits
        self._metrics = metrics
        self._pace = PACE_MIN
        self.stray: list[tuple[str, Arrival]] = []

    def take(self, most: int, *, paced: bool) -> Taken:
        """Up to `most`; `paced`: as many as there is time for."""
        if paced:
            most = min(most, self._pace)
        known = self._roster.workspaces
        taken: Taken = []
        for each in self._inbox.take(most, self._limits.batch_bytes):
            if each[0] in known and each[1].what is not None:
                taken.append(each)
            else:
                self.stray.append(each)
        return taken

    def took(self, reached: int, left: int) -> None:
        """A batch reached so many of what it took, and had no time for `left`."""
        if left:
            self._pace = max(PACE_MIN, reached)
        elif reached >= self._pace:
            self._pace = min(self._limits.batch_inputs, self._pace * 2)

    async def new_ones(self, taken: Taken) -> Taken:
        """Those that were neither answered nor seen. Raises StoreUnavailable, and then all of them
        are back in the inbox."""
        return await self._drop_seen(await self._recall(taken))

    async def _recall(self, taken: Taken) -> Taken:
        """Answer at once what was answered before."""
        keys = {
            (name, arrival.idempotency.scope, arrival.idempotency.key): arrival
            for name, arrival in taken
            if arrival.idempotency is not None
        }
        if not keys:
            return taken
        for key, row in (await self._guarded(self._store.replies(list(keys)), taken)).items():
            arrival = keys[key]
            assert arrival.idempotency is not None and arrival.future is not None
            arrival.done = True
            if row.fingerprint == arrival.idempotency.fingerprint:
                answer([(arrival.future, Reply(row.body, replayed=True))])
            else:
                refused = Refused(
                    "idempotency-mismatch", "The Idempotency-Key was used with another body."
                )
                answer([(arrival.future, refused)])
        return [each for each in taken if not each[1].done]

    async def _drop_seen(self, taken: Taken) -> Taken:
        keys = [arrival.seen_key for _, arrival in taken if arrival.seen_key is not None]
        if not keys:
            return taken
        seen = await self._guarded(self._store.seen(keys), taken)
        if not seen:
            return taken
        rest: Taken = []
        for each in taken:
            if each[1].seen_key in seen:
                each[1].done = True
            else:
                rest.append(each)
        self._metrics.duplicates.labels(self._store.service).inc(len(taken) - len(rest))
        return rest

    async def _guarded(self, reading: Awaitable[T], taken: Taken) -> T:
        """What was taken is still known to those who wait when the store fails now."""
        try:
            return await reading
        except Exception:
            self._inbox.put_back(taken)
            raise
