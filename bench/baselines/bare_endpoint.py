"""The bare endpoint: FastAPI, the same body decoded by msgspec, awaited aiokafka sends. Nothing else.

`python -m bench.baselines.bare_endpoint PORT BOOTSTRAP`; one event to /event, a batch to /batch. The
sent record is the event's data with three headers, to the producer settings that Omniroute uses.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response

TOPIC = "bench.bare"


class Author(msgspec.Struct):
    role: str
    name: str | None = None


class Data(msgspec.Struct):
    channel: str
    conversation_key: str
    direction: str
    author: Author
    text: str
    identities: list[dict[str, str]] = []
    attributes: dict[str, Any] = {}


class Event(msgspec.Struct):
    specversion: str
    id: str
    source: str
    type: str
    time: str
    data: Data


_one = msgspec.json.Decoder(Event)
_many = msgspec.json.Decoder(list[Event])
_encode = msgspec.json.Encoder().encode


def application(bootstrap: str) -> FastAPI:
    producer: AIOKafkaProducer

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        nonlocal producer
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            enable_idempotence=True,
            acks="all",
            max_batch_size=256 << 10,
        )
        await producer.start()
        yield
        await producer.stop()

    return routes(FastAPI(lifespan=lifespan, openapi_url=None), lambda: producer)


def routes(app: FastAPI, producer: Callable[[], Any]) -> FastAPI:
    @app.get("/ready")
    async def ready() -> Response:
        return Response()

    @app.post("/event")
    async def post_event(request: Request) -> Response:
        event = _one.decode(await request.body())
        await producer().send_and_wait(TOPIC, *record(event))
        return Response(_encode({"id": event.id}), 202, media_type="application/json")

    @app.post("/batch")
    async def post_batch(request: Request) -> Response:
        events = _many.decode(await request.body())
        sent = [await producer().send(TOPIC, *record(event)) for event in events]
        await asyncio.gather(*sent)
        return Response(_encode([event.id for event in events]), 202, media_type="application/json")

    return app


def record(event: Event) -> tuple[bytes, bytes, int, None, list[tuple[str, bytes]]]:
    """Value, key, partition, time stamp and headers."""
    headers = [("id", event.id.encode()), ("type", event.type.encode()), ("source", b"crm")]
    return _encode(event.data), event.data.conversation_key.encode(), 0, None, headers


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
