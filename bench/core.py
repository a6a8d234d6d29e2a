"""The router's core alone, as `bench.router_core` measures it, in a process for each size."""

import subprocess
import sys
from typing import Any

import msgspec

from bench.figures import Figure

WAITING = 10_000
INPUTS = 15_000
SIZES = (100, 1_000, 10_000)


def run() -> list[Figure]:
    """Inputs applied per second of CPU at 1,000 agents, and how the cost grows with agents.

    The baseline is the bare core: the same inputs read, the same events, replies and entities made and
    encoded, nothing decided. `cost` is an input in yardsticks: a record looked up, changed, encoded.
    """
    small, middle, large = (_measure(agents) for agents in SIZES)
    return [
        Figure(
            name="Router core, 1,000 agents",
            value=middle["inputs_per_s"],
            unit="inputs/s",
            baseline=1e6 / middle["bare_us"],
            baseline_name="deciding nothing",
            target=20_000,
            more={"us_per_input": middle["us_per_input"], "cost": middle["cost"]},
        ),
        Figure(
            name="Router core, cost of an input at 10,000 agents",
            value=large["us_per_input"],
            unit="µs",
            baseline=small["us_per_input"],
            baseline_name="µs at 100 agents",
            target=2,
            of_ratio=True,
            at_most=True,
        ),
    ]


def _measure(agents: int) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "bench.router_core", "--agents", str(agents),
        "--waiting", str(WAITING), "--inputs", str(INPUTS),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return msgspec.json.decode(done.stdout.splitlines()[0])
