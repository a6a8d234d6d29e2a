"""What a change of a policy or a calendar would do to the open clocks, without doing it.

The clocks are counted again in a process of their own, portion by portion, so that the event loop
only ever hands over a few conversations at a time.
"""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec

from services.sla.domain.commands import PutResource
from services.sla.domain.conversation import Live, unpack
from services.sla.domain.core import SlaCore
from services.sla.domain.library import Library
from services.sla.domain.policy import Mode
from services.sla.live import as_sla, now_us
from shared.calendars import expand
from shared.contracts.core import Core, Entity
from shared.contracts.instants import optional_instant, seconds
from shared.runtime.port import RuntimePort

PORTION = 200  # conversations handed over at a time
EXAMPLES = 20
AT_ONCE = 2  # portions that wait in the process


class Proposal(msgspec.Struct, frozen=True):
    """The change: `policies` and `calendars` are canonical bodies with ids; `mode` as of a
    migration; `only`: the policies whose open clocks are concerned (None: all)."""

    policies: list[dict[str, Any]]
    calendars: list[dict[str, Any]]
    mode: Mode | None
    only: list[str] | None


class Moved(msgspec.Struct, array_like=True):
    """An open clock that would move, by how much, and whether it would be breached now."""

    clock_id: str
    conversation_id: str
    metric: str
    before_us: int | None
    after_us: int | None
    by_us: int
    breaches: bool
    ends: bool


class Tally(msgspec.Struct, array_like=True):
    """Of one portion: clocks looked at, clocks that would start, and those that would move."""

    open: int
    starts: int
    moved: list[Moved]


class Trial:
    """The process's side: the configuration with the change applied."""

    def __init__(self, workspace: str, stored: list[Entity], what: Proposal, at_us: int) -> None:
        self._workspace, self._what, self._now_us = workspace, what, at_us
        self._library = Library()
        self._library.load(stored)
        for body in what.calendars:
            self._put("calendar", body)
        for body in what.policies:
            self._put("sla_policy", body)

    def _put(self, kind: Any, body: dict[str, Any]) -> None:
        windows = expand(body, self._now_us) if kind == "calendar" else None
        raw = msgspec.Raw(msgspec.json.encode(body))
        command = PutResource(resource=kind, id=body["id"], body=raw, windows=windows)
        self._library.put(command)

    def portion(self, conversations: list[bytes]) -> Tally:
        tally = Tally(0, 0, [])
        for packed in conversations:
            conversation = unpack(packed)
            for record in conversation.episodes:
                for number in record.books():
                    self._library.pin(number)
                live = Live(self._workspace, conversation, record, self._library)
                self._try(live, tally)
        return tally

    def _try(self, live: Live, tally: Tally) -> None:
        policy, only = live.fold.policy, self._what.only
        before = {live.clock_id(clock): clock for clock in live.fold.open_clocks()}
        if not before or (only is not None and (policy is None or policy.id not in only)):
            return
        tally.open += len(before)
        kept = {name: self._state(live, clock) for name, clock in before.items()}
        live.change_policies(self._now_us, self._library.number, self._what.mode)
        after = {live.clock_id(clock): clock for clock in live.clocks}
        tally.starts += sum(name not in kept and clock.is_open for name, clock in after.items())
        for name, (due_us, left_us, breached) in kept.items():
            clock = after.get(name)
            ends = clock is None or not clock.is_open
            new = (None, left_us, breached) if clock is None else self._state(live, clock)
            by_us = new[1] - left_us if due_us is None or new[0] is None else new[0] - due_us
            if not ends and not by_us and new[2] == breached:
                continue
            metric = before[name].metric
            breaches = new[2] and not breached and not ends
            conversation = live.conversation.id
            tally.moved.append(
                Moved(name, conversation, metric, due_us, new[0], by_us, breaches, ends)
            )

    def _state(self, live: Live, clock: Any) -> tuple[int | None, int, bool]:
        """(due, what is left, breached) as known now."""
        hands = live.fold.hands
        left = clock.target_us - hands.elapsed(clock, self._now_us)
        return clock.due_us, left, hands.breach(clock, self._now_us) is not None


