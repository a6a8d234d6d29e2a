"""What GET shows of a resource: all that was written, as it was written, and the defaults."""

from typing import Any

import pytest

from services.router.resources import parse
from services.router.shown import shown

WRITTEN: list[tuple[str, dict[str, Any]]] = [
    ("agent", {"id": "x", "name": "Ana", "kind": "human", "capacity": 100, "channels": {"chat": 3},
               "skills": {"de": 5}, "attributes": {"site": 1.0, "none": None}, "timezone": "Europe/Berlin",
               "queues": ["billing", {"queue": "general", "rank": 2, "delay_s": 30, "tier": 1}]}),
    ("queue", {"id": "x", "order": "head_start", "head_start_s": 60, "select": "least_loaded",
               "offer": {"ttl_s": 20, "parallel": 1, "auto_accept": False, "misses_before_away": 3,
                         "cool_down_s": 60, "cool_down": {"declined_s": 0}},
               "wrap_up": {"limit_s": 60}, "orphans": {"after_s": 120}, "calendar": "office",
               "service_level": {"first_response": {"threshold_s": 60, "goal": 0.9}},
               "limit": {"waiting": 500, "overflow_to": "general"}}),
    ("policy", {"id": "x", "on_edit": "keep", "rules": [
        {"name": "r", "when": "task.channel == 'chat'", "priority": 0, "escalation": "standard",
         "require": ["skill(task.language) >= 1", {"skill": "de", "level": 1},
                     {"skill": "en", "level": 3, "relax": [{"after_s": 60, "level": 1}, {"after_s": 180, "drop": True}]},
                     {"cel": "agent.id == 'a'", "relax": [{"after_s": 5, "drop": True}]}, {"not_agents": ["a"]}],
         "prefer": {"agent": "last", "hold_s": 30, "reopen_within_s": 0, "hard": False},
         "steps": [{"queue": "billing", "timeout_s": 300, "skip_if": "nobody_could"},
                   {"queue": "general", "keep_previous": False}]}]}),
    ("escalation", {"id": "x", "levels": [
        {"name": "a", "when": {"waiting_s": 120}, "do": [{"raise_priority": 0}, {"relax": "all"}]},
        {"name": "b", "when": {"sla": {"metric": "m", "breached": True}}, "do": [{"offer_to": "supervisors"}]}]}),
    ("customer", {"id": "x", "tier": "gold", "identities": [{"scheme": "phone", "value": "1"}], "attributes": {}}),
    ("team", {"id": "x", "supervisors": ["sam"]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "written"), WRITTEN)
def test_all_that_was_written_is_shown_and_taken_back(kind: str, written: dict[str, Any]) -> None:
    canonical = parse(kind, written, "x").canonical
    assert canonical is not None
    seen = shown(kind, canonical)
    assert_within(written, seen)
    assert parse(kind, seen, "x").canonical == canonical


@pytest.mark.parametrize("kind", ["agent", "queue", "customer", "team"])
def test_defaults_are_shown(kind: str) -> None:
    seen = shown(kind, {"id": "x"})
    assert parse(kind, seen, "x").canonical == parse(kind, {}, "x").canonical
    assert len(seen) > 2


def test_defaults_of_a_queue_are_those_of_the_contract() -> None:
    seen = shown("queue", {"id": "x"})
    offer = seen["offer"]
    assert (seen["order"], seen["select"], seen["head_start_s"]) == (
        "head_start",
        "least_loaded",
        60,
    )
    assert (offer["ttl_s"], offer["parallel"], offer["auto_accept"]) == (20, 1, False)
    assert (offer["misses_before_away"], offer["cool_down_s"]) == (3, 60)
    assert seen["orphans"] == {"after_s": 120}
    assert not {"wrap_up", "calendar", "limit"} & set(seen)


def assert_within(part: Any, whole: Any) -> None:
    if isinstance(part, dict):
        for name, value in part.items():
            assert name in whole, (name, whole)
            assert_within(value, whole[name])
    elif isinstance(part, list):
        assert len(part) == len(whole)
        for one, other in zip(part, whole, strict=True):
            assert_within(one, other)
    else:
        assert part == whole
