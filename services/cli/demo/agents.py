"""Simulated agents: people at their desks who accept, read, answer and complete, and now and then
decline, overlook an offer or answer too late. They use the public HTTP API and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import msgspec
import structlog

from services.cli.demo.desk import Desk
from services.cli.demo.texts import ANSWERS
from shared.contracts.problems import Refused

WAIT_S = 20.0
PAUSE_S = 1.0
TURNS_MAX = 4
READ_TRIES = 20

Span = tuple[float, float]

log = structlog.get_logger(__name__)


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody works; spans in seconds from lowest to highest, chances from 0 to 1."""

    accept_s: Span = (0.4, 2.5)
    answer_s: Span = (2.0, 7.0)
    linger_s: Span = (2.0, 6.0)
    wrap_up_s: Span = (1.0, 4.0)
    back_s: Span = (4.0, 8.0)
    declines: float = 0.05
    overlooks: float = 0.04
    dawdles: float = 0.05
    dawdle_s: Span = (30.0, 40.0)


class SimulatedAgent:
    """`run` works until it is cancelled; whatever the API refuses is tried again or let go."""

    def __init__(self, desk: Desk, chance: Random, manner: Manner) -> None:
        self._desk = desk
        self._chance = chance
        self._manner = manner
        self._doing: set[str] = set()

    async def run(self) -> None:
        """Look at the desk and act on what is new, one piece of work beside the other."""
        async with asyncio.TaskGroup() as group:
            await self._tolerant(lambda: self._desk.be("available"))
            seen: dict[str, Any] | None = None
            while True:
                try:
                    seen = await self._desk.work(WAIT_S) or seen
                except (Refused, OSError) as passing:
                    log.info("demo.desk", agent=self._desk.agent, because=str(passing))
                    await asyncio.sleep(PAUSE_S)
                    continue
                if seen is not None:
                    self._react(seen, group)

    def _react(self, seen: dict[str, Any], group: asyncio.TaskGroup) -> None:
        there = {one["id"] for one in (*seen["offers"], *seen["tasks"])}
        self._doing &= there | {"presence"}
        if seen["agent"]["presence"]["status"] == "away":
            self._begin("presence", self._come_back, group)
        for offer in seen["offers"]:
            self._begin(offer["id"], lambda offer=offer: self._consider(offer), group)
        for task in seen["tasks"]:
            self._begin(task["id"], lambda task=task: self._serve(task), group)

    def _begin(
        self, what: str, work: Callable[[], Coroutine[Any, Any, None]], group: asyncio.TaskGroup
    ) -> None:
        if what in self._doing:
            return
        self._doing.add(what)

        async def do() -> None:
            if not await self._tolerant(work) or what == "presence":
                self._doing.discard(what)

        group.create_task(do())

    async def _tolerant(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Whether it went well. What was taken away in the meantime is no fault."""
        try:
            await work()
        except (Refused, OSError) as passing:
            log.debug("demo.agent", agent=self._desk.agent, because=str(passing))
            await asyncio.sleep(PAUSE_S)
            return False
        return True

    async def _come_back(self) -> None:
        """After too many overlooked offers the router sent the agent away."""
        await self._pause(self._manner.back_s)
        await self._desk.be("available")

    async def _consider(self, offer: dict[str, Any]) -> None:
        luck = self._chance.random()
        await self._pause(self._manner.accept_s)
        if luck < self._manner.overlooks:
            return
        if luck < self._manner.overlooks + self._manner.declines:
            await self._desk.decline(offer["id"], "busy with another case")
        else:
            await self._desk.accept(offer["id"])

    async def _serve(self, task: dict[str, Any]) -> None:
        """Answer until the customer has nothing to add; then complete, and end the wrap-up."""
        if task["state"] != "wrapping":
            dawdles = self._chance.random() < self._manner.dawdles
            await self._pause(self._manner.dawdle_s if dawdles else self._manner.answer_s)
            for _ in range(TURNS_MAX):
                if not await self._answer(task):
                    break
                await self._pause(self._manner.linger_s)
            task = await self._desk.complete(task["id"])
        if task["state"] == "wrapping":
            await self._pause(self._manner.wrap_up_s)
            await self._desk.close(task["id"])

    async def _answer(self, task: dict[str, Any]) -> bool:
        """Reply to the customer's last message; False when it has been answered."""
        messages = await self._read(task["conversation_id"])
        if not messages or messages[-1]["direction"] == "outbound":
            return False
        last = messages[-1]
        heard = next((one["language"] for one in reversed(messages) if one["language"]), "en")
        text = self._chance.choice(ANSWERS.get(heard, ANSWERS["en"]))
        key = f"{task['id']}:{last['message_id']}"
        await self._desk.reply(task["conversation_id"], text, task["id"], key)
        return True

    async def _read(self, conversation: str) -> list[dict[str, Any]]:
        """What was said; the archive may be a moment behind the offer."""
        for _ in range(READ_TRIES):
            try:
                messages = await self._desk.messages(conversation)
            except Refused as refused:
                if refused.kind != "not-found":
                    raise
                messages = []
            if spoken := [
                one for one in messages if one["author"]["role"] in ("customer", "agent")
            ]:
                return spoken
            await asyncio.sleep(0.25)
        return []

    async def _pause(self, span: Span) -> None:
        await asyncio.sleep(self._chance.uniform(*span))
