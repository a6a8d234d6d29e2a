"""Many seeded lives of the production runner and cores, with every kind of fault.

`OMNIROUTE_SEEDS` says how many full ones (200 in CI, 10 elsewhere), `OMNIROUTE_SEED` which is the first.
Four times as many short ones follow: the same hosts, people and faults, for some seconds each.
One life again: `python tests/simulation/run_seeds.py --seed N [--least M]`.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.testing.simulation.chance import FAULTS
from shared.testing.simulation.features import FEATURES
from shared.testing.simulation.run import FULL, SHORT

IN_CI = os.environ.get("CI", "").lower() == "true"
SEEDS = int(os.environ.get("OMNIROUTE_SEEDS", "200" if IN_CI else "10"))
FIRST = int(os.environ.get("OMNIROUTE_SEED", "1"))
CORES = os.cpu_count() or 1
ENOUGH_FOR_ALL = 80
"""With fewer full lives, or as much of short ones, the rarest faults need not strike."""


LIVES = {"full": (FIRST, SEEDS, FULL), "short": (FIRST + SEEDS, 4 * SEEDS, SHORT)}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("lives", LIVES)
def test_every_promise_is_kept_whatever_fails(players, capsys, lives):
    first, count, least = LIVES[lives]
    reports = played(players, first, count, least)
    with capsys.disabled():
        print(summary(reports))
    broken = [report for report in reports if report["wrong"]]
    assert not broken, "\n".join(map(told, broken[:5]))
    assert len(reports) == count
    for report in reports:
        inputs = report["inputs"]
        assert sum(inputs.values()) >= least, f"seed {report['seed']}: {inputs}"
        assert min(inputs.values()) >= least // 3, f"seed {report['seed']}: {inputs}"
    if count * least >= ENOUGH_FOR_ALL * FULL:
        struck = total(reports, "faults")
        assert [fault for fault in FAULTS if not struck[fault]] == []
    if lives == "full" and count >= ENOUGH_FOR_ALL:
        used = total(reports, "figures")
        assert [feature for feature in FEATURES if not used[f"feature: {feature}"]] == []


def test_a_seed_plays_the_same_in_another_process(players):
    lives = [
        players.finish(players.start("--seed", FIRST, "--least", 1200, PYTHONHASHSEED=hash_seed))
        for hash_seed in ("1", "4242")
    ]
    for (life,) in lives:
        life["took_s"] = 0
    assert lives[0] == lives[1]


def played(players, first, count, least):
    """As many players at once as there are cores, and twice as many in all, for some lives are longer."""
    each = -(-count // (2 * CORES))

    def play(at):
        lives = min(each, count - at)
        player = players.start("--seed", first + at, "--count", lives, "--least", least)
        return players.finish(player)

    with ThreadPoolExecutor(CORES) as pool:
        return [report for some in pool.map(play, range(0, count, each)) for report in some]


def total(reports, what):
    counted = Counter()
    for report in reports:
        counted.update(report[what])
    return counted


def summary(reports):
    faults, figures = total(reports, "faults"), total(reports, "figures")
    worst = "neighbour's worst wait in batches"
    figures[worst] = max((report["figures"].get(worst, 0) for report in reports), default=0)
    lines = [
        f"\nSimulation: {len(reports)} seeds, inputs {dict(total(reports, 'inputs'))},"
        f" {sum(report['virtual_s'] for report in reports):.0f} virtual seconds"
        f" in {sum(report['took_s'] for report in reports):.0f} s of CPU"
    ]
    lines += [f"  {faults[fault]:7d}  {fault}" for fault in FAULTS]
    lines += [f"  {figures[figure]:7d}  {figure}" for figure in sorted(figures)]
    return "\n".join(lines)


def told(report):
    seed = report["seed"]
    again = f"python tests/simulation/run_seeds.py --seed {seed} --least {report['least']}"
    return "\n  ".join([f"seed {seed} (play it again: {again})", *report["wrong"][:8]])
