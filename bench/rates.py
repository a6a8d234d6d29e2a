"""What an event costs one process at some rates: the more come, the less each should.

The same server, load and placement as `bench.latency`, at one rate after the other. The CPU time is
that of the server's process, without PostgreSQL's and the load generator's; opening the long-polls is
part of it, the same for each rate. Commits are those of router, SLA and archive together. The baseline
is the first rate.
"""

import re
import urllib.request

import msgspec

from bench import latency
from bench.figures import Figure
from bench.processes import Server, folder, omniroute, token

RATES = (100.0, 300.0, 500.0)
EVENTS = 3_000
_COMMITS = re.compile(r"^omniroute_batch_inputs_count\{[^}]*\} (\S+)$", re.MULTILINE)


class Cost(msgspec.Struct):
    """Of an event: microseconds of CPU time, commits; `p50_ms` until its offer is seen."""

    cpu_us: float
    commits: float
    p50_ms: float
    offered: str


def run() -> list[Figure]:
    """CPU time of an event at each rate, the first one's as the baseline."""
    with folder() as data, omniroute("all", data) as server:
        key = token(data, None, latency.WORKSPACE, "admin")
        latency.prepare(server.url, key, latency.AGENTS, latency.CHATS)
        first, costs = 0, dict[float, Cost]()
        for rate in RATES:
            costs[rate] = _cost(server, key, rate, first)
            first += EVENTS
    return [_figure(rate, cost, costs[RATES[0]]) for rate, cost in costs.items()]


def _cost(server: Server, key: str, rate: float, first: int) -> Cost:
    before_s, commits = server.cpu_s(), _commits(server)
    asked = (str(rate), str(EVENTS / rate), "0", str(first))
    found = latency.measured("bench.latency", server.url, key, *asked)
    spent_s, made = server.cpu_s() - before_s, _commits(server) - commits
    return Cost(
        spent_s / found.posted * 1e6,
        made / found.posted,
        found.p50_ms,
        f"{found.offered} of {found.posted}",
    )


def _figure(rate: float, cost: Cost, least: Cost) -> Figure:
    return Figure(
        name=f"CPU time of an event in one process, {rate:g} events/s",
        value=cost.cpu_us,
        unit="us",
        baseline=least.cpu_us,
        baseline_name=f"at {RATES[0]:g}/s",
        at_most=True,
        more={
            "commits_per_event": cost.commits,
            "p50_ms": cost.p50_ms,
            "offered": cost.offered,
        },
    )


def _commits(server: Server) -> float:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        return sum(map(float, _COMMITS.findall(answer.read().decode())))
