"""Bytecode instructions and calls of Python functions that an input costs the router's core.

`python -m bench.router_ops [--agents 300] [--waiting 300] [--inputs 1200] [--rows 30]` prints the counts
per input of the mix of `bench.router_core`, then the functions that run most. Counts of one version of
Python are the same on every machine and under any load, which no clock is; what C code costs (encoding,
hashing) does not show in them.
"""

import argparse
import random
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from bench.router_core import centre, lives, run
from services.router.domain.core import RouterFactory


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


def measure(agents: int, waiting: int, inputs: int) -> tuple[Counting, int]:
    """The counts, and of how many inputs; the first third only brings the core to its usual state."""
    driver = centre(agents, waiting, random.Random(1))
    stored = driver.core.dump()
    log: Any = lives(driver, inputs + inputs // 2, random.Random(2))
    core = RouterFactory().create("bench", 1)
    core.load(stored)
    core.wake_at_us()
    run(core, log[: inputs // 2])
    with Counting() as counted:
        run(core, log[inputs // 2 :])
    return counted, len(log) - inputs // 2


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
    options = parser.parse_args()
    counted, inputs = measure(options.agents, options.waiting, options.inputs)
    show(counted, inputs, options.rows)


if __name__ == "__main__":
    main()
