"""The bare core: for the same inputs it reads, makes and encodes what the router's core does, and
decides nothing: outcomes are known before. What a core costs beside it is what deciding costs.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from services.router.domain import commands as cmd
from services.router.domain.core import RouterCore
from services.router.domain.workspace import pack, unpack
from shared.contracts.core import Emitted, Entity, Input, Outcome
from shared.contracts.instants import format_instant
from shared.contracts.interactions import Interaction
from shared.contracts.routing import TYPE_OF, RoutingEvent

_STRUCTS = {name: struct for struct, name in TYPE_OF.items()}
_EACH = ("workspace", "seq", "at")  # of each event, given by the workspace
_interaction = msgspec.json.Decoder(Interaction)
_encode = msgspec.json.Encoder().encode

Made = tuple[type[RoutingEvent], dict[str, Any], Emitted]
Changed = tuple[str, str, Any]


class Known(msgspec.Struct):
    """An input and what the core made of it; `changed` with the last input of a batch."""

    now_us: int
    what: Input
    made: list[Made]
    reply: Any
    touched: list[str]
    changed: list[Changed]


def learn(core: RouterCore, log: Iterable[tuple[int, int, Input]], batch: int) -> list[Known]:
    """Apply a log to a core, and note what became of it."""
    known: list[Known] = []
    for place, (now_us, number, what) in enumerate(log):
        outcome = core.apply(now_us, number, what)
        reply = msgspec.json.decode(outcome.reply) if outcome.reply else None
        changes = core.changes() if place % batch == batch - 1 else []
        changed = [(c.kind, c.key, c.body and unpack(c.kind, c.body)) for c in changes]
        made = [_fields(event) for event in outcome.events]
        known.append(Known(now_us, what, made, reply, outcome.touched, changed))
    return known


def _fields(event: Emitted) -> Made:
    struct = _STRUCTS[event.type]
    data = msgspec.json.decode(event.data, type=struct)
    given = {name: getattr(data, name) for name in struct.__struct_fields__ if name not in _EACH}
    return struct, {name: at for name, at in given.items() if at is not msgspec.UNSET}, event


def run(known: Iterable[Known]) -> int:
    """Once more without deciding; returns the number of events."""
    seq = 0
    for one in known:
        at = format_instant(one.now_us)
        if one.what.kind == "command":
            cmd.decode(one.what.name, one.what.body)
        else:
            _interaction.decode(one.what.body)
        events: list[Emitted] = []
        for struct, fields, event in one.made:
            seq += 1
            data = _encode(struct(workspace="bench", seq=seq, at=at, **fields))
            events.append(Emitted(seq, event.type, event.topic, event.key, data))
        Outcome(b"" if one.reply is None else _encode(one.reply), events, list(one.touched))
        for kind, key, entity in one.changed:
            Entity(kind, key, entity and pack(entity))
    return seq
