"""The centre under simulation: the production core with its clock, its agents and what is asked of it.

Every change is an input of the core, as in production; virtual time is microseconds from the start.
"""

import heapq
from typing import Any, cast

import msgspec

from services.router.domain import timers
from services.router.domain.commands import (
    AcceptOffer,
    Command,
    CompleteTask,
    PutResource,
    SetPresence,
    encode,
)
from services.router.domain.config import Queue
from services.router.domain.core import RouterCore, RouterFactory
from services.router.simulate.scenario import ContactClass, Scenario, Written
from shared.contracts.core import Entity, Input, Outcome
from shared.contracts.instants import format_instant
from shared.contracts.interactions import Author, Interaction
from shared.contracts.problems import Fault, Refused

CONNECTOR = "simulation"
_JSON = msgspec.json.Encoder()
_DUE = Input("timer", "due")
_UNSTORED = 1_000  # a simulation keeps nothing: what a store would take goes after so many inputs
_HOLE = "7b0d6bd2-here-goes-an-id"


class Centre:
    """A core with its clock. `inputs` counts those applied since the agents were hired."""

    def __init__(self, core: RouterCore, start_us: int) -> None:
        self.core = core
        core.replies = False
        self.start_us = start_us
        self.now_us = 0
        self.number = core.meta.number
        self.inputs = 0

    # -- inputs

    def apply(self, what: Input) -> Outcome:
        core = self.core
        self.number += 1
        self.inputs += 1
        outcome = core.apply(self.start_us + self.now_us, self.number, what)
        if self.inputs % _UNSTORED == 0:
            core.discard_changes()
        return outcome

    def tick(self) -> Outcome:
        """What is due now happens."""
        return self.apply(_DUE)

    def command(self, command: Command) -> Outcome:
        return self.apply(Input("command", type(command).__name__, encode(command)))

    def event(self, name: str, body: bytes, message: str) -> Outcome:
        return self.apply(self.said(name, body, message))

    def said(self, name: str, body: bytes, message: str) -> Input:
        return Input("event", name, body, message, "", self.start_us + self.now_us)

    def accept(self, agent: str, offer: str) -> Outcome:
        return self.command(AcceptOffer(agent=agent, offer=offer))

    def complete(self, agent: str, task: str) -> Outcome:
        return self.command(CompleteTask(task=task, agent=agent))

    def present(self, agent: str) -> Outcome:
        return self.command(SetPresence(agent=agent, status="available"))

    def leave(self, agent: str) -> Outcome:
        """From the moment he has no work left; nothing new is offered to him."""
        return self.command(SetPresence(agent=agent, status="offline", after_current=True))

    # -- what the core says

    def wake_us(self) -> int | None:
        """When the next thing is due by itself. Timers that would do nothing do not ring."""
        core = self.core
        waiting = core.timers
        while waiting:
            if timers.matters(core, waiting[0]):
                return waiting[0][0] - self.start_us
            heapq.heappop(waiting)
        return None


class Voice:
    """What is said in conversations of one class, encoded once but for the names. The router does not
    look at when it was received; for clocks that do, `received` writes it in."""

    def __init__(self, scenario: Scenario, one: ContactClass) -> None:
        self._start = _received(format_instant(scenario.start_us))
        channel = {"channel": one.message["channel"]}
        agent = Author("agent")
        self._asks = _cut(scenario, **one.message)
        self._leaves = _cut(scenario, reason="abandoned", **channel)
        self._answers = _cut(scenario, direction="outbound", author=agent, **channel)

    def asks(self, conversation: str, message: str) -> bytes:
        """The customer wants an agent."""
        return _joined(self._asks, conversation, message)

    def leaves(self, conversation: str, message: str) -> bytes:
        """The customer gives up."""
        return _joined(self._leaves, conversation, message)

    def answers(self, conversation: str, message: str) -> bytes:
        """The agent's first word."""
        return _joined(self._answers, conversation, message)

    def received(self, body: bytes, at_us: int) -> bytes:
        """The same, received at this instant (since the epoch)."""
        return body.replace(self._start, _received(format_instant(at_us)), 1)


def _received(instant: str) -> bytes:
    return f'"received_at":"{instant}"'.encode()


def _joined(around: tuple[bytes, bytes, bytes], conversation: str, message: str) -> bytes:
    head, between, tail = around
    return b"".join((head, conversation.encode(), between, message.encode(), tail))


def _cut(scenario: Scenario, **more: Any) -> tuple[bytes, bytes, bytes]:
    """An event's JSON around the ids of conversation and message."""
    fields: dict[str, Any] = {
        "workspace": scenario.workspace,
        "connector": CONNECTOR,
        "conversation_id": _HOLE,
        "message_id": _HOLE,
        "received_at": format_instant(scenario.start_us),
        "direction": "inbound",
        "author": Author("customer"),
        **more,
    }
    written = _JSON.encode(msgspec.convert(fields, Interaction))
    head, between, tail = written.split(_HOLE.encode())
    return head, between, tail


# -- setting up


def hired(scenario: Scenario) -> list[Entity]:
    """The entities of a core that knows the workspace and its agents, all of them offline.

    Raises Refused (validation) with pointers into the scenario, when it is set up first."""
    centre = Centre(RouterFactory().create(scenario.workspace, 0), scenario.start_us)
    faults: list[Fault] = []
    for written in scenario.resources:
        faults += _put(centre, _quickened(scenario, written))
    for place, group in enumerate(scenario.groups):
        for agent in group.agent_ids():
            body = _JSON.encode({**group.agent, "id": agent})
            found = _put(centre, Written("agent", agent, body, f"/staff/{place}/agent"))
            faults += found
            if found:
                break
    if faults:
        raise Refused("validation", faults[0].message, errors=faults)
    return centre.core.dump()


def opened(scenario: Scenario, seed: int, entities: list[Entity]) -> Centre:
    """A centre at its start, before anybody is on duty."""
    core = RouterFactory().create(scenario.workspace, seed)
    core.load(entities)
    core.wake_at_us()  # derives what follows from the entities
    return Centre(core, scenario.start_us)


def _put(centre: Centre, written: Written) -> list[Fault]:
    body = msgspec.Raw(written.body)
    if written.kind in ("workspace", "calendar"):
        given = {"id": written.id, "version": 1, "body": body, "windows": written.windows}
        centre.apply(Input("config", written.kind, _JSON.encode(given)))
        return []
    kind = cast("Any", written.kind)
    try:
        centre.command(PutResource(resource=kind, id=written.id, body=body))
    except Refused as refused:
        return [
            msgspec.structs.replace(fault, pointer=written.pointer + fault.pointer)
            for fault in refused.errors
        ]
    return []


def _quickened(scenario: Scenario, written: Written) -> Written:
    """Where nobody takes time to answer, the core accepts offers itself: the same decisions and
    instants, for one input less a contact."""
    if written.kind != "queue" or any(group.answer for group in scenario.groups):
        return written
    queue = msgspec.json.decode(written.body, type=Queue)
    if queue.offer.parallel > 1:
        return written
    offer = msgspec.structs.replace(queue.offer, auto_accept=True)
    body = _JSON.encode(msgspec.structs.replace(queue, offer=offer))
    return msgspec.structs.replace(written, body=body)
