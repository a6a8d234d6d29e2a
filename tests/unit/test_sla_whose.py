"""Whose clocks and figures are: the queue that took the work, the customer who turned out to be there."""

from typing import Any

import msgspec

from services.sla.domain.views import conversation_clocks
from shared.contracts.core import Input
from tests.unit.test_sla_measures import POLICY, T0, S, Shop

GOLD = {
    "id": "gold",
    "when": 'customer.tier == "gold"',
    "calendar": "always",
    "targets": {"first_response": {"target_s": 30}, "resolution": {"target_s": 300}},
    "order": -1,
}
BILLING = {"name": "desk", "queue": "billing", "target_s": 90}


def put(shop: Shop, policy: dict[str, Any]) -> None:
    command = {"resource": "sla_policy", "id": policy["id"], "body": policy}
    shop.apply(0, Input("command", "PutResource", msgspec.json.encode(command), id="c"))


def clocks(shop: Shop, at_s: float) -> dict[str, dict[str, Any]]:
    found = conversation_clocks(shop.core, "cnv_1", T0 + round(at_s * S))
    return {one["metric"]: one for one in found}


def answers(shop: Shop) -> dict[str, Any]:
    [answer] = [one for one in shop.counted().values() if one["metric"] == "speed_of_answer"]
    return answer


def test_work_that_waits_in_several_queues_is_of_the_one_from_which_it_is_taken() -> None:
    shop = Shop()
    put(shop, {**POLICY, "groups": [BILLING]})
    shop.begin()
    shop.told(5, "queued", 2, queues=["billing", "tech"])
    assert {one["queue"] for one in clocks(shop, 6).values()} == {"billing"}
    shop.told(8, "assigned", 3, agent_id="bob", queue="tech")
    now = clocks(shop, 9)
    assert {now[one]["queue"] for one in ("first_response", "resolution", "time_to_assign")} == {"tech"}  # fmt: skip
    assert now["desk"]["state"] == "met", "the group's clock ends with its queue"
    assert shop.rows["task", "tsk_1"]["queue"] == "tech"
    assert (answers(shop)["queue"], answers(shop)["agent_id"]) == ("tech", "bob")


def test_an_assignment_from_the_queue_it_is_in_changes_nothing() -> None:
    shop = Shop().begin()
    shop.told(8, "assigned", 2, agent_id="ana", queue="billing")
    [live] = shop.core.lives("cnv_1")
    assert [e.fields for e in live.record.events if e.type == "assigned"] == [{"agent_id": "ana"}]


def test_who_has_a_task_later_does_not_get_its_speed_of_answer() -> None:
    shop = Shop().begin()
    shop.told(10, "assigned", 2, agent_id="ana", queue="billing")
    shop.told(20, "priority_changed", 3, **{"from": 2, "to": 9, "by": "ana"})
    shop.told(30, "transferred", 4, to={"queue": "tech"}, mode="blind")
    shop.told(50, "assigned", 5, agent_id="ben", queue="tech")
    shop.told(60, "completed", 6, tags=["done"])
    answer = answers(shop)
    assert (answer["queue"], answer["agent_id"], answer["priority"]) == ("billing", "ana", 2)
    assert answer["value_us"] == 10 * S and answer["tags"] == ["done"]
    [handled] = [one for one in shop.counted().values() if one["metric"] == "handle_time"]
    assert (handled["queue"], handled["agent_id"]) == ("tech", "ben")


def test_a_wait_that_was_given_up_is_of_the_queue_in_which_it_was() -> None:
    shop = Shop().begin()
    shop.told(5, "queued", 2, queues=["tech"])
    shop.told(9, "cancelled", 3, reason="abandoned")
    assert (answers(shop)["outcome"], answers(shop)["queue"]) == ("abandoned", "tech")


def test_a_customer_who_becomes_known_later_has_his_own_targets() -> None:
    shop = Shop()
    put(shop, GOLD)
    shop.message(0, "e")
    facts = {"event_id": "e", "channel": "chat", "queue": "billing", "priority": 2}
    shop.told(0, "created", 1, **facts)
    before = clocks(shop, 5)
    assert before["first_response"]["target_s"] == 60
    shop.message(10, "e2")
    shop.told(10, "identified", 2, customer={"id": "kim", "tier": "gold"})
    after = clocks(shop, 11)
    assert after["first_response"]["id"] == before["first_response"]["id"]
    assert after["first_response"]["due_at"] == "2026-11-23T09:00:30Z", "from its start"
    assert after["resolution"]["policy"]["id"] == "gold"
    assert after["time_to_assign"]["state"] == "cancelled", "gold has none"
    assert shop.rows["task", "tsk_1"]["customer_id"] == "kim"


def test_what_has_ended_before_he_was_known_stays() -> None:
    shop = Shop()
    put(shop, GOLD)
    shop.message(0, "e")
    shop.told(0, "created", 1, event_id="e", channel="chat", queue="billing", priority=2)
    shop.message(45, "a1", "agent")
    shop.told(50, "identified", 2, customer={"id": "kim", "tier": "gold"})
    assert clocks(shop, 51)["first_response"]["state"] == "met"
    assert clocks(shop, 51)["resolution"]["due_at"] == "2026-11-23T09:05:00Z"
