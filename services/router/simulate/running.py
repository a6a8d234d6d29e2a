"""All replications of a scenario, side by side in processes; the same figures with any number of them."""

import contextlib
import gc
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import NamedTuple

from services.router.simulate.beside import OpenBeside
from services.router.simulate.replication import Replication
from services.router.simulate.scenario import Scenario
from services.router.simulate.tally import Sums
from shared.children import end_with_parent
from shared.contracts.core import Entity

CHUNKS_EACH = 8  # so that no process waits long for the last
CHUNK_MAX = 50
COLLECT_AFTER = 50_000  # contacts; a core is full of cycles, and nothing else is

Done = Callable[[int], None]


class _Share(NamedTuple):
    """What a worker process needs to know, once."""

    scenario: Scenario
    entities: list[Entity]
    beside: OpenBeside | None = None


_share: _Share | None = None


def run(
    scenario: Scenario,
    entities: list[Entity],
    workers: int,
    done: Done,
    beside: OpenBeside | None = None,
) -> list[Sums]:
    """The sums of each replication, in order. `done` is told how many more are ready; `beside` opens
    the clocks that run beside each."""
    share = _Share(scenario, entities, beside)
    if min(workers, scenario.replications) <= 1:
        return _alone(share, done)
    found: dict[int, Sums] = {}
    for first, sums in _in_processes(share, min(workers, scenario.replications)):
        found.update(enumerate(sums, first))
        done(len(sums))
    return [found[number] for number in range(scenario.replications)]


def replicate(share: _Share, numbers: range) -> Iterator[Sums]:
    """Replications by number, one after the other."""
    contacts = 0
    with _calm():
        for number in numbers:
            sums = Replication(share.scenario, number, share.entities, share.beside).run()
            yield sums
            contacts += sums.contacts
            if contacts >= COLLECT_AFTER:
                gc.collect()
                contacts = 0


@contextlib.contextmanager
def _calm() -> Generator[None]:
    """Collections in the middle of a day find nothing and cost a tenth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _alone(share: _Share, done: Done) -> list[Sums]:
    found: list[Sums] = []
    for sums in replicate(share, range(share.scenario.replications)):
        found.append(sums)
        done(1)
    return found


# -- several processes


def _in_processes(share: _Share, workers: int) -> Iterator[tuple[int, list[Sums]]]:
    """(first number, sums) of each chunk as it is ready."""
    scenario = share.scenario
    size = max(1, min(CHUNK_MAX, scenario.replications // (workers * CHUNKS_EACH)))
    starts = range(0, scenario.replications, size)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _prepare, (share,))
    try:
        left: set[Future[tuple[int, list[Sums]]]] = {
            pool.submit(_chunk, first, min(first + size, scenario.replications)) for first in starts
        }
        while left:
            ready, left = wait(left, return_when=FIRST_COMPLETED)
            for one in ready:
                yield one.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _prepare(share: _Share) -> None:
    """Once in each worker: it ends with its parent, and silently on Ctrl-C."""
    global _share
    _share = share
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()


def _chunk(first: int, end: int) -> tuple[int, list[Sums]]:
    assert _share is not None, "prepared"
    return first, list(replicate(_share, range(first, end)))
