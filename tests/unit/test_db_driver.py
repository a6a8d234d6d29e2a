"""Connections are lent to at most so many, in order, and none that is in doubt comes back."""

import asyncio
import errno

import pytest

from shared.db import driver
from shared.db.driver import POOL_SIZE, Driver
from shared.db.failures import NoConnection, is_transient


class Connection:
    def __init__(self):
        self.closed = False

    def is_closed(self):
        return self.closed

    def terminate(self):
        self.closed = True

    async def close(self, timeout):
        self.closed = True


class Server:
    """Counts its connections; `away`: how it takes none."""

    def __init__(self):
        self.made = []
        self.away: OSError | None = None

    async def connect(self, dsn, **settings):
        assert (dsn, settings) == ("dsn", {"timeout": 1})
        await asyncio.sleep(0)
        if self.away is not None:
            raise self.away
        self.made.append(Connection())
        return self.made[-1]


def lending():
    server = Server()
    return server, Driver("dsn", {"timeout": 1}, server.connect)


async def hold(pool, until, timeout_s=1.0):
    async with pool.connection(timeout_s) as connection:
        await until.wait()
        return connection


async def test_one_after_another_use_one_connection():
    server, pool = lending()
    for _ in range(3):
        async with pool.connection():
            pass
    assert len(server.made) == 1


async def test_at_most_so_many_are_open_and_who_waits_gets_what_comes_back_in_order():
    server, pool = lending()
    until = asyncio.Event()
    users = [asyncio.create_task(hold(pool, until)) for _ in range(POOL_SIZE + 5)]
    await asyncio.sleep(0.01)
    assert len(server.made) == POOL_SIZE
    until.set()
    used = await asyncio.gather(*users)
    assert len(server.made) == POOL_SIZE and used[POOL_SIZE:] == used[:5]


async def test_nobody_waits_longer_than_he_said():
    _, pool = lending()
    until = asyncio.Event()
    users = [asyncio.create_task(hold(pool, until)) for _ in range(POOL_SIZE)]
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await hold(pool, until, 0.01)
    until.set()
    await asyncio.gather(*users)
    async with asyncio.timeout(1), pool.connection():
        pass


async def test_a_doubtful_connection_makes_room_for_a_new_one():
    server, pool = lending()
    until = asyncio.Event()
    users = [asyncio.create_task(hold(pool, until)) for _ in range(POOL_SIZE)]
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(hold(pool, until))
    await asyncio.sleep(0.01)
    users[0].cancel()
    await asyncio.sleep(0.01)
    until.set()
    assert await waiting is server.made[POOL_SIZE]
    assert [each.closed for each in server.made] == [True] + [False] * POOL_SIZE


@pytest.mark.parametrize(("error", "kept"), [(ValueError(), True), (ConnectionResetError(), False)])
async def test_an_error_that_is_none_of_the_connection_keeps_it(error, kept):
    server, pool = lending()
    with pytest.raises(type(error)):
        async with pool.connection():
            raise error
    async with pool.connection() as connection:
        assert (connection is server.made[0]) == kept


async def test_who_gave_up_as_his_turn_came_passes_it_on():
    server, pool = lending()
    until, later = asyncio.Event(), asyncio.Event()
    users = [asyncio.create_task(hold(pool, until)) for _ in range(POOL_SIZE)]
    await asyncio.sleep(0.01)
    first, second = (asyncio.create_task(hold(pool, later)) for _ in range(2))
    await asyncio.sleep(0.01)
    pool.give_back(server.made[0], None)
    first.cancel()
    later.set()
    assert await second is server.made[0]
    until.set()
    await asyncio.gather(*users)


@pytest.mark.parametrize(
    "away",
    [
        ConnectionRefusedError(),
        FileNotFoundError(errno.ENOENT, "the socket of a server that has stopped"),
        BlockingIOError(errno.EAGAIN, "the backlog of a socket is full"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
    ],
)
async def test_a_server_that_is_away_costs_no_room(away):
    server, pool = lending()
    server.away = away
    for _ in range(POOL_SIZE + 1):
        with pytest.raises(NoConnection) as refused:
            async with pool.connection():
                pass
        assert is_transient(refused.value)
    server.away = None
    async with pool.connection():
        pass


async def test_what_is_not_used_is_closed(monkeypatch):
    monkeypatch.setattr(driver, "IDLE_S", 0.02)
    server, pool = lending()
    async with pool.connection():
        pass
    await asyncio.sleep(0.06)
    assert server.made[0].closed
    async with pool.connection() as connection:
        assert connection is server.made[1]
