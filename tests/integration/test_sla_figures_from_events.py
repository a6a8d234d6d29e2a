"""Figures after random histories equal a count of the clocks, one by one.

Conversations go through the SLA core as in operation: answers that come late, also after the end, reopenings,
transfers, holds told afterwards, duplicates. Its rows are written in batches and folded now and then.
"""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sla.domain.core import SlaFactory
from services.sla.domain.promises import Promise
from services.sla.figures_spans import EPOCH
from services.sla.figures_store import FiguresStore
from services.sla.projection import write_rows
from services.sla.readings import Readings
from services.sla.rollup import Rollup
from shared.calendars import expand
from shared.contracts.core import Input, Row
from shared.contracts.instants import format_instant
from shared.contracts.service_level import Counts, service_levels
from shared.db.engine import transaction

S = 1_000_000
NOW = datetime.now(UTC).replace(microsecond=0)
T0 = (NOW - timedelta(hours=60) - EPOCH) // timedelta(microseconds=1)
ALWAYS = {"id": "always", "timezone": "UTC", "always_open": True}
POLICY = {
    "id": "main",
    "calendar": "always",
    "lateness_s": 86_400,
    "targets": {
        "first_response": {"target_s": 60},
        "next_response": {"target_s": 120},
        "resolution": {"target_s": 600, "pause_when": "task.held"},
    },
}
PROMISES = {
    "billing": {"first_response": Promise(37.25, 0.8)},
    "tech": {"first_response": Promise(90, 0.9)},
}
METRICS = ("first_response", "next_response", "resolution")


async def promises(_: str) -> dict[str, dict[str, Promise]]:
    return PROMISES


class NotInMemory:
    """A runtime that has no clock in memory: what was stored of open ones counts."""

    async def query(self, workspace: str, fn: Any) -> list[None]:
        return [None] * len(fn.keywords["wanted"])


class Histories:
    """A core that is told what happens in many conversations, with the rows it gives out."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.core = SlaFactory().create("shop", 1)
        self.rows: list[tuple[str, Row]] = []
        self.number = 0
        windows = msgspec.to_builtins(expand(ALWAYS, T0))
        self._put("calendar", ALWAYS, windows=windows)
        self._put("sla_policy", POLICY)
        for queue, promised in PROMISES.items():
            level = {name: {"threshold_s": one.threshold_s} for name, one in promised.items()}
            body = {"id": queue, "version": 1, "body": {"service_level": level}}
            self.apply(0, Input("config", "queue", msgspec.json.encode(body)))

    def _put(self, resource: str, body: dict[str, Any], **more: Any) -> None:
        command = {"resource": resource, "id": body["id"], "body": body, **more}
        self.apply(0, Input("command", "PutResource", msgspec.json.encode(command), id="c"))

    def apply(self, now_s: float, what: Input) -> None:
        self.number += 1
        outcome = self.core.apply(T0 + round(now_s * S), self.number, what)
        self.rows += [("shop", row) for row in outcome.rows]

    def message(self, now_s: float, at_s: float, name: str, key: str, role: str) -> None:
        data = {
            "workspace": "shop", "connector": "events", "channel": "chat", "conversation_id": key,
            "message_id": f"msg_{name}", "received_at": format_instant(T0 + round(now_s * S)),
            "direction": "inbound" if role == "customer" else "outbound",
            "author": {"role": role}, "agent_id": None if role == "customer" else "ana",
            "text": "x",
        }  # fmt: skip
        body = msgspec.json.encode(data)
        at_us = T0 + round(at_s * S)
        self.apply(now_s, Input("event", "interaction.message.v1", body, name, time_us=at_us))

    def told(self, now_s: float, at_s: float, name: str, key: str, kind: str, **more: Any) -> None:
        data = {
            "workspace": "shop", "seq": self.number, "at": format_instant(T0 + round(at_s * S)),
            "task_id": f"tsk_{key}", "conversation_id": key, **more,
        }  # fmt: skip
        self.apply(
            now_s, Input("event", f"routing.task.{kind}.v1", msgspec.json.encode(data), name)
        )


Step = tuple[float, float, str, str]  # told at, happened at, conversation, kind


def plan(chance: random.Random, conversations: int) -> list[Step]:
    """In the order in which it is told; a tenth comes late, some of it after the end. One is held after
    its breach, one is nobody's task."""
    steps: list[Step] = [
        (at, at, "cnv_held", kind) for at, kind in ((9e4, "begin"), (91e3, "held"))
    ]
    steps.append((92e3, 92e3, "cnv_stray", "customer"))
    for number in range(conversations):
        at, key = chance.uniform(0, 58 * 3600), f"cnv_{number}"
        kinds = ["begin", *chance.choices(KINDS, k=chance.randrange(9))]
        kinds += chance.choice([[], ["completed"], ["abandoned"], ["completed", "reopened"]])
        if kinds[-1] == "reopened" and chance.random() < 0.5:
            kinds += ["agent", "completed"]
        for kind in kinds:
            late_s = chance.choice([0, 0, 0, 0, 0, 0, 0, 0, 40, 900]) if kind != "begin" else 0
            steps.append((at + late_s, at, key, kind))
            at += round(chance.expovariate(1 / 45), 3)
    return sorted(steps)


