"""`POST events`, one event and batches of 500, against a bare endpoint that does the least.

Placement: load generator, server, broker and PostgreSQL are processes of one machine and share its
cores. The servers take turns, three rounds; the best round of each counts, so that what else runs on
the machine blurs little. Authentication, schema check, metrics, acks=all and fsync are on.
"""

import subprocess
import sys
from pathlib import Path

import msgspec

from bench.baselines.bare_endpoint import TOPIC
from bench.figures import Figure
from bench.posting import Posted
from bench.processes import baseline, folder, omniroute, token
from shared.bus.kafka.topics import TopicAdmin
from shared.testing.kafka import KafkaBroker

ROUNDS = 3
SECONDS = 4.0
BATCH = 500
WORKSPACE = "bench"
PATH = f"/v1/workspaces/{WORKSPACE}/events"


def run() -> list[Figure]:
    """Both figures, and the single post with the archive at work beside it."""
    import asyncio

    with KafkaBroker() as broker, folder() as data:
        asyncio.run(_topics(broker.bootstrap))
        with (
            baseline("bare_endpoint", broker.bootstrap) as bare,
            omniroute("channels", data, broker.bootstrap) as ours,
        ):
            return _measure(bare, ours, data, broker.bootstrap)


def _measure(bare: str, ours: str, data: Path, kafka: str) -> list[Figure]:
    key = token(data, kafka, WORKSPACE, "platform")
    first = 0
    one: dict[str, list[Posted]] = {bare: [], ours: []}
    many: dict[str, list[Posted]] = {bare: [], ours: []}
    for url, path in ((bare, "/event"), (ours, PATH)):
        post(url, path, key, 1, 1.0, first)
        first += 1_000_000
    for _ in range(ROUNDS):
        for size, found in ((1, one), (BATCH, many)):
            for url, path in ((bare, "/event" if size == 1 else "/batch"), (ours, PATH)):
                found[url].append(post(url, path, key, size, SECONDS, first))
                first += 10_000_000
    return [
        _figure("POST events, one event", one[ours], one[bare], 1, 0.6),
        _figure(f"POST events, batches of {BATCH}", many[ours], many[bare], BATCH, 0.5),
    ]


def _figure(name: str, ours: list[Posted], bare: list[Posted], size: int, target: float) -> Figure:
    best = max(ours, key=lambda each: each.per_s)
    return Figure(
        name=name,
        value=best.per_s * size,
        unit="events/s",
        baseline=max(each.per_s for each in bare) * size,
        baseline_name="bare endpoint",
        target=target,
        of_ratio=True,
        more={
            "p50_ms": best.p50_ms,
            "p99_ms": best.p99_ms,
            "failed": sum(each.failed for each in ours),
        },
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


async def _topics(bootstrap: str) -> None:
    admin = TopicAdmin({"bootstrap_servers": bootstrap})
    try:
        await admin.ensure({TOPIC: 1})
    finally:
        await admin.stop()
