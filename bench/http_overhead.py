"""What our HTTP layer costs a call, beside a bare FastAPI endpoint: no network, one process.

    python -m bench.http_overhead

Prints microseconds a call (best of several rounds, taken in turns) and their ratio.
"""

import asyncio
import time
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CollectorRegistry

from shared.http.app import create_app
from shared.http.auth import Access, Authenticator, Caller, require
from shared.http.bodies import read_body
from shared.http.principals import KeyRecord
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.replies import json_reply
from shared.http.routes import api_router

CALLS = 2000
ROUNDS = 7
PATH = "/v1/workspaces/acme/events"
BODY = (
    b'{"id":"m-1","channel":"chat","text":"My invoice is wrong","attributes":{"topic":"billing"}}'
)
HEADERS = [
    (b"host", b"localhost"),
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"authorization", b"Bearer omr_0123456789abcdef_secret"),
]


class Event(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    channel: str
    text: str
    attributes: dict[str, str] = {}


class Everyone:
    async def lookup(self, token: str) -> KeyRecord | None:
        return KeyRecord("k", "acme", "platform")

    async def exists(self, workspace: str) -> bool:
        return True


def bare() -> FastAPI:
    app = FastAPI()
    decode = msgspec.json.Decoder(Event).decode

    @app.post(PATH.replace("acme", "{workspace}"))
    async def post(request: Request) -> Response:
        event = decode(await request.body())
        return Response(msgspec.json.encode({"id": event.id}), 202, media_type="application/json")

    return app


def ours() -> FastAPI:
    router = api_router("events")

    @router.post("/events", status_code=202)
    async def post(
        request: Request, caller: Annotated[Caller, Depends(require("events:write"))]
    ) -> Response:
        event = await read_body(request, Event)
        return json_reply({"id": event.id}, 202)

    async def ready() -> dict[str, bool | str]:
        return {}

    access = Access(Authenticator(Everyone()), Everyone(), RateLimiter(Rate(1e9, 1e9)))
    return create_app(
        "Omniroute",
        "Bench",
        [router],
        version="0",
        access=access,
        ready=ready,
        registry=CollectorRegistry(),
        access_log="faults",
    )


async def call(app: FastAPI) -> int:
    status = 0

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(str(message["status"]))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": HEADERS,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    return status


async def measure(app: FastAPI) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        assert await call(app) == 202
    return (time.perf_counter() - began) / CALLS * 1e6


async def main() -> None:
    apps = {"bare": bare(), "ours": ours()}
    best = dict.fromkeys(apps, float("inf"))
    for _ in range(ROUNDS):
        for name, app in apps.items():
            best[name] = min(best[name], await measure(app))
    for name, microseconds in best.items():
        print(f"{name}: {microseconds:.1f} us a call")
    print(f"bare / ours: {best['bare'] / best['ours']:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
