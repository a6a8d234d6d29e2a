"""A vendor's API for tests: an HTTP server on 127.0.0.1 that answers as it is told and remembers what
it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shared.testing.listening import listening


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Says:
    """An answer: JSON, or bytes as they are."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    delay_s: float = 0.0

    def encoded(self) -> tuple[bytes, str]:
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        return json.dumps(self.body).encode(), "application/json"


Answerer = Callable[[Asked], Says]


class Vendor:
    """`on(path, answer, answer, …)`: answers in turn, the last one again and again; or a function."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.port = 0
        self._answers: dict[str, list[Says] | Answerer] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, *answers: Says | Answerer) -> None:
        first = answers[0]
        if isinstance(first, Says):
            self._answers[path] = [one for one in answers if isinstance(one, Says)]
        else:
            self._answers[path] = first

    def asked_of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    def _answer(self, asked: Asked) -> Says:
        told = self._answers.get(asked.path)
        if told is None:
            return Says({"error": "not found"}, 404)
        if callable(told):
            return told(asked)
        return told.pop(0) if len(told) > 1 else told[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection, as our client makes them."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            asked = await _request(reader)
            self.asked.append(asked)
            said = self._answer(asked)
            await asyncio.sleep(said.delay_s)
            body, kind = said.encoded()
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), **said.headers}
            lines = [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join([f"HTTP/1.1 {said.status} So", *lines, "Connection: close", "", ""])
            writer.write(head.encode() + body)
            await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (one.partition(":") for one in rest)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Asked(method, parts.path, query, headers, body)


@contextlib.asynccontextmanager
async def vendor() -> AsyncGenerator[Vendor]:
    """A vendor for the length of the block."""
    made = Vendor()
    async with listening(made.serve) as made.port:
        yield made
