"""Which stored episodes are alike: the same happened in the same order to the same sort of task.

Their clocks differ in nothing but instants, so that a policy need be matched, and events be followed, for
one of them only. What no condition of any policy reads of a task or customer makes no difference.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import msgspec

from services.sla.domain.policy import CUSTOMER_FIELDS, TASK_FIELDS, Policy
from shared.rules import Condition

BODY_MAX = 16_000  # bytes of a conversation; longer ones are looked at one by one
EVENTS_MAX = 40
FIELDS_MAX = 10_000  # remembered forms of an event's fields
ABSENT = msgspec.Raw(b"\xc1")  # no value of msgpack begins so
_NIL = msgspec.Raw(b"\xc0")


class _Event(msgspec.Struct, array_like=True, gc=False):
    at_us: int
    type: str
    order: int = 0
    fields: msgspec.Raw = msgspec.Raw(b"\x80")


class Likeness(NamedTuple):
    """`key`: equal for episodes that are alike; `times`: the distinct instants of its events, in
    order."""

    key: bytes
    times: list[int]


class Likenesses:
    """Of the episodes of conversations, under policies that read these names."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        read = {path for policy in policies for path in _paths(policy)}
        self._agents = _reads(read, "task", "agent_id") or _reads(
            read, "event", "agent_id", "agent"
        )
        task = _fields(read, "task", TASK_FIELDS, ("channel", "priority"))
        customer = _fields(read, "customer", CUSTOMER_FIELDS, ())
        record = msgspec.defstruct(
            "Record",
            [
                ("book", int),
                ("task", task),
                ("customer", customer | None, None),
                ("events", list[_Event], []),
                ("base", msgspec.Raw, ABSENT),
                ("began", bool, False),
            ],
            gc=False,
        )
        fields: list[Any] = [("episodes", list[record], [])]
        self._decoder = msgspec.msgpack.Decoder(msgspec.defstruct("Stored", fields, gc=False))
        self._pack = msgspec.msgpack.Encoder()
        self._forms: dict[bytes, msgspec.Raw | None] = {}

    def of(self, body: bytes) -> list[Likeness | None]:
        """One for each episode; None where it must be looked at by itself."""
        stored: Any = self._decoder.decode(body)
        found = [self._of(record) for record in stored.episodes]
        return found if len(body) <= BODY_MAX else [None] * len(found)

    def _of(self, record: Any) -> Likeness | None:
        events: list[_Event] = record.events
        if (record.base not in (ABSENT, _NIL)) or not 0 < len(events) <= EVENTS_MAX:
            return None
        times: list[int] = []
        happened: list[Any] = [record.book, record.began, record.task, record.customer]
        last = -1
        for event in events:
            form = self._form(event)
            if event.at_us < last or form is None:
                return None
            if event.at_us > last:
                last = event.at_us
                times.append(last)
            happened += (len(times), event.type, form)
        return Likeness(self._pack.encode(happened), times)

    def _form(self, event: _Event) -> msgspec.Raw | None:
        """An event's fields as far as they make a difference; None: they hold an instant, or lead
        to other policies."""
        if event.type == "policy_changed":
            return None
        given = bytes(event.fields)
        if given in self._forms:
            return self._forms[given]
        fields = cast("dict[str, Any]", msgspec.msgpack.decode(given))
        if not self._agents:
            agent = fields.pop("agent", None)
            if fields.pop("agent_id", None) or agent:
                fields["agent_id"] = "somebody"
        form = None if fields.get("until") else msgspec.Raw(self._pack.encode(fields))
        if len(self._forms) < FIELDS_MAX:
            self._forms[given] = form
        return form


Path = tuple[str, ...]


def _paths(policy: Policy) -> Iterator[Path]:
    """Every chain of names that its conditions read."""
    conditions: list[Condition | None] = [policy.when, *(when for when, _ in policy.calendar_rules)]
    for target in (*policy.targets.values(), *policy.named):
        conditions += [target.pause, target.start, target.stop]
    for condition in conditions:
        yield from () if condition is None else condition.paths


def _reads(read: set[Path], root: str, *names: str) -> bool:
    """Whether one of a variable's fields is read, or the variable as a whole."""
    return any(path[0] == root and (len(path) == 1 or path[1] in names) for path in read)


def _fields(read: set[Path], root: str, declared: frozenset[str], always: tuple[str, ...]) -> Any:
    """A struct of what is read of a variable: its fields, of open ones the keys."""
    names = {path[1] for path in read if path[0] == root and len(path) > 1} | {*always}
    if (root,) in read:
        names = {*declared}
    listed: list[Any] = []
    for name in sorted(names & declared):
        keys = {path[2:3] for path in read if path[:2] == (root, name)}
        whole = () in keys or (root,) in read or name != "attributes"
        kind = msgspec.Raw if whole else _keyed({key for (key,) in keys}) | None
        listed.append((name, kind, ABSENT if whole else None))
    return msgspec.defstruct(root.capitalize(), listed, gc=False)


def _keyed(keys: set[str]) -> Any:
    names = {f"at_{number}": key for number, key in enumerate(sorted(keys))}
    listed: list[Any] = [(name, msgspec.Raw, ABSENT) for name in names]
    return msgspec.defstruct("Attributes", listed, rename=names, gc=False)
