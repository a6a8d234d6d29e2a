"""Customers who write, and when all go home. Who serves them: staff.py."""

import asyncio
import contextlib

from shared.contracts import ids, interactions
from shared.contracts.topics import Channel
from shared.testing.simulation.centre import CUSTOMERS
from shared.testing.simulation.platform import Platform

_ASKS_FOR_A_PERSON = 0.06


class Show:
    """When the people go home."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    @property
    def over(self) -> bool:
        return self._ended.is_set()

    def end(self) -> None:
        self._ended.set()

    async def pause(self, seconds: float) -> None:
        """So long, or until the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()


class Customers:
    """The customers of one workspace. `pause_s`: mean time between what they do."""

    def __init__(
        self, platform: Platform, show: Show, workspace: str, pause_s: float, threads: int
    ) -> None:
        self.platform = platform
        self.show = show
        self.workspace = workspace
        self.pause_s = pause_s
        self.threads = threads
        self.random = platform.cluster.chance.stream(f"customers {workspace}")

    async def run(self) -> None:
        while not self.show.over:
            await self.show.pause(self.random.expovariate(1 / self.pause_s))
            await self.act()

    async def burst(self, count: int) -> None:
        """Many at once, as after an outage."""
        for _ in range(count):
            await self.write()

    async def act(self) -> None:
        drawn = self.random.random()
        if drawn < 0.07:
            await self.edit_early()
        elif drawn < 0.13:
            await self.leave()
        elif drawn < 0.19:
            await self.again()
        else:
            await self.write()

    def thread(self) -> tuple[str, Channel]:
        """One conversation, the first far more often than others; its channel is for ever."""
        index = min(int(self.random.expovariate(4) * self.threads), self.threads - 1)
        channels: tuple[Channel, ...] = ("chat", "email", "phone", "social", "chat")
        channel = channels[index % 5]
        return ids.conversation_id(self.workspace, "sim", channel, str(index)), channel

    async def write(self) -> None:
        conversation, channel = self.thread()
        await self.platform.post(
            self.workspace,
            conversation,
            channel,
            text="a person, please" if self.random.random() < _ASKS_FOR_A_PERSON else "hello",
            language=self.random.choice(("de", "en", None)),
            identities=self._identities(conversation),
        )

    def _identities(self, conversation: str) -> list[dict[str, str]]:
        """Who writes in a conversation is always the same; not every message says so, and not
        everybody is known."""
        name = f"k{int(conversation[-4:], 16) % (len(CUSTOMERS) + 2)}"
        known = self.random.random() < 0.6
        return [{"scheme": "crm", "value": name}] if known else []

    async def edit_early(self) -> None:
        conversation, channel = self.thread()
        vendor_id = self.platform.name("m")
        await self.platform.post(
            self.workspace,
            conversation,
            channel,
            interactions.MESSAGE_EDITED,
            text="edited",
            replaces=vendor_id,
            replaces_message_id=ids.message_id(self.workspace, "sim", vendor_id),
        )
        self.platform.cluster.chance.count("edit before its message")
        await asyncio.sleep(self.random.uniform(0, 0.5))
        await self.platform.post(self.workspace, conversation, channel, vendor_id=vendor_id)

    async def leave(self) -> None:
        conversation, channel = self.thread()
        await self.platform.post(
            self.workspace,
            conversation,
            channel,
            interactions.CONVERSATION_ENDED,
            reason=self.random.choice(("ended", "abandoned", "abandoned")),
            author={"role": "system"},
        )

    async def again(self) -> None:
        """What was posted comes once more: at once, or long afterwards."""
        sent = self.platform.sent[self.workspace]
        if not sent:
            return
        late = self.random.random() < 0.6
        record = self.random.choice(sent) if late else sent[-1]
        fault = "event redelivered late" if late else "event posted twice"
        self.platform.cluster.chance.count(fault)
        await self.platform.put([record])

    async def all_ends_again(self) -> None:
        """The vendor repeats every end of a conversation, however long ago."""
        for record in tuple(self.platform.sent[self.workspace]):
            if dict(record.headers)["ce_type"] == interactions.CONVERSATION_ENDED.encode():
                await self.platform.put([record])
