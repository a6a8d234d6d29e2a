"""Customers who write, agents who work (or do not), and supervisors who steer."""

import asyncio
import contextlib
from random import Random
from typing import Any

from shared.contracts import ids, interactions
from shared.contracts.core import Core
from shared.contracts.topics import Channel
from shared.testing.simulation.callers import Caller
from shared.testing.simulation.platform import Platform

# A desk is left like this, or a task; the rest of the time work is done.
_IGNORES, _DECLINES = 0.12, 0.1


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
            text="hello",
            language=self.random.choice(("de", "en", None)),
        )

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


class Agent:
    """Polls his work, accepts, answers, completes; sometimes declines, ignores, or is gone."""

    def __init__(
        self, platform: Platform, show: Show, workspace: str, name: str, view: Any, pause_s: float
    ) -> None:
        self.caller = Caller(platform.cluster, platform.ledger, f"{workspace}/{name}")
        self.platform = platform
        self.show = show
        self.workspace = workspace
        self.name = name
        self.view = view
        self.pause_s = pause_s
        self.random: Random = self.caller.random

    async def run(self) -> None:
        await self.presence("available")
        while not self.show.over:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * self.pause_s)
            if self.random.random() < 0.02:
                await self.be_gone()
                continue
            work = await self.caller.look(self.workspace, self._work)
            if work is not None:
                await self.serve(work)

    def _work(self, core: Core) -> Any:
        return self.view(core, self.name)

    async def serve(self, work: dict[str, Any]) -> None:
        if work["agent"]["presence"]["status"] != "available":
            await self.presence("available")
        for offer in work["offers"]:
            drawn = self.random.random()
            if drawn < _IGNORES:
                continue
            declined = drawn < _IGNORES + _DECLINES
            await self.do("DeclineOffer" if declined else "AcceptOffer", offer=offer["id"])
        for task in work["tasks"]:
            await self.work_on(task)

    async def work_on(self, task: dict[str, Any]) -> None:
        drawn = self.random.random()
        if task["state"] == "wrapping":
            if drawn < 0.6:
                await self.do("CloseTask", task=task["id"], tags=["done"])
        elif task["held"]:
            if drawn < 0.5:
                await self.do("ResumeTask", task=task["id"])
        elif drawn < 0.35:
            await self.answer(task)
        elif drawn < 0.8:
            await self.do("CompleteTask", task=task["id"], disposition="solved")
        elif drawn < 0.84:
            await self.do("HoldTask", task=task["id"], reason="waiting_on_customer")
        elif drawn < 0.88:
            await self.do("TransferTask", task=task["id"], to={"queue": "second"}, mode="warm")
        elif drawn < 0.92:
            await self.do("RequeueTask", task=task["id"], reason="not mine")

    async def answer(self, task: dict[str, Any]) -> None:
        await self.platform.post(
            self.workspace,
            task["conversation_id"],
            task["channel"],
            direction="outbound",
            author={"role": "agent"},
            agent_id=self.name,
            task_id=task["id"],
            text="good day",
        )

    async def be_gone(self) -> None:
        """A break, the end of the shift, or a machine that stops polling."""
        drawn = self.random.random()
        if drawn < 0.4:
            await self.presence("away", after_current=self.random.random() < 0.5)
            await self.show.pause(self.random.uniform(1, 4))
        elif drawn < 0.7:
            await self.presence("offline")
            await self.show.pause(self.random.uniform(2, 10))
        else:
            self.platform.cluster.chance.count("presence lapsed")
            await self.lease("presence.lapsed")
            await self.show.pause(self.random.uniform(1, 6))
            await self.lease("presence.returned")

    async def presence(self, status: str, *, after_current: bool = False) -> None:
        body = {"agent": self.name, "status": status, "after_current": after_current}
        await self.caller.command(self.workspace, "SetPresence", body)

    async def lease(self, name: str) -> None:
        body = {"agent": self.name}
        await self.caller.command(self.workspace, name, body, kind="lifecycle", keyed=False)

    async def do(self, name: str, **body: Any) -> None:
        keyed = "offer" not in body or self.random.random() < 0.5
        await self.caller.command(self.workspace, name, {"agent": self.name, **body}, keyed=keyed)


