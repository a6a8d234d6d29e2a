"""Drives a router core by hand, in virtual time: for tests, simulations and benches."""

from typing import Any

import msgspec

from services.router.domain.commands import Command, PutResource, ResourceKind, encode
from services.router.domain.config import TYPES
from services.router.domain.conversations import open_task
from services.router.domain.core import RouterCore, RouterFactory
from shared.contracts import interactions, sla
from shared.contracts.core import Emitted, Input, Outcome
from shared.contracts.ids import derive
from shared.contracts.instants import SECOND_US, format_instant, span_us

START_US = 1_790_000_000 * SECOND_US
WORKSPACE = "acme"


class Driver:
    """A core with its clock and its log of inputs. Raises what the core raises."""

    def __init__(self, core: RouterCore | None = None, seed: int = 1) -> None:
        self.core = core or RouterFactory().create(WORKSPACE, seed)
        self.now_us = START_US
        self.number = 0
        self.messages = 0
        self.log: list[tuple[int, int, Input]] = []
        self.last = Outcome()
        self.journal: list[Emitted] = []

    def apply(self, what: Input) -> Outcome:
        self.last = self.core.apply(self.now_us, self.number + 1, what)
        self.number += 1
        self.log.append((self.now_us, self.number, what))
        self.journal.extend(self.last.events)
        return self.last

    def wait(self, seconds: float) -> Outcome:
        """Time passes; what is due happens at its time, as the runtime's timers would have it."""
        until = self.now_us + span_us(seconds)
        while (due := self.core.wake_at_us()) is not None and due <= until:
            self.now_us = max(self.now_us, due)
            self.apply(Input("timer", "due"))
        self.now_us = until
        return self.last

    def command(self, command: Command) -> Any:
        """Returns the decoded reply."""
        what = Input("command", type(command).__name__, encode(command))
        return msgspec.json.decode(self.apply(what).reply)

    def put(self, kind: ResourceKind, resource_id: str, /, **body: Any) -> Any:
        resource = msgspec.convert({"id": resource_id, **body}, TYPES[kind])
        raw = msgspec.Raw(msgspec.json.encode(resource))
        return self.command(PutResource(resource=kind, id=resource_id, body=raw))

    def config(
        self, kind: str, resource_id: str, version: int, body: Any, windows: Any = None
    ) -> Outcome:
        given = {"id": resource_id, "version": version, "body": body, "windows": windows}
        return self.apply(Input("config", kind, msgspec.json.encode(given)))

    def lifecycle(self, name: str, **body: Any) -> Outcome:
        return self.apply(Input("lifecycle", name, msgspec.json.encode(body) if body else b""))

    # -- what customers and agents say

    def say(self, thread: str, text: str = "hello", **more: Any) -> Outcome:
        """A customer's message in a chat, unless `more` says otherwise."""
        self.messages += 1
        name = more.pop("name", interactions.MESSAGE)
        ago_s = more.pop("ago_s", 0)
        fields: dict[str, Any] = {
            "workspace": WORKSPACE,
            "connector": "test",
            "channel": "chat",
            "conversation_id": thread,
            "message_id": derive("msg", self.messages),
            "received_at": format_instant(self.now_us),
            "direction": "inbound",
            "author": {"role": "customer"},
            "text": text,
            **more,
        }
        what = Input(
            "event",
            name,
            msgspec.json.encode(msgspec.convert(fields, interactions.Interaction)),
            id=derive("evt", self.messages),
            time_us=self.now_us - span_us(ago_s),
        )
        return self.apply(what)

    def clock(self, name: str, thread: str, **more: Any) -> Outcome:
        """An event of the SLA service about a first-response clock of the conversation's open task."""
        task = open_task(self.core, thread)
        fields = {
            "workspace": WORKSPACE,
            "seq": 1,
            "at": format_instant(self.now_us),
            "task_id": task.id if task else None,
            "clock_id": "clk_1",
            "cycle": 1,
            "conversation_id": thread,
            "metric": "first_response",
            **more,
        }
        body = msgspec.json.encode(msgspec.convert(fields, sla.TYPES[name]))
        return self.apply(Input("event", name, body))

    # -- what came of it

    def types(self) -> list[str]:
        """Types of the last input's events, without prefix and version."""
        return [
            event.type.removeprefix("routing.").removesuffix(".v1") for event in self.last.events
        ]

    def found(self, name: str) -> list[dict[str, Any]]:
        """Data of the journal's events of a type, as in `types`."""
        return [
            msgspec.json.decode(event.data)
            for event in self.journal
            if event.type == f"routing.{name}.v1"
        ]
