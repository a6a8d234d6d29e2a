"""Customers who are one person: merged, used as one everywhere, and taken apart again."""

import pytest

from services.router.domain import commands as cmd
from services.router.domain import merges
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE, Driver
from shared.contracts.interactions import Identity
from shared.contracts.problems import Refused
from tests.unit.router_centre import accept, centre, come, complete, offered, task_of, work

MAIL = {"scheme": "email", "value": "Kim@Example.org"}
CALL = {"scheme": "phone", "value": "0049 151 1234"}


def two() -> Driver:
    driver = come(centre({"ana": {}}), "ana")
    rule = {"priority": 'customer.tier == "gold" ? 10 : 0', "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[rule])
    driver.put("customer", "kim", tier="gold", identities=[MAIL], attributes={"a": 1})
    driver.put("customer", "k2", language="de", identities=[CALL], attributes={"a": 2, "b": 3})
    return driver


def joined(driver: Driver) -> dict:
    return driver.command(cmd.MergeCustomer(customer="k2", into="kim"))


def test_a_merged_customer_is_the_other_everywhere():
    driver = two()
    driver.say("before", identities=[CALL])
    complete(driver, accept(driver, "ana"))
    found = joined(driver)
    assert (found["tier"], found["language"], found["attributes"]) == (
        "gold",
        "de",
        {"a": 1, "b": 3},
    )
    assert [one["value"] for one in found["identities"]] == [MAIL["value"], CALL["value"]]
    assert [one["conversation_id"] for one in found["recent"]] == ["before"]
    assert found["last_agents"] == ["ana"]
    driver.say("after", identities=[CALL])
    task = task_of(driver, "after")
    assert (task["customer_id"], task["priority"]) == ("kim", 10)
    assert task_of(driver, "before")["customer_id"] == "kim"
    assert joined(driver)["merged"] == found["merged"], "repeated, it answers the same"


def test_undoing_a_merge_loses_nothing_and_a_take_over_remembers_it():
    driver = two()
    joined(driver)
    fresh = RouterFactory().create(WORKSPACE, 1)
    fresh.load(driver.core.dump())
    assert fresh.last_seq and fresh.customers.canonical("k2") == "kim"
    driver.command(cmd.UnmergeCustomer(customer="k2"))
    assert merges.profile(driver.core, "k2")["attributes"] == {"a": 2, "b": 3}
    assert merges.profile(driver.core, "kim")["attributes"] == {"a": 1}
    driver.say("c1", identities=[CALL])
    assert task_of(driver, "c1")["customer_id"] == "k2"
    driver.core.changes()
    assert all(entity.kind != "customer_merge" for entity in driver.core.dump())


def test_never_pair_lists_are_merged_for_waiting_work_too():
    driver = two()
    driver.put("customer", "k2", identities=[CALL], never_pair=["ana"])
    driver.put("queue", "main", offer={"ttl_s": 5, "cool_down_s": 1})
    driver.say("c1", identities=[MAIL])
    assert offered(driver, "ana") == ["c1"]
    joined(driver)
    driver.wait(60)
    assert offered(driver, "ana") == []
    driver.command(cmd.UnmergeCustomer(customer="k2"))
    assert offered(driver, "ana") == ["c1"]


def test_what_cannot_be_merged_is_refused():
    driver = two()
    driver.put("customer", "k3")
    joined(driver)
    driver.put("customer", "gone")
    driver.command(cmd.DeleteResource(resource="customer", id="gone"))
    for command in (
        cmd.MergeCustomer(customer="k3", into="gone"),
        cmd.MergeCustomer(customer="gone", into="k3"),
        cmd.MergeCustomer(customer="kim", into="k2"),
        cmd.MergeCustomer(customer="kim", into="kim"),
        cmd.MergeCustomer(customer="k2", into="k3"),
        cmd.MergeCustomer(customer="nobody", into="kim"),
        cmd.MergeCustomer(customer="k3", into="nobody"),
        cmd.UnmergeCustomer(customer="k3"),
        cmd.DeleteResource(resource="customer", id="kim"),
    ):
        before, seq = driver.core.dump(), driver.core.last_seq
        with pytest.raises(Refused):
            driver.command(command)
        assert driver.core.dump() == before and driver.core.last_seq == seq
    driver.command(cmd.MergeCustomer(customer="kim", into="k3"))
    assert driver.core.customers.canonical("k2") == "k3", "a chain ends in one"
    assert driver.core.customers.parts("k3") == ["k2", "kim"]


def test_operators_see_what_an_identity_means_and_why():
    driver = two()
    driver.put("customer", "a0", identities=[MAIL])
    joined(driver)
    found = driver.core.customers.explain([Identity(**CALL), Identity(**MAIL)])
    assert [one["customer"] for one in found] == ["kim", "a0"]
    assert found[1]["claimed_by"] == ["a0", "kim"]
    assert found[0]["value"] == "+491511234"


def test_a_desktop_hears_when_the_customer_it_shows_is_another():
    """Also of one who was merged; nobody is woken for what no desktop shows."""
    driver = two()
    driver.put("agent", "ben", channels={"chat": 9})
    driver.say("c1", identities=[CALL])

    def told(change) -> tuple[bool, dict]:
        before = work(driver, "ana")["revision"]
        change()
        after = work(driver, "ana")
        assert ("agent:ana" in driver.last.touched) == (after["revision"] > before)
        assert "agent:ben" not in driver.last.touched
        return after["revision"] > before, after["offers"][0]["customer"]

    def written(**fields):
        return lambda: driver.put("customer", "k2", identities=[CALL], **fields)

    def undone():
        driver.command(cmd.UnmergeCustomer(customer="k2"))

    assert told(written(name="Kim", attributes={"a": 3})) == (
        True, {"id": "k2", "name": "Kim", "tier": None, "language": None},
    )  # fmt: skip
    assert told(written(name="Kim", attributes={"a": 4}))[0] is False
    assert told(lambda: driver.put("customer", "k9", name="new"))[0] is False
    known, shown = told(lambda: joined(driver))
    assert known and (shown["id"], shown["tier"], shown["name"]) == ("kim", "gold", "Kim")
    assert told(lambda: driver.put("customer", "kim", tier="silver", identities=[MAIL]))[0]
    assert told(written(name="Kim", tier="none"))[0] is False, "kim's own tier is shown"
    known, shown = told(undone)
    assert known and (shown["id"], shown["tier"]) == ("k2", "none")
    known, shown = told(lambda: driver.command(cmd.DeleteResource(resource="customer", id="k2")))
    assert known and shown is None


def test_a_desktop_that_shows_him_no_more_is_left_alone():
    driver = two()
    driver.say("c1", identities=[CALL])
    driver.put("customer", "k2", name="Kim", identities=[CALL])
    accept(driver, "ana")
    before = work(driver, "ana")["revision"]
    driver.put("customer", "k2", name="Kay", identities=[CALL])
    assert work(driver, "ana")["revision"] == before
    driver.say("c2", identities=[CALL])
    before = work(driver, "ana")["revision"]
    driver.put("customer", "k2", name="Kim", identities=[CALL])
    assert work(driver, "ana")["revision"] > before


def test_who_becomes_known_by_a_later_message_is_the_customer_from_then_on():
    driver = centre({"ana": {}, "ben": {}}, {"prefer": {"reopen_within_s": 900}})
    driver.put("customer", "kim", name="Kim", identities=[MAIL], never_pair=["ana"])
    driver.say("c1")
    driver.say("c1", identities=[MAIL])
    come(driver, "ana")
    assert (task_of(driver, "c1")["customer_id"], offered(driver, "ana")) == ("kim", [])
    come(driver, "ben")
    assert work(driver, "ben")["offers"][0]["customer"]["name"] == "Kim"
    [found] = merges.profile(driver.core, "kim")["open"]
    assert found["conversation_id"] == "c1"


def test_who_becomes_known_by_the_message_that_reopens_is_heeded_too():
    driver = come(centre({"ana": {}}, {"prefer": {"reopen_within_s": 900}}), "ana")
    driver.put("customer", "kim", identities=[MAIL], never_pair=["ana"])
    driver.say("c1")
    complete(driver, accept(driver, "ana"))
    driver.say("c1", identities=[MAIL])
    assert (task_of(driver, "c1")["customer_id"], offered(driver, "ana")) == ("kim", [])


def identified(driver: Driver) -> list[tuple[str, str | None, str | None]]:
    """Who was told to be the customer of which conversation, and his tier."""
    found = driver.found("task.identified")
    return [
        (one["conversation_id"], one["customer"]["id"], one["customer"]["tier"]) for one in found
    ]


def test_open_work_tells_who_its_customer_is_when_that_becomes_known_or_changes():
    driver = two()
    driver.say("c1")
    driver.say("c2", identities=[CALL])
    driver.say("gone", identities=[CALL])
    task = task_of(driver, "gone")["id"]
    driver.command(cmd.CancelTask(task=task, reason="spam"))
    assert identified(driver) == [], "who is known at once is told with the task"
    driver.say("c1", identities=[MAIL])
    assert identified(driver) == [("c1", "kim", "gold")]
    driver.say("c1", identities=[MAIL])
    joined(driver)
    told = identified(driver)[1:]
    assert ("c2", "kim", "gold") in told and all(one[0] in ("c1", "c2") for one in told)
    before = len(identified(driver))
    joined(driver)
    assert len(identified(driver)) == before, "repeated, it says nothing"
    driver.command(cmd.UnmergeCustomer(customer="k2"))
    assert ("c2", "k2", None) in identified(driver)[before:]
