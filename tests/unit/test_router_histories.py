"""What profiles keep of a customer's tasks and conversations is what a look at all of them finds."""

import pytest

from services.router.domain import histories, merges
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE, Driver
from tests.unit.router_life import Life


def agree(ws):
    for name in [one for one in ws.stored["customer"] if ws.customers.get(one)]:
        names = {name, *ws.customers.parts(name)}
        mine = [task for task in ws.tasks.values() if task.customer_id in names]
        threads = [one for one in ws.conversations.values() if one.customer_id in names]
        assert histories.tasks_of(ws, names) == sorted(mine, key=lambda task: -task.number)
        assert histories.threads_of(ws, names) == sorted(threads, key=lambda one: -one.number)


@pytest.mark.parametrize("seed", range(4))
def test_a_profile_finds_what_a_look_at_everything_finds(seed, monkeypatch):
    """After changes, after refusals and a take-over; what has left memory is let go of."""
    monkeypatch.setattr(histories, "SLACK", 4)
    monkeypatch.setattr("services.router.domain.lifecycle.ENDED_TASKS_MAX", 3)
    monkeypatch.setattr("services.router.domain.lifecycle.CLOSED_CONVERSATIONS_MAX", 3)
    life = Life(seed)
    for step in range(300):
        life.step()
        if step % 4 == 0:
            agree(life.driver.core)
        if step % 130 == 129:
            life.driver.core.changes()
            fresh = RouterFactory().create(WORKSPACE, seed)
            fresh.load(life.driver.core.dump())
            life.driver.core = fresh
            fresh.wake_at_us()
    agree(life.driver.core)


def test_a_conversation_may_become_another_customers():
    driver = Driver()
    for name in ("kim", "lee"):
        driver.put("customer", name, identities=[{"scheme": "crm", "value": name}])
    driver.say("c1", identities=[{"scheme": "crm", "value": "kim"}])
    assert [one["id"] for one in merges.profile(driver.core, "kim")["conversations"]] == ["c1"]
    driver.say("c1", identities=[{"scheme": "crm", "value": "lee"}])
    assert merges.profile(driver.core, "kim")["conversations"] == []
    assert [one["id"] for one in merges.profile(driver.core, "lee")["conversations"]] == ["c1"]
    assert [one["conversation_id"] for one in merges.profile(driver.core, "kim")["open"]] == ["c1"]


def test_what_nobody_asks_for_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(histories, "SLACK", 4)
    monkeypatch.setattr("services.router.domain.lifecycle.CLOSED_CONVERSATIONS_MAX", 2)
    driver = Driver()
    driver.put("customer", "kim", identities=[{"scheme": "crm", "value": "kim"}])
    merges.profile(driver.core, "kim")
    for number in range(40):
        driver.say(
            f"c{number}", flags=["auto_reply"], identities=[{"scheme": "crm", "value": "kim"}]
        )
        found = driver.core.histories
        assert found is None or found.noted <= 2 * (2 + 1) + 4
