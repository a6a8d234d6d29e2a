"""The commands of the router: what its HTTP calls ask of the core.

`Input(kind="command", name=<class name>, body=encode(command))`. `agent` in task commands is the
acting agent (None: a supervisor or platform, who may act on any task); an agent may act only on
tasks that are his, else `forbidden`. `if_version` is the `version` that If-Match names (0: there
must be none); a stale one is refused with `precondition-failed`. Instants are microseconds.

Replies are JSON: of task and offer commands the task (API.md), of presence commands the agent's
presence, of Put… `{"id", "version", "created", "body", "warnings"}`, of Delete… `{"id"}`.
"""

from typing import Any, Literal

import msgspec

from shared.contracts.topics import Channel

ResourceKind = Literal["agent", "queue", "policy", "escalation", "customer", "team"]


class Command(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Common base; `if_version` None: unconditional."""

    if_version: int | None = None


class PutResource(Command, kw_only=True):
    """`body` is the resource's JSON as written (decoded and checked against config.py)."""

    resource: ResourceKind
    id: str
    body: msgspec.Raw


class DeleteResource(Command, kw_only=True):
    resource: ResourceKind
    id: str


class MergeCustomer(Command, kw_only=True):
    """`customer` is from now on `into`: identities, open work and history together."""

    customer: str
    into: str


class UnmergeCustomer(Command, kw_only=True):
    customer: str


class SetPresence(Command, kw_only=True):
    """`after_current`: from the moment the agent has no work left, last write wins."""

    agent: str
    status: Literal["available", "away", "offline"]
    reason: str | None = None
    after_current: bool = False


class AcceptOffer(Command, kw_only=True):
    """Refused as conflict with reason expired, revoked, taken, cancelled or declined."""

    agent: str
    offer: str


class DeclineOffer(Command, kw_only=True):
    """`retry_us`: not to be offered to this agent again before; default now + cool-down."""

    agent: str
    offer: str
    reason: str | None = None
    retry_us: int | None = None


class CreateTask(Command, kw_only=True):
    """By `conversation_id`, or by `customer_id` (a new conversation)."""

    channel: Channel
    conversation_id: str | None = None
    customer_id: str | None = None
    kind: str = "custom"
    not_before_us: int | None = None
    not_after_us: int | None = None
    attributes: dict[str, Any] = {}
    priority: float | None = None
    text: str | None = None
    language: str | None = None


class TaskCommand(Command, kw_only=True):
    task: str
    agent: str | None = None


class CompleteTask(TaskCommand, kw_only=True):
    disposition: str | None = None
    tags: list[str] = []
    note: str | None = None


class CloseTask(CompleteTask, kw_only=True):
    pass


class TransferTo(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of them."""

    queue: str | None = None
    agent: str | None = None
    policy: str | None = None


class TransferTask(TaskCommand, kw_only=True):
    """`requires`: whether a queue's agents must meet what the task has asked of agents so far."""

    to: TransferTo
    mode: Literal["blind", "warm"] = "blind"
    keep_place: bool = True
    requires: Literal["keep", "drop"] = "keep"
    note: str | None = None
    attributes: dict[str, Any] = {}


class RequeueTask(TaskCommand, kw_only=True):
    reason: str | None = None


class HoldTask(TaskCommand, kw_only=True):
    reason: str = "hold"


class ResumeTask(TaskCommand, kw_only=True):
    pass


class EscalateTask(TaskCommand, kw_only=True):
    """Fires the ladder's `level` (its name), or the first that has not fired yet."""

    level: str | None = None


class AssignTask(TaskCommand, kw_only=True):
    """Gives the task to `to` without an offer. Capacity and channel cap bind unless overridden."""

    to: str
    override_capacity: bool = False


class ReprioritizeTask(TaskCommand, kw_only=True):
    priority: float


class CancelTask(TaskCommand, kw_only=True):
    reason: str = "cancelled"


COMMANDS: dict[str, type[Command]] = {
    command.__name__: command
    for command in (
        PutResource,
        DeleteResource,
        MergeCustomer,
        UnmergeCustomer,
        SetPresence,
        AcceptOffer,
        DeclineOffer,
        CreateTask,
        CompleteTask,
        CloseTask,
        TransferTask,
        RequeueTask,
        HoldTask,
        ResumeTask,
        EscalateTask,
        AssignTask,
        ReprioritizeTask,
        CancelTask,
    )
}

# Lifecycle inputs of the shell besides BEHIND and LIVE; body {"agent"}.
PRESENCE_LAPSED = "presence.lapsed"
PRESENCE_RETURNED = "presence.returned"

_ENCODER = msgspec.json.Encoder()
_DECODERS = {name: msgspec.json.Decoder(struct) for name, struct in COMMANDS.items()}


def encode(command: Command) -> bytes:
    """The input's body; its name is `type(command).__name__`."""
    return _ENCODER.encode(command)


def decode(name: str, body: bytes) -> Command:
    """Raises KeyError for an unknown command, msgspec.DecodeError for a body that is none."""
    return _DECODERS[name].decode(body)


class Presence(msgspec.Struct):
    """Body of the presence lifecycle inputs."""

    agent: str
