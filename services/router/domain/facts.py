"""What the rules of the router get to see of a task, its customer, conversation and message."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

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


class TaskFacts:
    """The facts of one task at one moment; the rules' variables are prepared once, when asked for.

    Each argument holds fields of the name it stands for; those that are not given are null
    (`attributes`: empty). `now_us` is the input's. `given` has what was given by name.
    """

    __slots__ = ("_variables", "given", "now_us")

    def __init__(
        self,
        *,
        now_us: int,
        task: dict[str, Any],
        customer: dict[str, Any] | None = None,
        conversation: dict[str, Any] | None = None,
        message: dict[str, Any] | None = None,
        queues: Mapping[str, Any] | None = None,
    ) -> None:
        self.now_us = now_us
        self.given: dict[str, Mapping[str, Any]] = {
            "task": task,
            "customer": customer or {},
            "conversation": conversation or {},
            "message": message or {},
            "queues": queues or {},
        }
        self._variables: Variables | None = None

    def replaced(self, *, now_us: int | None = None, **names: dict[str, Any] | None) -> "TaskFacts":
        """The same facts at another moment, or with other fields of a name; None: as they are."""
        given: dict[str, Any] = {n: fields for n, fields in names.items() if fields is not None}
        now = self.now_us if now_us is None else now_us
        return TaskFacts(now_us=now, **cast("dict[str, Any]", {**self.given, **given}))

    @property
    def variables(self) -> Variables:
        if self._variables is None:
            values: dict[str, Any] = {
                name: {**_EMPTY[name], **{k: v for k, v in fields.items() if v is not None}}
                for name, fields in self.given.items()
                if name != "queues"
            }
            values["queues"] = self.given["queues"]
            values["now"] = _EPOCH + timedelta(microseconds=self.now_us)
            self._variables = Variables(TASK_NAMES, values)
        return self._variables
