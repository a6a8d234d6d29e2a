"""Bytecode instructions and calls of Python functions that an input costs the SLA service's core.

`python -m bench.sla_ops [--lives 300] [--rows 30] [--mix none|policy] [--time]` prints the counts per input
of two mixes, then the functions that run most: `none` without any policy, `policy` with a first and a next
response and a resolution, always open. A life is the customer's message, its task, assignment, an answer, a
second message, completion; many overlap, and the changes are taken every 20 inputs, as a commit does at
some 420 events a second. `--time` measures CPU time instead, in yardsticks of `bench.router_core`: it shows
what C code costs (decoding, packing, hashing), which instructions do not.
"""

import argparse
import gc
import random
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from bench.router_core import yardsticks
from bench.router_ops import Counting, show
from services.sla.domain.core import SlaCore, SlaFactory
from shared.calendars import expand
from shared.contracts.core import Input
from shared.contracts.instants import SECOND_US, format_instant, parse_instant
from shared.contracts.routing import (
    TYPES,
    RoutingEvent,
    TaskAssigned,
    TaskCompleted,
    TaskCreated,
    TaskMessage,
)

TAKEN_EVERY = 20  # inputs, then the changes are taken
BEFORE = 2_200  # lives, so that the core has as many conversations at hand as it keeps
PIECE = 20 * TAKEN_EVERY  # inputs between two looks at the yardstick
LIVES_PER_S = 60
QUEUES = 8
START_US = parse_instant("2026-11-23T09:00:00Z")
ALWAYS = {"id": "always", "timezone": "UTC", "always_open": True}
POLICY = {
    "id": "main",
    "calendar": "always",
    "targets": {
        "first_response": {"target_s": 60, "warn_at": [0.75]},
        "next_response": {"target_s": 120},
        "resolution": {"target_s": 3_600, "pause_when": "task.held"},
    },
}
Step = tuple[int, str, Any]  # when after the life began, what, its fields
Log = list[tuple[int, int, Input]]


def configured(mix: str) -> SlaCore:
    core = SlaFactory().create("bench", 1)
    if mix == "policy":
        windows = msgspec.to_builtins(expand(ALWAYS, START_US))
        _put(core, "calendar", ALWAYS, windows=windows)
        _put(core, "sla_policy", POLICY)
    return core


def _put(core: SlaCore, kind: str, body: dict[str, Any], **more: Any) -> None:
    command = {"resource": kind, "id": body["id"], "body": body, **more}
    core.apply(START_US, 1, Input("command", "PutResource", msgspec.json.encode(command)))


def recorded(lives: int) -> Log:
    """The inputs until so many lives have begun, in order of time."""
    steps: list[tuple[int, Input]] = []
    for number in range(lives):
        began_us = START_US + number * SECOND_US // LIVES_PER_S
        steps += [(at_us, what) for at_us, what in _life(number, began_us)]
    until_us = START_US + lives * SECOND_US // LIVES_PER_S
    steps = sorted((step for step in steps if step[0] < until_us), key=lambda step: step[0])
    return [(at_us, number, what) for number, (at_us, what) in enumerate(steps, 10)]


def _life(number: int, began_us: int) -> Iterator[tuple[int, Input]]:
    def at(after_ms: int) -> int:
        return began_us + after_ms * 1_000 + number % 977

    agent = f"agent{number % 50}"
    first, second = f"evt_{number:032x}", f"evt_{number + 10**9:032x}"
    yield _said(at(0), number, "customer", first)
    yield _told(at(40), number, TaskCreated, event_id=first, queue=f"q{number % QUEUES}",
                priority=5, language="en", attributes={"topic": "invoice"}, channel="chat",
                customer={"id": f"cus_{number}", "tier": "gold", "attributes": {}},
                waiting_since=format_instant(at(0)))  # fmt: skip
    yield _told(at(300), number, TaskAssigned, agent_id=agent, units=30.0, offer_id=f"off_{number}",
                queue=f"q{number % QUEUES}", waited_s=0.26)  # fmt: skip
    yield _said(at(2_000), number, "agent", f"evt_{number + 2 * 10**9:032x}", agent_id=agent)
    yield _said(at(3_000), number, "customer", second)
    yield _told(at(3_040), number, TaskMessage, event_id=second, message_id="msg")
    yield _told(at(5_000), number, TaskCompleted, agent_id=agent, disposition="done", tags=["x"])


def _said(at_us: int, number: int, role: str, event: str, **more: Any) -> tuple[int, Input]:
    data = {
        "workspace": "bench", "connector": "events", "channel": "chat",
        "conversation_id": f"cnv_{number:032x}", "message_id": event.replace("evt", "msg"),
        "received_at": format_instant(at_us), "author": {"role": role},
        "direction": "inbound" if role == "customer" else "outbound", "language": "en",
        "text": "My invoice is wrong, and I have been waiting for an answer since last week.",
        "attributes": {"topic": "invoice"}, **more,
    }  # fmt: skip
    body = msgspec.json.encode(data)
    return at_us, Input("event", "interaction.message.v1", body, event, time_us=at_us)


def _told(at_us: int, number: int, kind: type[RoutingEvent], **more: Any) -> tuple[int, Input]:
    names = {"task_id": f"tsk_{number:032x}", "conversation_id": f"cnv_{number:032x}"}
    data = {"workspace": "bench", "seq": at_us, "at": format_instant(at_us), **names, **more}
    event = msgspec.convert(data, kind)
    name = next(name for name, one in TYPES.items() if one is kind)
    return at_us, Input("event", name, msgspec.json.encode(event), f"r{at_us}", time_us=at_us)


def run(core: SlaCore, log: Log) -> None:
    for place, (now_us, number, what) in enumerate(log, 1):
        core.apply(now_us, number, what)
        if place % TAKEN_EVERY == 0:
            core.changes()
            core.wake_at_us()


def begun(mix: str, lives: int) -> tuple[SlaCore, Log]:
    """A core in its usual state, and the inputs to measure."""
    core, log = configured(mix), recorded(BEFORE + lives)
    first = len(log) * BEFORE // (BEFORE + lives)
    run(core, log[:first])
    gc.collect()
    return core, log[first:]


def counted(mix: str, lives: int) -> tuple[Counting, int]:
    """The counts, and of how many inputs."""
    core, log = begun(mix, lives)
    with Counting() as counting:
        run(core, log)
    return counting, len(log)


def timed(mix: str, lives: int) -> tuple[float, float]:
    """Seconds of CPU an input, and of a yardstick."""
    core, log = begun(mix, lives)
    chance, spent, measured, sticks = random.Random(3), 0.0, 0.0, 0
    for at in range(0, len(log), PIECE):
        began = time.process_time()
        run(core, log[at : at + PIECE])
        between = time.process_time()
        sticks += yardsticks(chance)
        spent, measured = spent + between - began, measured + time.process_time() - between
    return spent / len(log), measured / sticks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=300)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--mix", choices=("none", "policy"), action="append")
    parser.add_argument("--time", action="store_true", help="CPU time instead of instructions")
    options = parser.parse_args()
    for mix in options.mix or ("none", "policy"):
        if options.time:
            spent, stick = timed(mix, options.lives)
            print(f"{mix}: {spent * 1e6:.1f} µs CPU an input, {spent / stick:.1f} yardsticks")
            continue
        counting, inputs = counted(mix, options.lives)
        show(counting, inputs, options.rows, f"{mix}: ")


if __name__ == "__main__":
    main()
