"""Bus events as the clocks' events: which message counts, and what the router's words mean here.

DESIGN §2, «Clock»: held is paused; completed is resolved and closed; wrapping only sets the task's
state; cancelled is abandoned where that is the reason, else it cancels the clocks.
"""

from typing import Any, NamedTuple

import msgspec

from services.sla.domain.episode import QUEUE_ALONE
from services.sla.domain.events import Event
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import SILENT_FLAGS

_KIND_OF_ROLE = {"customer": "customer_message", "agent": "agent_message", "bot": "bot_message"}
OURS_TOO = frozenset({"auto_reply"})
_COUNTED = (interactions.MESSAGE, interactions.TRANSCRIPT_SEGMENT)


class _Author(msgspec.Struct):
    role: str = "system"


class _Heard(msgspec.Struct):
    """What the clocks need of an interaction; the rest is not even decoded."""

    channel: str
    conversation_id: str
    message_id: str
    received_at: str
    author: _Author
    direction: str = "inbound"
    language: str | None = None
    attributes: dict[str, Any] = {}
    flags: list[str] = []
    task_id: str | None = None
    agent_id: str | None = None
    replay_of: str | None = None
    revision: int = 0


class Message(NamedTuple):
    """A message that clocks react to."""

    conversation_id: str
    channel: str
    kind: str
    time_us: int
    received_us: int
    message_id: str
    task_id: str | None
    facts: dict[str, Any]
    fields: dict[str, Any]

    @property
    def late_us(self) -> int:
        """How long it was on its way to us."""
        return max(0, self.received_us - self.time_us)

    def at_us(self, lateness_us: int) -> int:
        """When it counts: at its own time, or at its receipt when it came too late or claims to
        come from the future."""
        if self.received_us - self.time_us > lateness_us:
            return self.received_us
        return min(self.time_us, self.received_us)


_HEARD = msgspec.json.Decoder(_Heard)


def message_of(name: str, body: bytes, time_us: int) -> Message | None:
    """The message that an interaction is; None for what no clock reacts to."""
    if name not in _COUNTED:
        return None
    heard = _HEARD.decode(body)
    if heard.replay_of is not None or heard.revision:
        return None
    kind = _KIND_OF_ROLE.get(heard.author.role)
    silent = SILENT_FLAGS.intersection(heard.flags)
    if silent == OURS_TOO and heard.author.role != "customer":
        kind = "auto_reply"  # ours: it answers where a policy says so
    elif kind is None or silent:
        return None
    return Message(
        heard.conversation_id,
        heard.channel,
        kind,
        time_us,
        parse_instant(heard.received_at),
        heard.message_id,
        heard.task_id,
        {
            "channel": heard.channel,
            "language": heard.language,
            "attributes": heard.attributes,
            "kind": "conversation",
        },
        {"agent_id": heard.agent_id} if heard.agent_id else {},
    )


class Told(msgspec.Struct):
    """What the clocks need of the router's events."""

    at: str
    seq: int = 0
    task_id: str | None = None
    conversation_id: str | None = None
    event_id: str | None = None
    channel: str = ""
    kind: str = "conversation"
    state: str = ""
    language: str | None = None
    attributes: dict[str, Any] = {}
    queue: str | None = None
    queues: list[str] = []
    priority: float = 0
    customer: dict[str, Any] | None = None
    waiting_since: str | None = None
    after: float = msgspec.field(default=0, name="to")
    by: str = ""
    agent_id: str | None = None
    reason: str | None = None
    until: str | None = None
    wait_s: float | None = None
    tags: list[str] = []
    mode: str = ""
    units: float | None = None


class _Transfer(msgspec.Struct):
    to: dict[str, str] = {}
    mode: str = ""


_TOLD = msgspec.json.Decoder(Told)
_TRANSFER = msgspec.json.Decoder(_Transfer)
TRANSFERRED = "routing.task.transferred.v1"
# What scheduled work begins with.
BEGINS = frozenset({"routing.task.queued.v1", "routing.task.assigned.v1"})
# The router's events after which a policy may ask for other targets.
RETARGETS = frozenset(
    {
        TRANSFERRED, "routing.task.queued.v1", "routing.task.assigned.v1",
        "routing.task.priority_changed.v1", "routing.task.identified.v1",
    }
)  # fmt: skip


class _Moved(msgspec.Struct):
    at: str
    seq: int = 0
    task_id: str | None = None
    conversation_id: str | None = None


_MOVED = msgspec.json.Decoder(_Moved)


def told_of(name: str, body: bytes) -> Told:
    """The router's event. Of a transfer only its place is read here (`to` is an object there)."""
    if name != TRANSFERRED:
        return _TOLD.decode(body)
    moved = _MOVED.decode(body)
    transfer = _TRANSFER.decode(body)
    told = Told(moved.at, moved.seq, moved.task_id, moved.conversation_id)
    told.queue, told.mode = transfer.to.get("queue"), transfer.mode
    return told


def task_events(name: str, told: Told, queue: str | None) -> list[Event]:
    """What a router's event about a known task means for its clocks. `queue`: the task's now."""
    at = parse_instant(told.at)
    fields: dict[str, Any] = {}
    kinds: tuple[str, ...] = ()
    match name:
        case "routing.task.assigned.v1":
            kinds, fields = ("assigned",), {"agent_id": told.agent_id}
            if told.queue not in (None, queue):  # it waited in several, and was taken from this one
                fields["queue"] = told.queue
        case "routing.task.transferred.v1":
            kinds = ("transferred",)
            fields = {"mode": told.mode}
            if told.queue is not None:
                fields["queue"] = told.queue
        case "routing.task.queued.v1":
            if not told.queues or queue in told.queues:
                return []
            kinds, fields = ("transferred",), {"queue": told.queues[0], "mode": QUEUE_ALONE}
        case "routing.task.requeued.v1":
            kinds = ("unassigned",)
        case "routing.task.identified.v1":
            kinds, fields = ("identified",), {"customer": told.customer}
        case "routing.task.priority_changed.v1":
            kinds, fields = ("priority_changed",), {"priority": told.after, "by": told.by}
        case "routing.task.held.v1":
            kinds, fields = ("paused",), {"reason": told.reason, "until": told.until}
        case "routing.task.resumed.v1":
            kinds = ("resumed",)
        case "routing.task.wrapping.v1":
            kinds = ("wrapping",)
        case "routing.task.completed.v1":
            kinds, fields = ("resolved", "closed"), {"tags": told.tags}
        case "routing.task.cancelled.v1":
            kinds = ("abandoned" if told.reason == "abandoned" else "cancelled",)
            fields = {"reason": told.reason}
        case _:
            return []
    seq = told.seq
    return [Event(at, kind, 0, fields, f"r{seq}{kind}", seq=seq) for kind in kinds]
