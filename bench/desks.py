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
from collections import deque

import msgspec
import uvloop

from bench import latency
from bench.figures import Figure
from bench.latency import BASE, Desk, Load, Measured, Offer
from bench.posting import request
from bench.processes import Server, folder, omniroute, token

AGENTS = 5_000
RATE = 300.0
SECONDS = 30.0
WARM_S = 10.0


class Desks(Load):
    """Agents who work: what they are offered they accept and complete."""

    def desk(self, agent: str) -> Desk:
        return Worker(self, agent)


class Worker(Desk):
    """Asks again when all that he was offered is done."""

    def __init__(self, load: Load, agent: str) -> None:
        super().__init__(load, agent)
        self._to_do: deque[tuple[str, bytes]] = deque()
        self._doing = ""

    def noticed(self, offer: Offer) -> None:
        self._to_do.append((f"{BASE}/agents/{self.agent}/offers/{offer.id}:accept", b""))
        self._to_do.append((f"{BASE}/tasks/{offer.task_id}:complete", b"{}"))

    def ask(self) -> None:
        if not self._to_do:
            self._doing = ""
            super().ask()
            return
        self._doing, body = self._to_do.popleft()
        kind = "application/json" if body else ""
        self.write(request("POST", self._doing, self.load.key, kind, body))

    def answered(self, status: int, body: bytes) -> None:
        if not self._doing:
            super().answered(status, body)
        elif status == 200:
            self.ask()
        else:
            self.load.failed = f"POST {self._doing}: {status} {body!r}"


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
        "load_cpu_us_per_assignment": found.load_cpu_us,
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