class DryRuns:
    """The shell's side. One at a time; a second one waits for the first."""

    def __init__(self, runtime: RuntimePort, now_us: Callable[[SlaCore], int] = now_us) -> None:
        self._runtime = runtime
        self._now_us = now_us
        self._one = asyncio.Lock()

    async def run(self, workspace: str, what: Proposal) -> AsyncIterator[dict[str, Any]]:
        """`{"done", "of"}` (conversations) as it goes, then the report (`_report`).

        Raises what `RuntimePort.query` raises.
        """
        async with self._one:
            names, stored, at_us = await self._runtime.query(workspace, self._beginning)
            spawn = multiprocessing.get_context("spawn")
            given = (workspace, msgspec.msgpack.encode(stored), what, at_us)
            pool = ProcessPoolExecutor(1, spawn, _prepare, given)
            try:
                report = Report()
                async for tally, done in self._portions(pool, workspace, names):
                    report.add(tally)
                    yield {"done": done, "of": len(names)}
                yield report.shown(at_us)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _beginning(self, core: Core) -> tuple[list[str], list[Entity], int]:
        sla = as_sla(core)
        return list(sla.conversations), sla.library.dump(), self._now_us(sla)

    async def _portions(
        self, pool: ProcessPoolExecutor, workspace: str, names: list[str]
    ) -> AsyncIterator[tuple[Tally, int]]:
        loop = asyncio.get_running_loop()
        running: list[tuple[asyncio.Future[Tally], int]] = []
        for start in range(0, len(names), PORTION):
            some = names[start : start + PORTION]
            packed = await self._runtime.query(
                workspace, lambda core, some=some: _packed(core, some)
            )
            done = min(start + PORTION, len(names))
            running.append((loop.run_in_executor(pool, _portion, packed), done))
            if len(running) > AT_ONCE:
                first, upto = running.pop(0)
                yield await first, upto
        for first, upto in running:
            yield await first, upto


def _packed(core: Core, names: list[str]) -> list[bytes]:
    """Those of the conversations that are still in memory."""
    held = as_sla(core).conversations
    return [held.body(name) for name in names if name in held]


class Report:
    """The sum of the portions."""

    def __init__(self) -> None:
        self._open = self._starts = self._breaches = self._ends = 0
        self._by: list[int] = []
        self._furthest: list[Moved] = []

    def add(self, tally: Tally) -> None:
        self._open += tally.open
        self._starts += tally.starts
        for one in tally.moved:
            self._breaches += one.breaches
            self._ends += one.ends
            if not one.ends:
                self._by.append(one.by_us)
        found = [*self._furthest, *tally.moved]
        found.sort(key=lambda one: (not one.breaches, -abs(one.by_us), one.clock_id))
        self._furthest = found[:EXAMPLES]

    def shown(self, at_us: int) -> dict[str, Any]:
        """How many of the open clocks would move, by how much, and which would breach."""
        by = sorted(self._by)
        return {
            "at": optional_instant(at_us),
            "clocks": self._open,
            "moves": len(by),
            "earlier": sum(each < 0 for each in by),
            "later": sum(each > 0 for each in by),
            "by_s": {name: _at(by, share) for name, share in _SHARES},
            "would_breach": self._breaches,
            "would_cancel": self._ends,
            "would_start": self._starts,
            "examples": [
                {
                    "clock_id": one.clock_id,
                    "conversation_id": one.conversation_id,
                    "metric": one.metric,
                    "due_at": optional_instant(one.before_us),
                    "new_due_at": optional_instant(one.after_us),
                    "by_s": seconds(one.by_us),
                    "would_breach": one.breaches,
                    "would_cancel": one.ends,
                }
                for one in self._furthest
            ],
        }


_SHARES = (("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("max", 1.0))


def _at(ordered: list[int], share: float) -> float | None:
    return seconds(ordered[round(share * (len(ordered) - 1))]) if ordered else None


# In the process.

_trial: list[Trial] = []


def _prepare(workspace: str, stored: bytes, what: Proposal, at_us: int) -> None:
    os.nice(10)
    entities = msgspec.msgpack.decode(stored, type=list[Entity])
    _trial.append(Trial(workspace, entities, what, at_us))


def _portion(conversations: list[bytes]) -> Tally:
    return _trial[0].portion(conversations)
