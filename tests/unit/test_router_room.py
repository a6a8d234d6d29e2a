"""How many resources a workspace may have, and that one made anew is not taken for the one that was."""

import msgspec
import pytest

from services.router.domain import commands as cmd
from services.router.domain import room
from services.router.driver import Driver
from shared.contracts.problems import Refused

STEPS = {"rules": [{"steps": [{"queue": "main"}]}]}
BODIES = {
    "agent": {"channels": {"chat": 1}},
    "queue": {},
    "policy": STEPS,
    "escalation": {},
    "customer": {},
    "team": {},
}


class Many(dict):
    """As many as there may be, without any of them."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def full(driver: Driver, kind: str) -> Refused:
    with pytest.raises(Refused) as refused:
        driver.put(kind, "one-more", **BODIES[kind])
    return refused.value


def test_one_more_policy_than_may_be_is_refused_and_those_that_there_are_may_change() -> None:
    driver = Driver()
    driver.put("queue", "main")
    for number in range(room.POLICIES_MAX):
        driver.put("policy", f"p{number}", **STEPS)
    before = driver.core.dump()
    refused = full(driver, "policy")
    assert (refused.kind, refused.reason) == ("conflict", "limit")
    assert [(one.pointer, one.code) for one in refused.errors] == [("", "limit")]
    assert f"at most {room.POLICIES_MAX} policies" in (refused.errors[0].expected or "")
    assert driver.core.dump() == before
    driver.put("policy", "p3", on_edit="take", **STEPS)
    driver.command(cmd.DeleteResource(resource="policy", id="p7"))
    assert driver.put("policy", "one-more", **STEPS)["created"]


@pytest.mark.parametrize("kind", list(BODIES))
def test_every_kind_has_a_limit(kind: str) -> None:
    driver = Driver()
    driver.put("queue", "main")
    what, limit = room.LIMITS[kind]
    place = {"agent": "desks", "queue": "queues", "policy": "policies", "escalation": "ladders"}
    name = place.get(kind, f"{kind}s")
    held = Many(limit - 1)
    with pytest.raises(Refused) as refused:
        setattr(driver.core, name, Many(limit))
        room.check(driver.core, kind)
    assert what in refused.value.detail
    setattr(driver.core, name, held)
    room.check(driver.core, kind)


def test_a_centre_of_twenty_thousand_agents_has_room() -> None:
    assert room.AGENTS_MAX >= 20_000
    assert room.CUSTOMERS_MAX >= 500_000


@pytest.mark.parametrize("kind", list(BODIES))
def test_what_is_made_anew_is_not_at_a_version_that_it_had(kind: str) -> None:
    driver = Driver()
    driver.put("queue", "main")
    body = BODIES[kind]
    first = driver.put(kind, "x", **body)["version"]
    driver.command(cmd.DeleteResource(resource=kind, id="x"))
    raw = msgspec.Raw(msgspec.json.encode({"id": "x"}))
    anew = driver.put(kind, "x", **body)
    assert anew["created"]
    assert anew["version"] > first
    for command in (
        cmd.DeleteResource(resource=kind, id="x", if_version=first),
        cmd.PutResource(resource=kind, id="x", if_version=first, body=raw),
    ):
        with pytest.raises(Refused) as refused:
            driver.command(command)
        assert refused.value.kind == "precondition-failed"


def test_what_is_deleted_leaves_nothing_behind() -> None:
    driver = Driver()
    driver.put("queue", "main")
    driver.core.changes()
    size = len(driver.core.dump())
    for number in range(20):
        for kind, body in BODIES.items():
            driver.put(kind, f"x{number}", **body)
            driver.core.changes()
            driver.command(cmd.DeleteResource(resource=kind, id=f"x{number}"))
            gone = [(one.kind, one.key) for one in driver.core.changes() if one.body is None]
            assert (kind, f"x{number}") in gone
    assert len(driver.core.dump()) == size


def test_nobody_is_merged_into_a_customer_who_was_deleted() -> None:
    driver = Driver()
    for name in ("kim", "lee"):
        driver.put("customer", name)
    driver.command(cmd.DeleteResource(resource="customer", id="lee"))
    with pytest.raises(Refused) as refused:
        driver.command(cmd.MergeCustomer(customer="kim", into="lee"))
    assert [one.code for one in refused.value.errors] == ["unknown_customer"]
