"""A large workspace is loaded in slices: it decides as one that was loaded at once, and others of the
process have their turn meanwhile."""

import asyncio

import pytest

from services.router.domain import loading
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE
from shared.runtime import workspaces
from shared.runtime.store.port import WorkspaceRow, WorkspaceState
from tests.unit.router_centre import centre
from tests.unit.router_life import Life


@pytest.mark.parametrize("seed", range(3))
def test_in_slices_or_at_once_it_decides_alike(monkeypatch, seed):
    monkeypatch.setattr(loading, "SLICE", 3)
    monkeypatch.setattr(loading, "RUN", 2)
    life = Life(seed)
    for _ in range(150):
        life.step()
    stored = life.driver.core.dump()
    sliced, whole = (RouterFactory().create(WORKSPACE, seed) for _ in range(2))
    for core in (sliced, whole):
        core.load(stored)
    assert sum(1 for _ in sliced.prepare()) > 20
    assert list(sliced.prepare()) == [], "once"
    assert sliced.wake_at_us() == whole.wake_at_us()
    at = len(life.driver.log)
    for _ in range(100):
        life.step()
    for now_us, number, what in life.driver.log[at:]:
        assert sliced.apply(now_us, number, what).events == whole.apply(now_us, number, what).events
    assert sliced.dump() == whole.dump() == life.driver.core.dump()


class Kept:
    """The entities of one workspace, in the order of a store."""

    def __init__(self, entities):
        self.entities = entities

    async def open_entities(self, workspace, after, limit):
        found = [one for one in self.entities if (one.kind, one.key) > after]
        return found[:limit]


async def test_others_have_their_turn_while_it_is_loaded(monkeypatch):
    monkeypatch.setattr(workspaces, "SLICE", 50)
    monkeypatch.setattr(loading, "SLICE", 50)
    driver = centre({})
    for number in range(500):
        driver.say(f"c{number}")
    entities = sorted(driver.core.dump(), key=lambda one: (one.kind, one.key))
    turns = 0

    async def neighbour():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(neighbour())
    row = WorkspaceRow(id=WORKSPACE, partition=0, seed=1, version=0)
    state = WorkspaceState(workspace=WORKSPACE, number=driver.number, seq=driver.core.last_seq)
    try:
        core = await workspaces.load_core(Kept(entities), RouterFactory(), row, state, 300)
    finally:
        beside.cancel()
    assert core.dump() == driver.core.dump()
    assert turns > len(entities) // 50 + 20, "each slice of reading and of deriving gives way once"
