"""An agent as the conditions of requirements see him."""

from collections.abc import Iterable
from typing import Any, cast

import cel
import msgspec

from services.router.domain.config import Agent
from services.router.domain.facts import AGENT_NAMES
from shared.rules import Condition, Verdict, bounded, prepared

SMALL_BYTES = 1_000  # of an agent written in so few, conditions see all (shared/rules/limits.py)

# What two agents may be told to be alike by; `...`: not there. Not floats: 0.0 == -0.0.
_PLAIN = (str, int, bool, type(None), type(...))
Path = tuple[str, ...]


class AgentFacts:
    """An agent as requirements see him. Make one per version of the agent and keep it. `small`: written
    in no more than SMALL_BYTES."""

    __slots__ = ("_context", "_values", "agent", "skills", "small")

    def __init__(self, agent: Agent, *, small: bool = False) -> None:
        self.agent = agent
        self.skills = agent.skills
        self.small = small
        self._values: dict[str, Any] | None = None
        self._context: cel.Context | None = None

    def seen_at(self, paths: Iterable[Path]) -> tuple[Any, ...] | None:
        """The plain values at these paths; equal for agents of whom conditions see the same there. None
        where there are others, or where conditions may see less than all of him."""
        if not self.small:
            return None
        found: list[Any] = []
        for name, *rest in paths:
            value: Any = getattr(self.agent, name, ...)
            for key in rest:
                known = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
                value = known.get(key, ...)
            if not isinstance(value, _PLAIN):
                return None
            found += (type(value), value)  # since 1 == True
        return tuple(found)

    def judge(self, condition: Condition, bound: dict[str, Any]) -> Verdict:
        """Whether `condition` holds for this agent and the task's values `bound`."""
        if self._context is None or self._values is None:
            seen: dict[str, Any] = msgspec.to_builtins(self.agent)
            self._values = {"agent": bounded(AGENT_NAMES.fill("agent", _with_maps(seen)))}
            self._context = prepared(self._values)
        for name, value in bound.items():
            self._context.add_variable(name, value)
        values = self._values
        return condition.evaluate_in(self._context, lambda: {**values, **bound})


def _with_maps(seen: dict[str, Any]) -> dict[str, Any]:
    return {
        "skills": {},
        "attributes": {},
        "channels": {},
        "capacity": 100,
        "kind": "human",
        **seen,
    }
