"""Lives in which everything happens: what is stored is what is there, and whoever takes over goes on alike."""

from collections.abc import Iterable

import msgspec
import pytest

from services.sla.domain.core import SlaCore, SlaFactory
from shared.contracts.core import Entity
from tests.unit.sla_life import Life

SEEDS = range(24)
STEPS = 250


def lived(seed: int) -> Life:
    life = Life(seed, moves=False)
    for _ in range(STEPS):
        life.step()
    life.keep()
    return life


def taken_over(entities: Iterable[Entity]) -> SlaCore:
    core = SlaFactory().create("acme", 1)
    core.load(entities)
    return core


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_stored_along_the_way_is_the_state(seed):
    life = lived(seed)
    dumped = {(one.kind, one.key): one.body for one in life.core.dump()}
    unused = {("meta", "meta")} - life.stored.keys()  # nothing of it was ever needed
    assert {key: body for key, body in dumped.items() if key not in unused} == life.stored


@pytest.mark.parametrize("seed", SEEDS)
def test_an_owner_that_takes_over_in_the_middle_goes_on_alike(seed):
    life = lived(seed)
    core = SlaFactory().create("acme", 1)
    for at, (now_us, number, what, told) in enumerate(life.log):
        if at % 7 == 3:
            core = taken_over(core.dump())
        assert msgspec.json.encode(core.apply(now_us, number, what)) == told, (at, what)
    core.changes()
    assert core.dump() == life.core.dump()
