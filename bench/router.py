"""The router's process on Kafka and PostgreSQL: a burst into free capacity, and whole lives of tasks.

Placement: generator, broker, PostgreSQL (embedded, fsync on) and the router share the machine's cores.
One workspace, so one shard: the hardest case. Desktops are played within the router's process through
`Runtime.submit`; see `bench.router_process`.
"""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, cast

import msgspec

from bench.baselines.bare_loop import OUT
from bench.figures import Figure
from bench.posts import make_topic
from bench.processes import folder, printed, process, sampled, settings
from bench.router_process import Order, Result
from shared.contracts import topics
from shared.db.engine import asyncpg_dsn
from shared.testing.kafka import KafkaBroker

BURST = 20_000
ROUNDS = 2
LIVES_S = 12.0
SOAK_EVENTS = 200_000
MESSAGES = 4

Ask = Callable[[Order], Result]


@contextlib.contextmanager
def router(data: Path, kafka: str) -> Generator[Ask]:
    """The process under test; ask it to measure."""
    command = [*sampled(), "bench.router_process"]
    with process(command, settings(data, kafka), piped=True) as started:
        stdin, stdout = cast("IO[str]", started.stdin), cast("IO[str]", started.stdout)

        def ask(order: Order) -> Result:
            stdin.write(msgspec.json.encode(order).decode() + "\n")
            stdin.flush()
            if not (line := stdout.readline()):
                raise RuntimeError("the router's process ended")
            return msgspec.json.decode(line, type=Result)

        yield ask
        stdin.close()
        started.wait(30)


def burst() -> list[Figure]:
    """New conversations per second, published, taken in, decided, committed and offered."""
    with KafkaBroker() as broker, folder() as data, router(data, broker.bootstrap) as ask:
        make_topic(broker.bootstrap, OUT)
        found: list[Result] = []
        bare: list[float] = []
        for number in range(ROUNDS):
            order = Order("burst", f"burst{number}", agents=1_000, chats=25, count=BURST)
            found.append(ask(order))
            bare.append(_bare(broker.bootstrap, found[-1]))
    best = min(found, key=lambda each: each.seconds)
    return [
        Figure(
            name="Router process, burst of new conversations",
            value=best.tasks / best.seconds,
            unit="tasks/s",
            baseline=max(bare),
            baseline_name="bare loop",
            target=5_000,
            more={
                "cpu_us": best.cpu_s / best.tasks * 1e6,
                "inputs_per_commit": best.inputs_per_commit,
            },
        )
    ]


def lives() -> list[Figure]:
    """Whole lives of tasks per second: event, offer, acceptance, completion."""
    with KafkaBroker() as broker, folder() as data, router(data, broker.bootstrap) as ask:
        found = [
            ask(Order("lives", f"lives{number}", 1_000, 3, seconds=LIVES_S, warm_s=2))
            for number in range(ROUNDS)
        ]
    best = max(found, key=lambda each: each.tasks / each.seconds)
    return [
        Figure(
            name="Router process, full lives of a task",
            value=best.tasks / best.seconds,
            unit="lives/s",
            target=1_500,
            more={
                "cpu_us": best.cpu_s / best.tasks * 1e6,
                "inputs_per_commit": best.inputs_per_commit,
            },
        )
    ]


def soak(events: int = SOAK_EVENTS) -> list[Figure]:
    """Memory and disk over many events; a conversation has MESSAGES of them, and one whole life."""
    with KafkaBroker() as broker, folder() as data, router(data, broker.bootstrap) as ask:
        # What every order fills once (caches, pools, plans) is filled before it counts.
        order = Order("soak", "soak", 1_000, 3, count=events, warm_s=10, messages=MESSAGES)
        result = ask(order)
        stored = _size(data / "postgres" / "base") / events
        wal = _size(data / "postgres" / "pg_wal")
        logged = _size(broker.folder / "log") / events
    memory = result.memory_mib
    facts: dict[str, float | str] = {
        "events": events,
        "lives_per_s": result.tasks / result.seconds,
        "postgres_bytes_per_event": stored,
        "kafka_bytes_per_event": logged,
        "wal_mib": wal / 2**20,
        "memory_mib": " ".join(f"{each:.0f}" for each in memory),
    }
    return [
        Figure(
            name=f"Memory after {events:,} events, against a fifth of them",
            value=memory[-1],
            unit="MiB",
            baseline=memory[1],
            baseline_name="MiB",
            target=1.1,
            of_ratio=True,
            at_most=True,
            more=facts,
        )
    ]


def _bare(kafka: str, result: Result) -> float:
    """The bare loop over the very same records."""
    arguments = [
        kafka, asyncpg_dsn(result.database_url),
        topics.INTERACTIONS["chat"], str(result.partition), str(result.start), str(result.events),
    ]  # fmt: skip
    return float(printed("bench.baselines.bare_loop", *arguments))


def _size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(each.stat().st_blocks * 512 for each in folder.rglob("*") if each.is_file())
