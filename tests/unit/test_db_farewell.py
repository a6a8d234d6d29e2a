"""A server's farewell that comes between two messages: asyncpg calls it a mistake of its own, and who
listens connects again as after any other loss."""

import asyncio
import struct
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from shared.bus.postgres import listener as bus_listener
from shared.db import listen
from shared.db.engine import create_engine


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


# https://www.postgresql.org/docs/18/protocol-message-formats.html
WELCOME = (
    message(b"R", struct.pack("!I", 0))
    + message(b"S", b"server_version\x0018.0\x00")
    + message(b"S", b"client_encoding\x00UTF8\x00")
    + message(b"K", struct.pack("!II", 1, 1))
    + message(b"Z", b"I")
)
FAREWELL = message(b"E", b"SFATAL\x00VFATAL\x00C57P01\x00Mterminating connection\x00\x00")


@asynccontextmanager
async def ending_server():
    """Ends each session as soon as it has begun; gives its URL and a queue with one entry for each."""
    sessions = asyncio.Queue()
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        writer.write(WELCOME + FAREWELL)
        sessions.put_nowait(None)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=disable", sessions
    server.close()
    await asyncio.gather(*serving)


async def three(sessions):
    async with asyncio.timeout(10):
        for _ in range(3):
            await sessions.get()


async def test_the_driver_takes_it_for_a_mistake_of_its_own():
    async with ending_server() as (url, _):
        connection = await asyncpg.connect(url)
        with pytest.raises(asyncpg.InternalClientError):
            await connection.fetchval("SELECT 1")
        connection.terminate()


async def test_who_listens_to_configuration_connects_again(monkeypatch):
    monkeypatch.setattr(listen, "PAUSE_S", (0.01,))
    async with ending_server() as (url, sessions):
        listener = listen.Listener(url)
        listener.on("channel", lambda payload: None)
        running = asyncio.create_task(listener.run())
        await three(sessions)
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_who_listens_to_the_log_connects_again_and_stops(monkeypatch):
    monkeypatch.setattr(bus_listener, "RECONNECT_PAUSE_S", 0.01)
    async with ending_server() as (url, sessions):
        engine = create_engine(url)
        listener = bus_listener.Listener(engine, "me", lambda news: None)
        listener.start()
        await three(sessions)
        await listener.stop()
        assert not listener.connected
        await engine.dispose()
