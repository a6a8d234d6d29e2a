"""From a posted event to the offer in the agent's long-poll: one process, embedded log, 500 events/s.

`omniroute up --target all` serves channels, router and SLA; PostgreSQL, which also holds the log, is the
only other process of it. The load generator (this module run by itself) posts one event a request at a
fixed rate, each a new conversation, and keeps one long-poll open for each agent. Agents have room for
all, so each event ends in an offer; nobody accepts. All latencies count from the moment the event
should have been posted, so that a stall is not hidden by posting less.

The baseline does the least with the same calls: a post is one row committed in PostgreSQL, and wakes
one long-poll.
"""

import asyncio
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import uvloop

from bench import centre
from bench.figures import Figure
from bench.posting import Line, connect, request
from bench.processes import Server, baseline, folder, omniroute, printed, token
from shared.db.embedded import EmbeddedPostgres
from shared.db.engine import asyncpg_dsn

WORKSPACE = "bench"
BASE = f"/v1/workspaces/{WORKSPACE}"
RATE = 500.0
SECONDS = 12.0
WARM_S = 4.0
AGENTS = 1_000
CHATS = 10
POSTERS = 16

_EVENT = (
    b'{"specversion":"1.0","id":"m-%d","source":"crm","type":"interaction.message.v1",'
    b'"data":{"channel":"chat","conversation_key":"thread-%d","direction":"inbound",'
    b'"author":{"role":"customer","name":"Kim Example"},"text":"%d","attributes":{"topic":"%b"}}}'
)


class Measured(msgspec.Struct):
    """Milliseconds. `offered` of `posted` came; `rate` is what was posted in truth, `load_cpu_us` what
    an event cost the load generator."""

    posted: int
    offered: int
    rate: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    load_cpu_us: float


class Offer(msgspec.Struct):
    id: str
    preview: str
    task_id: str = ""


class _Work(msgspec.Struct):
    revision: int
    offers: list[Offer]


_work = msgspec.json.Decoder(_Work)


