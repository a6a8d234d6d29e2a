"""Merged customers: the profile is the same in whatever order things came, and a write costs what it
changes, however many others are merged."""

import sys
from collections.abc import Callable
from random import Random

import pytest

from services.router.domain import customers
from services.router.domain.config import Customer, CustomerIdentity
from services.router.domain.customers import CustomerIndex

NAMES = [f"k{number}" for number in range(9)]


def customer(name: str, version: int = 0) -> Customer:
    """Each has something of his own."""
    own = {name: version}
    identity = CustomerIdentity("crm", f"{name}-{version}")
    return Customer(id=name, attributes=own, identities=(identity,), never_pair=(f"not-{name}",))


def rebuilt(index: CustomerIndex) -> CustomerIndex:
    """The same customers and merges, taken in from nothing and the other way round."""
    fresh = CustomerIndex()
    for name in sorted(index._merged, reverse=True):
        fresh.merge(name, index._merged[name])
    for name in sorted(index._customers, reverse=True):
        fresh.put(index._customers[name])
    return fresh


def gathered(index: CustomerIndex, name: str) -> Customer | None:
    """A profile, by looking at all merges."""
    root = index.canonical(name)
    own = index._customers.get(root)
    found = {root}
    while more := {one for one, into in index._merged.items() if into in found} - found:
        found |= more
    parts = [index._customers[one] for one in sorted(found - {root}) if one in index._customers]
    return own if own is None or not parts else customers._joined(own, parts)


def step(index: CustomerIndex, chance: Random, version: int) -> None:
    name, other = chance.sample(NAMES, 2)
    match chance.randrange(5):
        case 0:
            index.remove(name)
        case 1:
            index.split(name)
        case 2 if name not in index._merged and name not in ancestors(index, other):
            index.merge(name, other)
        case _:
            index.put(customer(name, version))


def ancestors(index: CustomerIndex, name: str) -> set[str]:
    found = {name}
    while (into := index._merged.get(name)) is not None:
        name = into
        found.add(name)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_what_is_known_never_depends_on_the_order(seed: int):
    chance, index = Random(seed), CustomerIndex()
    for version in range(120):
        step(index, chance, version)
        for name in chance.sample(NAMES, 4):
            assert index.get(name) == gathered(index, name)
    fresh = rebuilt(index)
    for name in NAMES:
        assert fresh.get(name) == index.get(name)
        assert fresh.parts(name) == index.parts(name)


def calls(what: Callable[[], object]) -> int:
    """How many calls of functions of this package it takes."""
    made = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal made
        made += event == "call"

    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(None)
    return made


def merged(pairs: int) -> CustomerIndex:
    index = CustomerIndex()
    for number in range(pairs):
        for name in (f"a{number}", f"b{number}"):
            index.put(customer(name))
        index.merge(f"b{number}", f"a{number}")
        assert index.get(f"b{number}") is not None
    return index


def test_a_write_costs_the_same_with_ten_merges_and_with_a_thousand():
    def work(index: CustomerIndex) -> list[int]:
        return [
            calls(lambda: index.put(customer("b5", 1))),
            calls(lambda: index.get("a5")),
            calls(lambda: index.put(customer("new"))),
            calls(lambda: index.parts("a5")),
            calls(lambda: index.merge("new", "a5")),
            calls(lambda: index.split("new")),
            calls(lambda: index.remove("new")),
        ]

    few, many = work(merged(10)), work(merged(1000))
    assert few == many
    assert max(many) < 60


def test_a_profile_is_joined_once_for_as_long_as_nobody_of_it_changes(monkeypatch):
    index = merged(50)
    joined: list[str] = []
    whole = customers._joined
    monkeypatch.setattr(
        customers, "_joined", lambda own, parts: joined.append(own.id) or whole(own, parts)
    )
    for name in ("a1", "b1", "a2", "a1"):
        index.get(name)
    index.put(customer("b2", 1))
    for name in ("a1", "a2", "b2"):
        index.get(name)
    assert joined == ["a2"]