class Supervisor:
    """Steers tasks and changes configuration, always with an Idempotency-Key."""

    def __init__(
        self, platform: Platform, show: Show, workspace: str, open_tasks: Any, pause_s: float
    ) -> None:
        self.caller = Caller(platform.cluster, platform.ledger, f"{workspace}/supervisor")
        self.show = show
        self.workspace = workspace
        self.open_tasks = open_tasks
        self.pause_s = pause_s
        self.platform = platform
        self.random = self.caller.random
        self._changes = 0

    async def run(self) -> None:
        while not self.show.over:
            await self.show.pause(self.random.expovariate(1 / self.pause_s))
            if self.random.random() < 0.25:
                await self.configure()
            else:
                await self.steer()

    async def configure(self) -> None:
        """Something that moves work about, and never takes capacity away."""
        self._changes += 1
        number = self._changes
        resource, name, body = self.random.choice(
            (
                queue("second", ttl_s=3 + number % 4, cool_down_s=1 + number),
                agent(f"a{number % 3}", skills={"de": number % 6, "n": number % 10}),
                ("customer", f"c{number}", {"id": f"c{number}", "tier": "gold"}),
            )
        )
        await put(self.caller, self.workspace, resource, name, body)

    async def steer(self) -> None:
        drawn = self.random.random()
        if drawn < 0.3:
            conversation = ids.conversation_id(
                self.workspace, "sim", "chat", f"call {self.random.randrange(9)}"
            )
            await self.caller.command(
                self.workspace,
                "CreateTask",
                {"channel": "chat", "conversation_id": conversation, "kind": "call_back"},
            )
            return
        tasks = await self.caller.look(self.workspace, self.open_tasks)
        if not tasks:
            return
        task = self.random.choice(tasks)
        name, more = self.random.choice(
            (
                ("CancelTask", {"reason": "spam"}),
                ("RequeueTask", {"reason": "moved"}),
                ("TransferTask", {"to": {"queue": "second"}, "keep_place": False}),
                ("ReprioritizeTask", {"priority": self._changes + self.random.randrange(9)}),
                ("AssignTask", {"to": f"a{self.random.randrange(3)}"}),
                ("EscalateTask", {}),
            )
        )
        await self.caller.command(self.workspace, name, {"task": task, **more})


async def put(
    caller: Caller,
    workspace: str,
    resource: str,
    name: str,
    body: dict[str, Any],
    *,
    service: str = "router",
    **more: Any,
) -> dict[str, Any] | None:
    """PutResource; the reply, None when it was refused."""
    command = {"resource": resource, "id": name, "body": body, **more}
    return await caller.command(workspace, "PutResource", command, service=service)


def queue(name: str, **offer: Any) -> tuple[str, str, dict[str, Any]]:
    """(resource, id, body) of a queue."""
    rules = {"ttl_s": 4, "cool_down_s": 2, "misses_before_away": 4, **offer}
    body = {
        "id": name,
        "offer": rules,
        "wrap_up": {"limit_s": 2} if name == "first" else None,
        "orphans": {"after_s": 5},
        "select": "longest_idle" if name == "second" else "least_loaded",
    }
    return "queue", name, body


def agent(name: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    """(resource, id, body) of an agent; capacity and caps are the same all the time."""
    body = {"id": name, "team": "t", "capacity": CAPACITY, "channels": CAPS, **more}
    return "agent", name, body


CAPACITY = 100
CAPS: dict[str, int] = {"chat": 2, "email": 3, "phone": 1, "social": 2}
COSTS: dict[str, int] = {"phone": 100, "chat": 30, "social": 25, "email": 20}
