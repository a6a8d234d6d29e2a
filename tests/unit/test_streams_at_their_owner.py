"""Streams of events are served where the shard decides: elsewhere nothing wakes them."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from services.router.api.journal import list_events
from services.sla.api.stream import stream_sla
from shared.runtime.port import NotOwner

SSE = {"type": "http", "headers": [(b"accept", b"text/event-stream")], "query_string": b"after=3"}
CALLER: Any = SimpleNamespace(workspace="shop")


class Elsewhere:
    """The runtime of a replica that does not own the shard."""

    async def query(self, workspace: str, fn: Any) -> Any:
        raise NotOwner("http://owner")


async def test_another_replica_sends_the_call_to_the_owner() -> None:
    service: Any = SimpleNamespace(runtime=Elsewhere())
    request = Request(SSE)
    with pytest.raises(NotOwner):
        await stream_sla(
            request, CALLER, service, figures_s=None, by="queue", metric="m", window_s=60
        )
    with pytest.raises(NotOwner):
        await list_events(request, CALLER, service, after="3", types=None, limit=10)
