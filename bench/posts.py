"""`POST events`, one event and batches of 500, and webhooks, against a bare endpoint that does the
least.

Placement: load generator, server, broker and PostgreSQL are processes of one machine and share its
cores. The servers take turns, three rounds; the best round of each counts, so that what else runs on
the machine blurs little. Authentication, schema check, metrics, acks=all and fsync are on.
"""

import asyncio
import contextlib
import itertools
import urllib.request
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.baselines.bare_endpoint import TOPIC
from bench.figures import Figure
from bench.posting import Posted
from bench.processes import Server, accepting, baseline, folder, omniroute, printed, token
from bench.webhooks import secrets_of
from shared.bus.kafka import KafkaBus
from shared.testing.kafka import KafkaBroker

ROUNDS = 3
SECONDS = 3.0
BATCH = 500
PACED_RATE = 500.0
PACED_S = 10.0
PACED_WARM_S = 3.0
ANSWERED_MS = 100.0
"""The strictest vendor gives 2 s."""
WORKSPACE = "bench"
PATH = f"/v1/workspaces/{WORKSPACE}/events"


@dataclass(frozen=True, slots=True)
class Round:
    """What one server did in one round; `cpu_us` of the server per event."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Load:
    """What is posted where: `form` is events or a kind of connector, `size` events a request."""

    server: Server
    path: str
    key: str
    size: int = 1
    form: str = "events"


def one() -> list[Figure]:
    return _run("POST events, one event", "/event", 1, 0.6)


def batches() -> list[Figure]:
    return _run(f"POST events, batches of {BATCH}", "/batch", BATCH, 0.5)


def webhooks() -> list[Figure]:
    """A vendor's signed webhook to its answer, against the same bare endpoint with an event."""
    with _pair(accepting) as (bare, ours, data, kafka):
        admin = token(data, kafka, WORKSPACE, "admin")
        told: list[Figure] = []
        for kind in ("whatsapp_cloud", "slack"):
            path = _connect(ours, admin, kind)
            loads = (Load(bare, "/event", "-"), Load(ours, path, "-", form=kind))
            told.append(_compare(f"Webhook of {kind}", *loads))
            told[-1].target, told[-1].of_ratio = 0.5, True
    return told + _answers()


def _answers() -> list[Figure]:
    """How long a vendor waits at an even pace, with the archive reading beside: latencies count from
    the moment a webhook was due."""
    with (
        KafkaBroker() as broker,
        folder() as data,
        omniroute("channels", data, broker.bootstrap) as ours,
    ):
        admin = token(data, broker.bootstrap, WORKSPACE, "admin")
        kinds = ("whatsapp_cloud", "slack")
        return [_paced(Load(ours, _connect(ours, admin, kind), "-", form=kind)) for kind in kinds]


def _paced(load: Load) -> Figure:
    post(load, PACED_WARM_S, next(_numbers), PACED_RATE)
    done = post(load, PACED_S, next(_numbers), PACED_RATE)
    return Figure(
        name=f"Answer to {load.form} at {PACED_RATE:.0f}/s, p99",
        value=done.p99_ms,
        unit="ms",
        target=ANSWERED_MS,
        at_most=True,
        more={
            "p50_ms": done.p50_ms,
            "most_ms": done.most_ms,
            "most_at_s": done.most_at_s,
            "answered_per_s": done.per_s,
            "failed": done.failed,
        },
    )


def _run(name: str, bare_path: str, size: int, target: float) -> list[Figure]:
    """Judged: accepting alone, as the bare endpoint does; told: the whole service, whose
    conversation archive reads the same events in the same process meanwhile."""
    told: list[Figure] = []
    for says, start in (("", accepting), (" (archive beside)", _whole)):
        with _pair(start) as (bare, ours, data, kafka):
            key = token(data, kafka, WORKSPACE, "platform")
            loads = (Load(bare, bare_path, key, size), Load(ours, PATH, key, size))
            told.append(_compare(name + says, *loads))
    told[0].target, told[0].of_ratio = target, True
    return told


Start = Callable[[Path, str], AbstractContextManager[Server]]


@contextlib.contextmanager
def _pair(start: Start) -> Generator[tuple[Server, Server, Path, str]]:
    """(the bare endpoint, our server, its data folder, the broker that both send to)."""
    with KafkaBroker() as broker, folder() as data:
        kafka = broker.bootstrap
        make_topic(kafka, TOPIC)
        with baseline("bare_endpoint", kafka) as bare, start(data, kafka) as ours:
            yield bare, ours, data, kafka


def _whole(data: Path, kafka: str) -> AbstractContextManager[Server]:
    return omniroute("channels", data, kafka)


def _connect(server: Server, admin: str, kind: str) -> str:
    """Make a connector; returns the path of its address."""
    path = f"/v1/workspaces/{WORKSPACE}/connectors/{kind}"
    body = msgspec.json.encode({"kind": kind, "secrets": secrets_of(kind)})
    headers = {"Authorization": f"Bearer {admin}", "Content-Type": "application/json"}
    asked = urllib.request.Request(server.url + path, body, headers, method="PUT")
    with urllib.request.urlopen(asked, timeout=30):
        return f"{path}/inbound"


def _compare(name: str, bare: Load, ours: Load) -> Figure:
    loads = (bare, ours)
    for load in loads:
        _round(load, 1.0)
    found: list[list[Round]] = [[], []]
    for _ in range(ROUNDS):
        for load, rounds in zip(loads, found, strict=True):
            rounds.append(_round(load, SECONDS))
    base, best = (max(rounds, key=lambda one: one.per_s) for rounds in found)
    return Figure(
        name=name,
        value=best.per_s,
        unit="events/s",
        baseline=base.per_s,
        baseline_name="bare endpoint",
        more={
            "p50_ms": best.p50_ms,
            "p99_ms": best.p99_ms,
            "cpu_us": min(one.cpu_us for one in found[1]),
            "bare_cpu_us": min(one.cpu_us for one in found[0]),
            "failed": sum(one.failed for one in found[1]),
        },
    )


_numbers = itertools.count(0, 10_000_000)


def _round(load: Load, seconds: float) -> Round:
    before = load.server.cpu_s()
    done = post(load, seconds, next(_numbers))
    events = max(1, done.requests * load.size)
    return Round(
        done.per_s * load.size,
        done.p50_ms,
        done.p99_ms,
        done.failed,
        (load.server.cpu_s() - before) / events * 1e6,
    )


def post(load: Load, seconds: float, first: int, rate: float = 0.0) -> Posted:
    """One run of the load generator in its own process."""
    connections = 64 if load.size == 1 else 4
    arguments = [
        load.server.url, load.path, "--form", load.form,
        "--token", load.key, "--size", str(load.size), "--connections", str(connections),
        "--seconds", str(seconds), "--first", str(first), "--rate", str(rate),
    ]  # fmt: skip
    return msgspec.json.decode(printed("bench.posting", *arguments), type=Posted)


def make_topic(bootstrap: str, name: str) -> None:
    """A topic of one partition for a baseline."""
    asyncio.run(_make_topic(bootstrap, name))


async def _make_topic(bootstrap: str, name: str) -> None:
    bus = KafkaBus(bootstrap)
    try:
        await bus.ensure_topics({name: 1})
    finally:
        await bus.stop()
