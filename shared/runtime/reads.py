"""Reads that wait for the end of a batch, so that they see committed state only."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shared.contracts.core import Core
from shared.runtime.port import Unavailable, UnknownWorkspace
from shared.runtime.workspaces import Workspace

T = TypeVar("T")
_Read = tuple[str, Callable[[Core], Any], "asyncio.Future[Any]"]


class Reads:
    """At most `limit` wait."""

    def __init__(self, limit: int, retry_after_s: int) -> None:
        self._limit = limit
        self._retry_after_s = retry_after_s
        self._waiting: list[_Read] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, workspace: str, fn: Callable[[Core], T]) -> "asyncio.Future[T]":
        """Raises Unavailable at the limit."""
        if len(self._waiting) >= self._limit:
            raise Unavailable("too many reads wait", self._retry_after_s)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((workspace, fn, future))
        return future

    def serve(self, workspaces: Mapping[str, Workspace]) -> None:
        """Between batches: every core is as committed."""
        waiting, self._waiting = self._waiting, []
        for name, fn, future in waiting:
            if future.done():
                continue
            try:
                if name not in workspaces:
                    raise UnknownWorkspace(name)
                future.set_result(fn(workspaces[name].core))
            except Exception as error:
                future.set_exception(error)

    def fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)
