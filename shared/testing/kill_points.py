"""A store that kills its own process at a chosen point, for tests of what survives.

The composition takes it instead of `PostgresStore` only where OMNIROUTE_TEST_KILL is set, to
"<service>:<point>:<n>": at the n-th time that the service's store comes to the point, the process
says so on standard error and ends by SIGKILL, as if the power had gone. Points:

after-commit   a batch with events to publish is committed; none of them has been sent
during-commit  the commit has been sent to PostgreSQL, its answer has not been read
loading        a chunk of a workspace's state has been read on take-over
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.core import Entity
from shared.runtime.store.port import Batch
from shared.runtime.store.postgres import PostgresStore

VARIABLE = "OMNIROUTE_TEST_KILL"
POINTS = ("after-commit", "during-commit", "loading")
LAST_WORDS = "killed at "

_committing: ContextVar[bool] = ContextVar("committing", default=False)


class DyingStore(PostgresStore):
    """`spec` is the variable's value; a spec of another service changes nothing."""

    def __init__(self, spec: str, engine: AsyncEngine, service: str, **options: Any) -> None:
        super().__init__(engine, service, **options)
        self._spec = spec
        whose, self._point, count = spec.split(":")
        assert self._point in POINTS, spec
        self._left = int(count) if whose == service else 0
        if self._left and self._point == "during-commit":
            event.listen(engine.sync_engine, "commit", self._at_commit)

    async def commit(self, batch: Batch) -> None:
        """As the store does, and perhaps the end."""
        token = _committing.set(True)
        try:
            await super().commit(batch)
            if any(row.topic for row in batch.journal):
                self._reach("after-commit")
        finally:
            _committing.reset(token)

    async def _send(self, raw: Any, statement: str, values: Sequence[Any]) -> int | None:
        """A batch that is one statement commits with it."""
        if self._counts_down("during-commit"):
            # Of no epoch, it stores nothing: but now PostgreSQL knows the statement, and the next
            # message holds all of it. That is written before the loop comes to `_die`.
            await super()._send(raw, statement, [*values[:2], -1, *values[3:]])
            asyncio.get_running_loop().call_soon(self._die)
        return await super()._send(raw, statement, values)

    async def open_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        """As the store does, and perhaps the end."""
        found = await super().open_entities(workspace, after, limit)
        self._reach("loading")
        return found

    def _at_commit(self, _: object) -> None:
        if _committing.get() and self._counts_down("during-commit"):
            # COMMIT is written when this returns; the loop calls this before it reads the answer.
            asyncio.get_running_loop().call_soon(self._die)

    def _reach(self, point: str) -> None:
        if self._counts_down(point):
            self._die()

    def _counts_down(self, point: str) -> bool:
        if point != self._point or not self._left:
            return False
        self._left -= 1
        return self._left == 0

    def _die(self) -> None:
        os.write(2, f"{LAST_WORDS}{self._spec}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
