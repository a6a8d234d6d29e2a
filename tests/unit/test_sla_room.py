"""How much configuration a workspace of the SLA service may have, and that a resource made anew is not taken
for the one that was."""

from typing import Any

import msgspec
import pytest

from services.sla.domain import room
from services.sla.domain.commands import DeleteResource, PutResource
from services.sla.domain.library import Library
from services.sla.resources import read_policy
from shared.contracts.problems import Refused
from shared.contracts.windows import Expanded

# A pattern that only the full engine can match, near the limit of one condition.
DEAR = "||".join(f"task.language.matches('(a|b){{1,40}}c{number}')" for number in range(2))


def put(library: Library, kind: Any, name: str, **body: Any) -> dict[str, Any]:
    windows = Expanded(0, 1, []) if kind == "calendar" else None
    raw = msgspec.Raw(msgspec.json.encode({"id": name, **body}))
    command = PutResource(resource=kind, id=name, body=raw, windows=windows)
    library.check(command)
    return msgspec.json.decode(library.put(command)[0])


def drop(library: Library, kind: Any, name: str, version: int | None = None) -> None:
    command = DeleteResource(resource=kind, id=name, if_version=version)
    library.check(command)
    library.delete(command)
    library.forget()


@pytest.mark.parametrize(
    ("kind", "limit", "what"),
    [
        ("calendar", room.CALENDARS_MAX, "calendars"),
        ("sla_policy", room.SLA_POLICIES_MAX, "SLA policies"),
    ],
)
def test_one_more_than_may_be_is_refused(kind: str, limit: int, what: str) -> None:
    room.check(kind, limit - 1)
    with pytest.raises(Refused) as refused:
        room.check(kind, limit)
    assert (refused.value.kind, refused.value.reason) == ("conflict", "limit")
    assert f"at most {limit} {what}" in (refused.value.errors[0].expected or "")


def test_the_core_keeps_it() -> None:
    library = Library()
    put(library, "calendar", "c")
    first = library.current["calendar", "c"]
    for number in range(room.CALENDARS_MAX - 1):
        library.current["calendar", f"c{number}"] = first
    with pytest.raises(Refused) as refused:
        put(library, "calendar", "one-more")
    assert refused.value.reason == "limit"
    assert put(library, "calendar", "c", timezone="UTC")["version"] == 2
    drop(library, "calendar", "c0")
    assert put(library, "calendar", "one-more")["created"]


def test_conditions_of_all_policies_together_have_a_limit() -> None:
    library = Library()
    put(library, "calendar", "c")
    dear = read_policy({"calendar": "c", "when": DEAR}, "p")
    weight = room._weight(library_policy(dear).when)
    assert weight > 100, "dear enough for the test"
    taken = room.TOTAL_MAX_WEIGHT // weight
    for number in range(taken):
        put(library, "sla_policy", f"p{number}", calendar="c", when=DEAR)
    with pytest.raises(Refused) as refused:
        put(library, "sla_policy", "more", calendar="c", when=DEAR)
    (fault,) = refused.value.errors
    assert (fault.pointer, fault.code) == ("/when", "too_costly")
    assert put(library, "sla_policy", "p1", calendar="c", when=DEAR, order=3)["version"] == 2
    assert put(library, "sla_policy", "cheap", calendar="c")["created"]


def test_conditions_of_one_policy_together_have_a_limit() -> None:
    named = [
        {"name": f"n{number}", "target_s": 60, "start_when": DEAR, "stop_when": DEAR}
        for number in range(50)
    ]
    with pytest.raises(Refused) as refused:
        read_policy({"calendar": "c", "named": named}, "p", "/policy")
    (fault,) = refused.value.errors
    assert (fault.pointer, fault.code) == ("/policy", "too_costly")
    read_policy({"calendar": "c", "named": named[:20]}, "p")


def library_policy(body: dict[str, Any]) -> Any:
    from services.sla.domain.policy import compile_policy

    return compile_policy(body, 0)


@pytest.mark.parametrize("kind", ["calendar", "sla_policy"])
def test_what_is_made_anew_is_not_at_a_version_that_it_had(kind: str) -> None:
    library = Library()
    put(library, "calendar", "c")
    body = {} if kind == "calendar" else {"calendar": "c"}
    put(library, kind, "x", **body)
    seen = put(library, kind, "x", order=7, **body)["version"]
    drop(library, kind, "x")
    loaded = Library()
    loaded.load(library.dump())
    anew = put(loaded, kind, "x", **body)
    assert anew["created"]
    assert anew["version"] > seen == 2
    for version in (1, 2):
        with pytest.raises(Refused) as refused:
            drop(loaded, kind, "x", version)
        assert refused.value.kind == "precondition-failed"