KINDS = ("agent", "agent", "customer", "assigned", "held", "resumed", "transferred", "twice")


def play(histories: Histories, step: Step, number: int) -> None:
    now_s, at_s, key, kind = step
    chance, name = histories.chance, f"e{number}"
    if kind == "begin":
        histories.message(now_s, at_s, name, key, "customer")
        facts = {"queue": chance.choice(list(PROMISES)), "priority": chance.choice([0, 2.5])}
        more = {"event_id": name, "channel": "chat", "customer": {"id": key}, **facts}
        histories.told(now_s, at_s, f"{name}t", key, "created", **more)
    elif kind in ("agent", "customer", "twice"):
        role = "customer" if kind == "customer" else "agent"
        for _ in range(1 + (kind == "twice")):
            histories.message(now_s, at_s, name, key, role)
    elif kind == "abandoned":
        histories.told(now_s, at_s, name, key, "cancelled", reason="abandoned")
    else:
        more = {"to": {"queue": "tech"}, "mode": "blind"} if kind == "transferred" else {}
        tags = chance.sample(["vip", "late"], chance.randrange(3))
        facts = {"agent_id": chance.choice(["ana", "ben"]), "reason": "lunch", "tags": tags}
        histories.told(now_s, at_s, name, key, kind, **facts, **more)


@pytest.mark.parametrize("seed", [1, 3])
async def test_figures_equal_a_count_of_the_clocks(engine: AsyncEngine, seed: int) -> None:
    chance = random.Random(seed)
    histories, rollup = Histories(chance), Rollup(engine)
    for number, step in enumerate(plan(chance, 100)):
        play(histories, step, number)
        if chance.random() < 0.05:
            await write(engine, histories)
            if chance.random() < 0.3:
                await rollup.fold(chance.choice([20, 4_000]))
    await write(engine, histories)
    clocks = await stored(engine)
    states = {clock["state"] for clock in clocks}
    assert states >= {"running", "paused", "met", "missed", "closed_unanswered", "abandoned"}
    for folded in (False, True):
        while folded and await rollup.fold():
            pass
        while folded and await rollup.split():
            pass
        await same_levels(engine, clocks)
        await same_compliance(engine, clocks)
        await nothing_due_is_left_out(engine)


async def write(engine: AsyncEngine, histories: Histories) -> None:
    async with transaction(engine) as connection:
        await write_rows(connection, histories.rows)
    histories.rows.clear()


async def stored(engine: AsyncEngine) -> list[dict[str, Any]]:
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(text("SELECT * FROM sla.clock"))).mappings()]  # fmt: skip


