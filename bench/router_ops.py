"""Bytecode instructions and calls of Python functions that an input costs the router's core.

`python -m bench.router_ops [--agents 300] [--waiting 300] [--inputs 1200] [--rows 30]` prints the counts
per input of the mix of `bench.router_core`, then the functions that run most. Counts of one version of
Python are the same on every machine and under any load, which no clock is; what C code costs (encoding,
hashing) does not show in them. `--machine` counts machine instructions instead, C code and all.
"""

import argparse
import gc
import random
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from bench import machine
from bench.router_core import centre, lives, run, started
from services.router.domain.core import RouterCore
from shared.runtime.supervisor import calm_collector


class Counting:
    """Counts while it is entered."""

    def __init__(self) -> None:
        self.instructions: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()

    def __enter__(self) -> "Counting":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call":
            self.calls[frame.f_code] += 1
        elif event == "opcode":
            self.instructions[frame.f_code] += 1
        return self._trace


def prepared(agents: int, waiting: int, inputs: int) -> tuple[RouterCore, list[Any]]:
    """A core in its usual state, and what it is to take."""
    driver = centre(agents, waiting, random.Random(1))
    stored = driver.core.dump()
    log: Any = lives(driver, inputs + inputs // 2, random.Random(2))
    warm, counted = log[: inputs // 2], log[inputs // 2 :]
    return started(stored, warm), counted


def measure(agents: int, waiting: int, inputs: int) -> tuple[Counting, int]:
    """The counts, and of how many inputs."""
    core, log = prepared(agents, waiting, inputs)
    with Counting() as counted:
        run(core, log)
    return counted, len(log)


def count_machine(agents: int, waiting: int, inputs: int) -> None:
    """To be run by valgrind: the same, in machine instructions an input."""
    core, log = prepared(agents, waiting, inputs)
    gc.collect()
    calm_collector()
    machine.start()
    run(core, log)
    machine.stop("inputs")


def show(counted: Counting, inputs: int, rows: int, title: str = "") -> None:
    """What an input costs on average, and the `rows` functions that cost most of it."""
    whole, calls = counted.instructions.total(), counted.calls.total()
    print(f"{title}{whole / inputs:.0f} instructions, {calls / inputs:.1f} calls an input")
    for code, number in counted.instructions.most_common(rows):
        where = f"{code.co_filename.rpartition('/')[2]}:{code.co_qualname}"
        print(f"{number / inputs:8.1f} in {counted.calls[code] / inputs:5.2f} calls  {where}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=300)
    parser.add_argument("--waiting", type=int, default=300)
    parser.add_argument("--inputs", type=int, default=1_200)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--machine", action="store_true", help="by valgrind, which must be there")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.agents, options.waiting, options.inputs
    if options.counted:
        count_machine(*sizes)
        return
    if options.machine:
        for total in machine.counted(__spec__.name, *sys.argv[1:], "--counted").values():
            print(f"{total // options.inputs:,} machine instructions an input")
        return
    counted, inputs = measure(*sizes)
    show(counted, inputs, options.rows)


if __name__ == "__main__":
    main()
