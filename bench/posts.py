"""`POST events`, one event and batches of 500, against a bare endpoint that does the least.

Placement: load generator, server, broker and PostgreSQL are processes of one machine and share its
cores. The servers take turns, three rounds; the best round of each counts, so that what else runs on
the machine blurs little. Authentication, schema check, metrics, acks=all and fsync are on.
"""

import asyncio
import itertools
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.baselines.bare_endpoint import TOPIC
from bench.figures import Figure
from bench.posting import Posted
from bench.processes import Server, accepting, baseline, folder, omniroute, token
from shared.bus.kafka import KafkaBus
from shared.testing.kafka import KafkaBroker

ROUNDS = 3
SECONDS = 3.0
BATCH = 500
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


def one() -> list[Figure]:
    return _run("POST events, one event", "/event", 1, 0.6)


def batches() -> list[Figure]:
    return _run(f"POST events, batches of {BATCH}", "/batch", BATCH, 0.5)


def _run(name: str, bare_path: str, size: int, target: float) -> list[Figure]:
    """Judged: accepting alone, as the bare endpoint does; told: the whole service, whose
    conversation archive reads the same events in the same process meanwhile."""
    told: list[Figure] = []
    for says, start in (("", accepting), (" (archive beside)", _whole)):
        with KafkaBroker() as broker, folder() as data:
            kafka = broker.bootstrap
            make_topic(kafka, TOPIC)
            with baseline("bare_endpoint", kafka) as bare, start(data, kafka) as ours:
                key = token(data, kafka, WORKSPACE, "platform")
                turns = [(bare, bare_path), (ours, PATH)]
                told.append(_compare(name + says, turns, key, size))
    told[0].target, told[0].of_ratio = target, True
    return told


def _whole(data: Path, kafka: str) -> AbstractContextManager[Server]:
    return omniroute("channels", data, kafka)


def _compare(name: str, turns: list[tuple[Server, str]], key: str, size: int) -> Figure:
    for server, path in turns:
        _round(server, path, key, size, 1.0)
    found: list[list[Round]] = [[], []]
    for _ in range(ROUNDS):
        for (server, path), rounds in zip(turns, found, strict=True):
            rounds.append(_round(server, path, key, size, SECONDS))
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


def _round(server: Server, path: str, key: str, size: int, seconds: float) -> Round:
    before = server.cpu_s()
    done = post(server.url, path, key, size, seconds, next(_numbers))
    events = max(1, done.requests * size)
    return Round(
        done.per_s * size,
        done.p50_ms,
        done.p99_ms,
        done.failed,
        (server.cpu_s() - before) / events * 1e6,
    )


def post(url: str, path: str, key: str, size: int, seconds: float, first: int) -> Posted:
    """One run of the load generator in its own process."""
    connections = 64 if size == 1 else 4
    command = [
        sys.executable, "-m", "bench.posting", url, path, "--token", key, "--size", str(size),
        "--connections", str(connections), "--seconds", str(seconds), "--first", str(first),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return msgspec.json.decode(done.stdout, type=Posted)


def make_topic(bootstrap: str, name: str) -> None:
    """A topic of one partition for a baseline."""
    asyncio.run(_make_topic(bootstrap, name))


async def _make_topic(bootstrap: str, name: str) -> None:
    bus = KafkaBus(bootstrap)
    try:
        await bus.ensure_topics({name: 1})
    finally:
        await bus.stop()
