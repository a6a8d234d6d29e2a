"""What the rules of the router get to see of a task, its customer, conversation and message."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.rules import Declared, Variables

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TASK_FIELDS = frozenset(
    {
        "id", "channel", "language", "attributes", "kind", "priority", "subject", "state", "queue",
        "tags", "held", "reopened", "declines",
    }
)  # fmt: skip
CUSTOMER_FIELDS = frozenset({"id", "name", "tier", "language", "attributes"})
CONVERSATION_FIELDS = frozenset({"id", "channel", "key", "messages", "attributes"})
MESSAGE_FIELDS = frozenset(
    {"id", "text", "subject", "language", "flags", "attributes", "author", "direction"}
)
AGENT_FIELDS = frozenset(
    {"id", "name", "team", "kind", "skills", "attributes", "channels", "capacity", "timezone"}
)

# Attributes and skills are objects of their own: unset they are empty, so that a name missing in
# them is missing and not a fault of type.
_EMPTY: dict[str, dict[str, Any]] = {
    "task": {"attributes": {}},
    "customer": {"attributes": {}},
    "conversation": {"attributes": {}},
    "message": {"attributes": {}},
}

# For `when`, `priority` and a ladder's `cel`.
TASK_NAMES = Declared(
    {
        "task": TASK_FIELDS,
        "customer": CUSTOMER_FIELDS,
        "conversation": CONVERSATION_FIELDS,
        "message": MESSAGE_FIELDS,
        "now": None,
        "queues": None,
    }
)
# For requirements: they are bound when the task is planned, so they cannot depend on the time.
AGENT_NAMES = Declared(
    {
        **{
            name: fields
            for name, fields in TASK_NAMES.variables.items()
            if name not in ("now", "queues")
        },
        "agent": AGENT_FIELDS,
    }
)


NAMES = ("task", "customer", "conversation", "message", "queues")


class Made(dict[str, Mapping[str, Any]]):
    """The fields of each of NAMES, made by `make` when they are first asked for."""

    __slots__ = ("make",)
    make: Callable[[str], Mapping[str, Any]]

    def __missing__(self, name: str) -> Mapping[str, Any]:
        fields = self[name] = self.make(name)
        return fields


class Fields(Mapping[str, Any]):
    """The fields of one thing, each read from it when it is asked for."""

    __slots__ = ("_readers", "_thing")

    def __init__(self, thing: Any, readers: dict[str, Callable[[Any], Any]]) -> None:
        self._thing = thing
        self._readers = readers

    def __getitem__(self, name: str) -> Any:
        return self._readers[name](self._thing)

    def get(self, name: str, default: Any = None) -> Any:
        reader = self._readers.get(name)
        return default if reader is None else reader(self._thing)

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


class TaskFacts(msgspec.Struct):
    """The facts of one task at one moment; the rules' variables are prepared once, when asked for.

    `given` has the fields of each of NAMES; fields that are absent are null (`attributes`: empty).
    `now_us` is the input's.
    """

    now_us: int
    given: dict[str, Mapping[str, Any]]
    _variables: Variables | None = None

    @classmethod
    def of(cls, *, now_us: int, **names: Mapping[str, Any]) -> "TaskFacts":
        """Facts of the names given; the others have no fields."""
        return cls(now_us, {name: names.get(name, {}) for name in NAMES})

    def replaced(self, *, now_us: int | None = None, **names: dict[str, Any] | None) -> "TaskFacts":
        """The same facts at another moment, or with other fields of a name; None: as they are."""
        now = self.now_us if now_us is None else now_us
        given = {name: names.get(name) for name in NAMES}
        return TaskFacts(
            now, {n: self.given[n] if new is None else new for n, new in given.items()}
        )

    @property
    def variables(self) -> Variables:
        if self._variables is None:
            values: dict[str, Any] = {
                name: {**empty, **{k: v for k, v in self.given[name].items() if v is not None}}
                for name, empty in _EMPTY.items()
            }
            values["queues"] = self.given["queues"]
            values["now"] = _EPOCH + timedelta(microseconds=self.now_us)
            self._variables = Variables(TASK_NAMES, values)
        return self._variables
