"""The simulation itself is tested: with a safeguard taken out it must fail, within few seeds."""

import pytest

# How many seeds each mutant may survive at most; nearly all fall with the first.
SEEDS_NEEDED = {
    "no-epoch": 3,
    "no-cursor": 3,
    "no-dedupe": 8,
    "no-replies": 3,
    "torn-commit": 4,
    "memory-kept": 3,
    "published-before-commit": 3,
    "answered-before-commit": 3,
    "positions-ahead": 3,
    "first-come": 8,
    "bond-unread": 12,
    "order-of-kinds": 3,
    "no-room": 3,
}
BROKEN = ("TypeError", "AttributeError", "NameError", "KeyError")
"""A mutant must be wrong, not unable to run: else nothing is shown."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", sorted(SEEDS_NEEDED))
def test_the_simulation_notices_a_missing_safeguard(players, mutant):
    most = SEEDS_NEEDED[mutant]
    player = players.start("--mutant", mutant, "--seed", 1, "--count", most, "--until-wrong")
    reports = players.finish(player)
    wrong = reports[-1]["wrong"]
    assert wrong, f"{mutant} survived {most} seeds"
    assert not any(error in what for what in wrong for error in BROKEN), wrong