class Load:
    """Posts and long-polls against one server, and the times of both by event number, which begin
    with `first`: those before are an earlier run's."""

    def __init__(self, url: str, key: str, agents: int = AGENTS, first: int = 0) -> None:
        self._url = url
        self.key = key
        self._agents = agents
        self.first = first
        self.due: list[float] = []
        self.seen: dict[int, float] = {}
        self.failed: str | None = None
        self.waiting: deque[int] = deque()
        self.idle: deque[Poster] = deque()  # in turns: a server closes one that nobody uses

    def desk(self, agent: str) -> "Desk":
        return Desk(self, agent)

    async def run(self, rate: float, seconds: float, warm_s: float) -> Measured:
        desks = [
            await connect(self._url, self.desk(f"a{number}")) for number in range(self._agents)
        ]
        for desk in desks:
            desk.ask()
        self.idle.extend([await connect(self._url, Poster(self)) for _ in range(POSTERS)])
        await asyncio.sleep(1)
        began, cpu_s = time.perf_counter(), time.process_time()
        total = int((warm_s + seconds) * rate)
        for number in range(total):
            self.due.append(began + number / rate)
            if (ahead := self.due[-1] - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            self._post(number)
        lasted = time.perf_counter() - began
        await self._settle(total)
        cpu_us = (time.process_time() - cpu_s) / total * 1e6
        if self.failed is not None:
            raise RuntimeError(self.failed)
        first = int(warm_s * rate)
        return self._measured(first, total, total / lasted, cpu_us)

    def _post(self, number: int) -> None:
        if self.idle:
            self.idle.popleft().post(number)
        else:
            self.waiting.append(number)

    async def _settle(self, total: int) -> None:
        for _ in range(200):
            if len(self.seen) >= total or self.failed:
                return
            await asyncio.sleep(0.05)

    def _measured(self, first: int, total: int, rate: float, cpu_us: float) -> Measured:
        took = sorted(
            (self.seen[number] - self.due[number]) * 1000
            for number in range(first, total)
            if number in self.seen
        )
        if not took:
            raise RuntimeError("no offer came")
        return Measured(
            total - first,
            len(took),
            rate,
            _share(took, 0.5),
            _share(took, 0.99),
            took[-1],
            cpu_us,
        )


class Poster(Line):
    """Posts the events that are due, the longest waiting first."""

    def __init__(self, load: Load) -> None:
        super().__init__()
        self._load = load
        head = request("POST", f"{BASE}/events", load.key, "application/cloudevents+json")
        self._head = head.replace(b"Content-Length: 0", b"Content-Length: %d")

    def post(self, number: int) -> None:
        named = self._load.first + number
        body = _EVENT % (named, named, named, centre.topic(named).encode())
        self.write(self._head % len(body) + body)

    def answered(self, status: int, body: bytes) -> None:
        load = self._load
        if status != 202:
            load.failed = f"POST events: {status} {body!r}"
        elif load.waiting:
            self.post(load.waiting.popleft())
        else:
            load.idle.append(self)


class Desk(Line):
    """As a desktop: ask with the last revision, and note the offers that are new."""

    def __init__(self, load: Load, agent: str) -> None:
        super().__init__()
        self.load = load
        self.agent = agent
        self._known: set[str] = set()
        self._first = request("GET", f"{BASE}/agents/{agent}/work?wait=25", load.key)
        self._again = self._first[:-2] + b'If-None-Match: "%d"\r\n\r\n'
        self._revision: int | None = None

    def ask(self) -> None:
        revision = self._revision
        self.write(self._first if revision is None else self._again % revision)

    def answered(self, status: int, body: bytes) -> None:
        if status == 200:
            self._look(_work.decode(body), time.perf_counter())
        elif status != 304:
            self.load.failed = f"GET work: {status} {body!r}"
            return
        self.ask()

    def _look(self, work: _Work, now: float) -> None:
        self._revision = work.revision
        for offer in work.offers:
            if offer.id not in self._known:
                self._known.add(offer.id)
                if (event := int(offer.preview) - self.load.first) >= 0:
                    self.load.seen.setdefault(event, now)
                self.noticed(offer)

    def noticed(self, offer: Offer) -> None:
        """What the agent does then."""


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run() -> list[Figure]:
    """The latency of Omniroute beside that of the bare post and long-poll."""
    bare = bare_one(lambda server: _measure(server, "-"))
    with folder() as data, omniroute("all", data) as ours:
        key = token(data, None, WORKSPACE, "admin")
        prepare(ours.url, key, AGENTS, CHATS)
        found = _measure(ours, key)
    more: dict[str, float | str] = {
        "rate": found.rate,
        "offered": f"{found.offered} of {found.posted}",
        "most_ms": found.most_ms,
        "load_cpu_us_per_event": found.load_cpu_us,
    }
    name = "Event posted to offer in the long-poll"
    return [
        Figure(
            name=f"{name}, p50", value=found.p50_ms, unit="ms", baseline=bare.p50_ms,
            baseline_name="bare commit and wake", target=15, at_most=True, more=more,
        ),
        Figure(
            name=f"{name}, p99", value=found.p99_ms, unit="ms", baseline=bare.p99_ms,
            baseline_name="bare commit and wake", target=60, at_most=True,
        ),
    ]  # fmt: skip


def bare_one(measure: Callable[[Server], Measured]) -> Measured:
    """What `measure` finds of the bare post and long-poll."""
    with folder() as data:
        server = EmbeddedPostgres(data)
        url = server.start()
        try:
            with baseline("bare_wait", asyncpg_dsn(url)) as bare:
                return measure(bare)
        finally:
            server.stop()


def _measure(server: Server, key: str) -> Measured:
    return measured("bench.latency", server.url, key)


def measured(module: str, *arguments: str) -> Measured:
    """One run of a load generator in its own process."""
    return msgspec.json.decode(printed(module, *arguments), type=Measured)


def prepare(url: str, key: str, count: int, chats: int) -> None:
    """Queue, policy and available agents, by HTTP."""
    plural = {"queue": "queues", "policy": "policies", "agent": "agents"}
    rules, agents = list(centre.rules_of_work()), list(centre.agents(count, chats))
    for kind, name, body in rules:
        _put(url, key, f"{plural[kind]}/{name}", {"id": name, **body})
    with ThreadPoolExecutor(16) as threads:
        for _ in threads.map(lambda one: _put(url, key, f"agents/{one[1]}", one[2]), agents):
            pass
        paths = [f"agents/{name}/presence" for _, name, _ in agents]
        for _ in threads.map(lambda path: _put(url, key, path, {"status": "available"}), paths):
            pass


def _put(url: str, key: str, path: str, body: Any) -> None:
    asked = urllib.request.Request(
        f"{url}{BASE}/{path}",
        msgspec.json.encode(body),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(asked, timeout=30):
        pass


def main() -> None:
    url, key, *asked = sys.argv[1:]
    rate, seconds, warm_s, first = map(float, asked or (RATE, SECONDS, WARM_S, 0))
    load = Load(url, key, first=int(first))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(load.run(rate, seconds, warm_s))).decode())


if __name__ == "__main__":
    main()
