"""What the router's resources say of themselves: the forms that people write, and an example of each."""

from typing import Any

from services.router.domain.commands import ResourceKind
from services.router.forms import FORMS
from shared.http.calls import Call, Written

EXAMPLES: dict[ResourceKind, dict[str, Any]] = {
    "agent": {
        "id": "ana",
        "name": "Ana Silva",
        "team": "front",
        "capacity": 100,
        "channels": {"chat": 3, "phone": 1},
        "skills": {"billing": 4, "de": 5},
        "queues": ["billing", {"queue": "support", "rank": 2, "delay_s": 30}],
    },
    "queue": {
        "id": "billing",
        "select": "least_loaded",
        "offer": {"ttl_s": 30, "cool_down_s": 60},
        "wrap_up": {"limit_s": 60},
        "service_level": {"first_response": {"threshold_s": 60, "goal": 0.8}},
    },
    "policy": {
        "id": "default",
        "rules": [
            {
                "name": "invoices",
                "when": "task.attributes.topic == 'billing'",
                "priority": 10,
                "require": [
                    {"skill": "billing", "level": 3, "relax": [{"after_s": 60, "level": 2}]},
                    "skill('de') >= 1",
                ],
                "escalation": "standard",
                "steps": [{"queue": "billing", "timeout_s": 120}, {"queue": "support"}],
            },
            {"name": "all else", "steps": [{"queue": "support"}]},
        ],
    },
    "escalation": {
        "id": "standard",
        "levels": [
            {
                "name": "urgent",
                "when": {"waiting_s": 300},
                "do": [{"raise_priority": 20}, {"notify": "supervisors"}],
            }
        ],
    },
    "customer": {
        "id": "kim",
        "name": "Kim",
        "tier": "gold",
        "language": "de",
        "identities": [{"scheme": "email", "value": "kim@example.org"}],
        "attributes": {"plan": "pro"},
    },
    "team": {"id": "front", "name": "Front desk", "supervisors": ["sam"]},
}
DELETE = Call(keyed=True, conditional=True, may=(409,))


def _written(kind: ResourceKind) -> Written:
    return Written(FORMS[kind], kind.capitalize())


def written_as(kind: ResourceKind) -> str:
    return f"{'an' if kind[0] in 'ae' else 'a'} {kind}"


def put_call(kind: ResourceKind) -> Call:
    return Call(
        body=_written(kind),
        example=EXAMPLES[kind],
        answer=_written(kind),
        created=True,
        etag=True,
        conditional=True,
        keyed=True,
    )


def get_call(kind: ResourceKind) -> Call:
    return Call(answer=_written(kind), etag=True)


def list_call(kind: ResourceKind, plural: str) -> Call:
    return Call(answer=_written(kind), page=plural)
