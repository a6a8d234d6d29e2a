"""The contact centre that the router is measured on: 50 skills, five rules, agents with five skills."""

import json
from collections.abc import Iterator
from typing import Any

from services.router.domain.commands import ResourceKind

SKILLS = 50
RULES = 5
SKILLS_EACH = 5

Resource = tuple[ResourceKind, str, dict[str, Any]]


def rules_of_work() -> Iterator[Resource]:
    """A queue, and a policy that asks for the skill that a task's topic names."""
    yield "queue", "main", {"offer": {"ttl_s": 3600}}
    rules = [
        {
            "when": f"task.attributes.topic in {json.dumps(_topics(place))}",
            "priority": place,
            "require": [f"skill(task.attributes.topic) >= {1 + place % 3}"],
            "steps": [{"queue": "main"}],
        }
        for place in range(RULES)
    ]
    yield "policy", "default", {"rules": rules}


def agents(count: int, chats: int) -> Iterator[Resource]:
    """Agents with room for `chats` conversations each."""
    for number in range(count):
        skills = {f"s{(number * 7 + place * 11) % SKILLS}": 3 for place in range(SKILLS_EACH)}
        body = {"capacity": 30 * chats, "channels": {"chat": chats}, "skills": skills}
        yield "agent", f"a{number}", body


def topic(number: int) -> str:
    """The topic of conversation `number`."""
    return f"s{number * 31 % SKILLS}"


def _topics(place: int) -> list[str]:
    return [f"s{number}" for number in range(place, SKILLS, RULES)]
