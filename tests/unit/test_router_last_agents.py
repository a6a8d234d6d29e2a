"""`prefer: {agent: last}`: a customer's new conversation goes to who had his work last."""

from typing import Any

import pytest

from services.router.domain import commands as cmd
from services.router.domain.core import RouterFactory
from services.router.driver import Driver
from tests.unit.router_centre import accept, centre, come, complete, leave, offered

KIM = [{"scheme": "crm", "value": "kim"}]
LEE = [{"scheme": "crm", "value": "lee"}]
LAST = {"prefer": {"agent": "last", "hold_s": 30}}


def house(rule: dict[str, Any] | None = None) -> Driver:
    """Ana has taken Kim's call and rests for less long than Ben: alone, Ben's turn would be next."""
    driver = centre({"ana": {}}, LAST if rule is None else rule)
    driver.put("customer", "kim", identities=KIM)
    driver.put("customer", "lee", identities=LEE)
    driver.put("agent", "ben", channels={"chat": 9})
    come(driver, "ana")
    driver.say("c1", identities=KIM)
    name = accept(driver, "ana")
    come(driver, "ben")
    driver.wait(10)
    complete(driver, name)
    driver.wait(10)
    return driver


def taken_over(driver: Driver) -> Driver:
    driver.core.changes()
    fresh = RouterFactory().create("acme", driver.core.seed)
    fresh.load(driver.core.dump())
    driver.core = fresh
    return driver


def test_a_new_conversation_goes_to_who_had_the_customers_work_last() -> None:
    driver = house()
    driver.say("c2", identities=KIM)
    assert offered(driver, "ana") == ["c2"]


def test_without_the_preference_the_turn_decides() -> None:
    driver = house({})
    driver.say("c2", identities=KIM)
    assert offered(driver, "ben") == ["c2"]


def test_nobody_is_known_for_another_customer() -> None:
    driver = house()
    driver.say("c2", identities=LEE)
    assert offered(driver, "ben") == ["c2"]


def test_who_takes_the_shard_over_knows_it_too() -> None:
    driver = taken_over(house())
    driver.say("c2", identities=KIM)
    assert offered(driver, "ana") == ["c2"]


def test_the_conversations_own_last_agent_goes_first() -> None:
    driver = house()
    leave(driver, "ana")
    driver.say("c2", identities=KIM)
    complete(driver, accept(driver, "ben"))
    come(driver, "ana")
    driver.say("c1", identities=KIM)
    assert offered(driver, "ana") == ["c1"]


def test_a_merged_customers_last_agent_is_that_of_both_until_the_merge_is_undone() -> None:
    driver = house()
    driver.command(cmd.MergeCustomer(customer="kim", into="lee"))
    driver.say("c2", identities=LEE)
    complete(driver, accept(driver, "ana"))
    driver.command(cmd.UnmergeCustomer(customer="kim"))
    leave(driver, "ana")
    driver.say("c3", identities=LEE)
    complete(driver, accept(driver, "ben"))
    come(driver, "ana")
    driver.wait(10)
    driver.say("c4", identities=KIM)
    driver.say("c5", identities=LEE)
    assert (offered(driver, "ana"), offered(driver, "ben")) == (["c4"], ["c5"])


@pytest.mark.parametrize("again", [False, True])
def test_a_deleted_customer_is_forgotten(again: bool) -> None:
    driver = house()
    if again:  # with work of his still open
        driver.say("c2", identities=KIM)
    driver.command(cmd.DeleteResource(resource="customer", id="kim"))
    if again:
        accept(driver, "ana")
    assert driver.core.stored["last_agent"] == {}
