"""Agents who work (or do not), and supervisors who steer."""

import asyncio
from random import Random
from typing import Any

from shared.contracts import ids
from shared.contracts.core import Core
from shared.testing.simulation.callers import Caller
from shared.testing.simulation.centre import BOT, CUSTOMERS, NEVER, STAFF, Body, Centre, put
from shared.testing.simulation.people import Show
from shared.testing.simulation.platform import Platform

# A desk is left like this, or a task; the rest of the time work is done.
_IGNORES, _DECLINES = 0.12, 0.1
_SECOND_US = 1_000_000


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
            if drawn < _IGNORES + _DECLINES:
                await self.decline(offer["id"])
            else:
                await self.do("AcceptOffer", offer=offer["id"])
        for task in work["tasks"]:
            await self.work_on(task)

    async def decline(self, offer: str) -> None:
        """For as long as the queue says, or until a moment of his own."""
        more: Body = {}
        if self.random.random() < 0.3:
            now_us = self.platform.cluster.clock.wall_us()
            more["retry_us"] = now_us + self.random.randrange(1, 9) * _SECOND_US
        await self.do("DeclineOffer", offer=offer, **more)

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
        elif drawn < 0.75:
            await self.do("CompleteTask", task=task["id"], disposition="solved")
        elif drawn < 0.82:
            reason = self.random.choice(("waiting_on_customer", "asks a colleague"))
            await self.do("HoldTask", task=task["id"], reason=reason)
        elif drawn < 0.88:
            await self.hand_over(task["id"])
        elif drawn < 0.92:
            await self.do("RequeueTask", task=task["id"], reason="not mine")

    async def hand_over(self, task: str) -> None:
        """To a queue, a colleague or a policy; at once, or once somebody has taken it."""
        to = self.random.choice(
            ({"queue": "second"}, {"queue": "first"}, {"agent": "a2"}, {"policy": "second"})
        )
        await self.do(
            "TransferTask",
            task=task,
            to=to,
            mode=self.random.choice(("warm", "blind")),
            keep_place=self.random.random() < 0.7,
        )

    async def answer(self, task: dict[str, Any]) -> None:
        await self.platform.post(
            self.workspace,
            task["conversation_id"],
            task["channel"],
            direction="outbound",
            author={"role": "bot" if self.name == BOT else "agent"},
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
        self, platform: Platform, show: Show, centre: Centre, open_tasks: Any, pause_s: float
    ) -> None:
        self.caller = Caller(platform.cluster, platform.ledger, f"{centre.workspace}/supervisor")
        self.show = show
        self.centre = centre
        self.workspace = centre.workspace
        self.open_tasks = open_tasks
        self.pause_s = pause_s
        self.platform = platform
        self.random = self.caller.random

    async def run(self) -> None:
        while not self.show.over:
            await self.show.pause(self.random.expovariate(1 / self.pause_s))
            drawn = self.random.random()
            if drawn < 0.2:
                await put(self.caller, self.workspace, self.centre.change())
            elif drawn < 0.27:
                await self.let_go_or_hire()
            elif drawn < 0.35:
                await self.merge_or_forget()
            elif drawn < 0.55:
                await self.call_back()
            else:
                await self.steer()

    async def let_go_or_hire(self) -> None:
        temp = STAFF[-1]
        if self.random.random() < 0.5:
            await put(self.caller, self.workspace, self.centre.agent(temp))
        else:
            await self._command("DeleteResource", resource="agent", id=temp)

    async def merge_or_forget(self) -> None:
        """Nobody whose never-pair list is in use is deleted: what it says ends with him."""
        one, other = self.random.sample(CUSTOMERS, 2)
        drawn = self.random.random()
        if drawn < 0.45:
            await self._command("MergeCustomer", customer=one, into=other)
        elif drawn < 0.8:
            await self._command("UnmergeCustomer", customer=one)
        elif one not in NEVER:
            await self._command("DeleteResource", resource="customer", id=one)

    async def call_back(self) -> None:
        """In a conversation or for a customer, at once or at a time, perhaps with a last moment."""
        body: Body = {"channel": "chat", "kind": "call_back"}
        if self.random.random() < 0.7:
            name = f"call {self.random.randrange(9)}"
            body["conversation_id"] = ids.conversation_id(self.workspace, "sim", "chat", name)
        else:
            body["customer_id"] = self.random.choice(CUSTOMERS)
        if self.random.random() < 0.5:
            now_us = self.platform.cluster.clock.wall_us()
            body["not_before_us"] = now_us + self.random.randrange(1, 9) * _SECOND_US
            if self.random.random() < 0.4:
                body["not_after_us"] = body["not_before_us"] + 3 * _SECOND_US
        await self._command("CreateTask", **body)

    async def steer(self) -> None:
        tasks = await self.caller.look(self.workspace, self.open_tasks)
        if not tasks:
            return
        name, more = self.random.choice(
            (
                ("CancelTask", {"reason": "spam"}),
                ("RequeueTask", {"reason": "moved"}),
                ("TransferTask", {"to": {"queue": "second"}, "keep_place": False}),
                ("ReprioritizeTask", {"priority": self.random.randrange(20)}),
                ("AssignTask", {"to": self.random.choice(STAFF)}),
                ("AssignTask", {"to": self.random.choice(STAFF), "override_capacity": True}),
                ("EscalateTask", {}),
            )
        )
        await self._command(name, task=self.random.choice(tasks), **more)

    async def _command(self, name: str, **body: Any) -> None:
        await self.caller.command(self.workspace, name, body)
