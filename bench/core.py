"""The router's core alone, as `bench.router_core` measures it, in a process for each size."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from bench.figures import Figure, cores
from bench.processes import printed

WAITING = 10_000
INPUTS = 15_000
SIZES = (100, 1_000, 10_000)


def run() -> list[Figure]:
    """Inputs applied per second of CPU at 1,000 agents, and how the cost grows with agents.

    The baseline is the bare core: the same inputs read, the same events, replies and entities made and
    encoded, nothing decided. `cost` is an input in yardsticks: a record looked up, changed, encoded.
    A workspace has one core; the machine's rate is that of as many workspaces as it has cores, each in
    a process, at once.
    """
    small, middle, large = (_measure(agents) for agents in SIZES)
    together = _at_once(cores())
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
            name=f"Router core, {len(together)} workspaces of 1,000 agents at once, a process each",
            value=sum(each["inputs_per_s"] for each in together),
            unit="inputs/s",
            baseline=middle["inputs_per_s"],
            baseline_name="one alone",
            more={"us_per_input": max(each["us_per_input"] for each in together)},
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


def _at_once(number: int) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(_measure, [SIZES[1]] * number))


def _measure(agents: int) -> dict[str, Any]:
    sizes = {"--agents": agents, "--waiting": WAITING, "--inputs": INPUTS}
    arguments = [word for name, size in sizes.items() for word in (name, str(size))]
    return msgspec.json.decode(printed("bench.router_core", *arguments).splitlines()[0])