SPANS = (
    (NOW - timedelta(hours=61), NOW),
    (NOW - timedelta(hours=50, minutes=7, seconds=3), NOW - timedelta(hours=9, seconds=1)),
)
NAMES = {"queue": "queue", "agent": "agent_id", "priority": "priority", "policy": "policy_id"}


async def same_levels(engine: AsyncEngine, clocks: list[dict[str, Any]]) -> None:
    readings = Readings(NotInMemory(), FiguresStore(engine), promises)  # type: ignore[arg-type]
    for since, until in SPANS:
        for by, column in NAMES.items():
            rows = await readings.service_level("shop", "first_response", since, until, by)  # type: ignore[arg-type]
            expected: dict[Any, Counts] = defaultdict(Counts)
            for clock in clocks:
                begun = since <= clock["started_at"] < until
                if clock["metric"] == "first_response" and begun and clock["state"] != "cancelled":
                    limit = 20.0
                    if by == "queue" and clock["queue"]:
                        limit = PROMISES[clock["queue"]]["first_response"].threshold_s
                    count(expected[clock[column]], clock, limit)
            assert {row[by]: row["counts"] for row in rows} == {
                key: msgspec.structs.asdict(one) for key, one in expected.items()
            }
            for row in rows:
                assert row["service_level"] == service_levels(expected[row[by]])


def count(counts: Counts, clock: dict[str, Any], limit_s: float) -> None:
    within, state = clock["elapsed_s"] <= limit_s, clock["state"]
    if state in ("running", "paused"):
        counts.wait(beyond=not within)
        return
    counts.offered += 1
    if state in ("met", "missed"):
        counts.answered += 1
        counts.answered_within += within
    elif state == "abandoned":
        counts.abandoned += 1
        counts.abandoned_within += within
        counts.abandoned_short += clock["elapsed_s"] <= 5
    else:
        counts.closed_unanswered += 1


async def same_compliance(engine: AsyncEngine, clocks: list[dict[str, Any]]) -> None:
    readings = Readings(NotInMemory(), FiguresStore(engine), promises)  # type: ignore[arg-type]
    for cohort, moment in (("started", "started_at"), ("due", "due_at"), ("finished", "ended_at")):
        for since, until in SPANS:
            rows = await readings.compliance("shop", None, cohort, since, until, "agent")  # type: ignore[arg-type]
            expected: dict[tuple[Any, str], list[int]] = defaultdict(lambda: [0, 0])
            for clock in clocks:
                at, late = clock[moment], clock["breached_at"] is not None
                if moment == "due_at" and at is None:  # a hold takes no miss out of sight
                    at = clock["breached_at"]
                if at is None or not since <= at < until or clock["state"] == "cancelled":
                    continue
                place = expected[clock["agent_id"], clock["metric"]]
                place[0] += clock["state"] == "met"
                closed_late = clock["state"] == "closed_unanswered" and late
                is_open = clock["state"] in ("running", "paused")
                overdue = is_open and (late or at_or_none(clock["due_at"]) < datetime.now(UTC))
                place[1] += clock["state"] == "missed" or closed_late or overdue
            found = {
                (row["agent"], row["metric"]): [row["counts"]["met"], row["counts"]["missed"]]
                for row in rows
            }
            assert found == expected
            for row in rows:
                met, missed = expected[row["agent"], row["metric"]]
                assert row["compliance"] == (met / (met + missed) if met + missed else None)


async def nothing_due_is_left_out(engine: AsyncEngine) -> None:
    readings = Readings(NotInMemory(), FiguresStore(engine), promises)  # type: ignore[arg-type]
    for by in NAMES:
        total = (await readings.forecast("shop", None, by))["overdue"]  # type: ignore[arg-type]
        rows = (await readings.figures("shop", *SPANS[1], by))["rows"]  # type: ignore[arg-type]
        assert sum(row["overdue"] for row in rows) == total > 0
        assert all(len(row["due"]) == 3 for row in rows)


def at_or_none(at: datetime | None) -> datetime:
    return at or datetime.max.replace(tzinfo=UTC)
