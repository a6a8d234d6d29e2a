"""The commit on its way: one at most, its callers answered as soon as it has ended."""

import asyncio
from collections.abc import Callable

from shared.runtime.clock import Clock
from shared.runtime.port import NotOwner, OutcomeUnknown
from shared.runtime.round import Round
from shared.runtime.store.port import Batch, CommitUnknown, StaleEpoch, Store, StoreUnavailable

Landed = Callable[[Round, Batch, float], None]
"""The batch is stored; the call was sent at this monotonic instant."""
Refused = Callable[[Round, Exception], None]
"""The store will never take the batch."""


class Flight:
    """One shard's. `ended` is called however a commit ends."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        landed: Landed,
        refused: Refused,
        nothing_done: Callable[[], Exception],
        ended: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._landed = landed
        self._refused = refused
        self._nothing_done = nothing_done
        self._ended = ended
        self._task: asyncio.Task[None] | None = None
        self.round: Round | None = None

    def __bool__(self) -> bool:
        """Whether a commit is on its way, or nobody has looked yet how it ended."""
        return self._task is not None

    def start(self, round_: Round, batch: Batch) -> None:
        assert self._task is None, "one commit at a time"
        self.round = round_
        self._task = asyncio.ensure_future(self._fly(round_, batch))
        self._task.add_done_callback(self._look)

    async def land(self) -> None:
        """Wait until the commit has ended; raises what it raised."""
        task = self._task
        if task is None:
            return
        try:
            await task
        finally:
            if task.done():
                self._task = self.round = None

    def ground(self) -> None:
        """Nobody waits for it any more."""
        if self._task is not None:
            self._task.cancel()

    async def _fly(self, round_: Round, batch: Batch) -> None:
        sent_at = self._clock.monotonic()
        try:
            await self._store.commit(batch)
        except CommitUnknown:
            round_.abandon(OutcomeUnknown("the commit was not confirmed"))
            raise
        except StaleEpoch:
            round_.abandon(NotOwner(None))
            raise
        except StoreUnavailable:
            round_.abandon(self._nothing_done())
            raise
        except Exception as error:
            self._refused(round_, error)
            raise
        self._landed(round_, batch, sent_at)

    def _look(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # whoever waits for it hears of it; nobody may
        self._ended()
