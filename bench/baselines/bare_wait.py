"""The bare post and long-poll: FastAPI, one row committed by asyncpg, one waiting call woken.

`python -m bench.baselines.bare_wait PORT DATABASE_URL`, with the paths of Omniroute's calls. Events go
to agents in turn; a long-poll answers all that its agent has been given since it last asked.
"""

import asyncio
import contextlib
import itertools
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response

AGENTS = 250


class Data(msgspec.Struct):
    channel: str
    conversation_key: str
    text: str


class Event(msgspec.Struct):
    id: str
    source: str
    type: str
    data: Data


_event = msgspec.json.Decoder(Event)
_encode = msgspec.json.Encoder().encode


class Desks:
    """What was given to each agent, and who waits for it."""

    def __init__(self) -> None:
        self.offers: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def give(self, agent: str, name: str, text: str) -> None:
        self.offers[agent].append({"id": name, "preview": text})
        self.news[agent].set()


def application(url: str) -> FastAPI:
    desks, numbers = Desks(), itertools.count()
    pool: Any = None

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        nonlocal pool
        pool = await asyncpg.create_pool(url, min_size=4, max_size=16)
        await pool.execute(
            "CREATE TABLE IF NOT EXISTS public.bare (id text PRIMARY KEY, data bytea)"
        )
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/ready")
    async def ready() -> Response:
        return Response()

    @app.post("/v1/workspaces/{workspace}/events")
    async def post_event(workspace: str, request: Request) -> Response:
        body = await request.body()
        event = _event.decode(body)
        await pool.execute("INSERT INTO public.bare VALUES ($1, $2)", event.id, body)
        desks.give(f"a{next(numbers) % AGENTS}", event.id, event.data.text)
        return Response(_encode({"id": event.id}), 202, media_type="application/json")

    @app.get("/v1/workspaces/{workspace}/agents/{agent}/work")
    async def get_work(workspace: str, agent: str, wait: float = 0) -> Response:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(desks.news[agent].wait(), wait)
        desks.news[agent].clear()
        given, desks.offers[agent] = desks.offers[agent], []
        content = _encode({"revision": 1, "offers": given})
        return Response(content, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
