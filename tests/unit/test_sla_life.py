"""Lives in which everything happens: what is stored is what is there, and whoever takes over goes on alike."""

from collections.abc import Iterable

import msgspec
import pytest

from services.sla.domain.core import SlaCore
from services.sla.domain.moves import Portion
from shared.contracts.core import Entity
from tests.unit.sla_life import Life

STEPS = 250
SMALL = Portion(moved=1, looked_at=3, gathered=4)  # so that moves are under way for long
Stored = dict[tuple[str, str], bytes]


class Calm(Life):
    """Nothing moves."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, moves=False)


class Restless(Life):
    """Policies are migrated and calendars renewed all the time, a conversation at a time."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, core=SlaCore("acme", 1, SMALL))

    def step(self) -> None:
        if self.chance.random() < 0.05:
            self.moves_again()
        super().step()


Seed = tuple[type[Life], int]
WENT_ASTRAY = (7, 10, 21, 24, 25, 27, 30, 37)
SEEDS: list[Seed] = [
    *((Calm, seed) for seed in range(24)),
    *((Life, seed) for seed in WENT_ASTRAY),
    *((Restless, seed) for seed in range(24)),
]


def named(seed: Seed) -> str:
    return f"{seed[0].__name__.lower()} {seed[1]}"


def lived(seed: Seed) -> Life:
    kind, number = seed
    life = kind(number)
    for _ in range(STEPS):
        life.step()
    life.keep()
    return life


def taken_over(entities: Iterable[Entity], portion: Portion) -> SlaCore:
    core = SlaCore("acme", 1, portion)
    core.load(entities)
    return core


def dumped(core: SlaCore) -> Stored:
    return {(one.kind, one.key): one.body for one in core.dump() if one.body is not None}


def keep(core: SlaCore, stored: Stored) -> None:
    for one in core.changes():
        stored.pop((one.kind, one.key), None)
        if one.body is not None and one.open:
            stored[one.kind, one.key] = one.body


@pytest.mark.parametrize("seed", SEEDS, ids=named)
def test_what_was_stored_along_the_way_is_the_state(seed: Seed):
    life = lived(seed)
    found = dumped(life.core)
    unused = {("meta", "meta")} - life.stored.keys()  # nothing of it was ever needed
    assert {key: body for key, body in found.items() if key not in unused} == life.stored


@pytest.mark.parametrize("seed", SEEDS, ids=named)
def test_an_owner_that_takes_over_in_the_middle_goes_on_alike(seed: Seed):
    life, portion = lived(seed), SMALL if seed[0] is Restless else Portion()
    core, stored = SlaCore("acme", 1, portion), Stored()
    for at, (now_us, number, what, told) in enumerate(life.log):
        if at % 7 == 3:
            keep(core, stored)
            core = taken_over([Entity(*key, body) for key, body in stored.items()], portion)
        assert msgspec.json.encode(core.apply(now_us, number, what)) == told, (at, what)
    core.changes()
    assert core.dump() == life.core.dump()
