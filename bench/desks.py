"""5,000 agents at their desktops in one process: how long until an agent sees his new offer.

As `bench.latency`: `omniroute up --target all` with the embedded log, one event a request at a fixed
rate, each a new conversation. Here each agent has a long-poll of his own, takes his offer, and
completes the task at once, over the same connection; so an assignment is an event posted, a
long-poll answered and asked again, an acceptance and a completion. Notice counts from the moment
the event should have been posted.

The baseline does the least with the same calls and as many long-polls: a post is one row committed in
PostgreSQL and wakes one of them; nothing is accepted or completed there.
"""

import asyncio
import sys

import msgspec
import uvloop

from bench import latency
from bench.figures import Figure
from bench.latency import BASE, Load, Measured, Offer
from bench.posting import Connection, request
from bench.processes import Server, folder, omniroute, token

AGENTS = 5_000
RATE = 300.0
SECONDS = 30.0
WARM_S = 10.0


class Desks(Load):
    """Agents who work: what they are offered they accept and complete."""

    def __init__(self, url: str, key: str, agents: int) -> None:
        super().__init__(url, key, agents)
        self.done = 0

    async def noticed(self, connection: Connection, agent: str, offer: Offer) -> None:
        await self._post(connection, f"{BASE}/agents/{agent}/offers/{offer.id}:accept")
        await self._post(connection, f"{BASE}/tasks/{offer.task_id}:complete", b"{}")
        self.done += 1

    async def _post(self, connection: Connection, path: str, body: bytes = b"") -> None:
        kind = "application/json" if body else ""
        status = await connection.send(request("POST", path, self.key, kind, body))
        if status != 200:
            raise RuntimeError(f"POST {path}: {status} {connection.body!r}")


def run() -> list[Figure]:
    """The notice of Omniroute beside that of the bare post and long-poll."""
    bare = latency.bare_one(lambda server: _measure(server, "-", "bare"))
    with folder() as data, omniroute("all", data) as ours:
        key = token(data, None, latency.WORKSPACE, "admin")
        latency.prepare(ours.url, key, AGENTS, chats=3)
        before_s = ours.cpu_s()
        found = _measure(ours, key, "desks")
        cpu_ms = (ours.cpu_s() - before_s) * 1000 / ((SECONDS + WARM_S) * RATE)
    more: dict[str, float | str] = {
        "agents": AGENTS,
        "rate": found.rate,
        "offered": f"{found.offered} of {found.posted}",
        "p50_ms": found.p50_ms,
        "server_cpu_ms_per_assignment": cpu_ms,
    }
    return [
        Figure(
            name=f"Offer noticed by one of {AGENTS:,} agents, {RATE:g} assignments/s, p99",
            value=found.p99_ms, unit="ms", baseline=bare.p99_ms,
            baseline_name="bare commit and wake", target=150, at_most=True, more=more,
        )
    ]  # fmt: skip


def _measure(server: Server, key: str, which: str) -> Measured:
    return latency.measured("bench.desks", server.url, key, which)


def main() -> None:
    url, key, which = sys.argv[1:]
    # The bare server gives events to its own 250 agents in turn; the others only wait there too.
    load = Load(url, key, AGENTS) if which == "bare" else Desks(url, key, AGENTS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(load.run(RATE, SECONDS, WARM_S))).decode())


if __name__ == "__main__":
    main()
