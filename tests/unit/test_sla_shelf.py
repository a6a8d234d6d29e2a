"""Conversations that are packed away in memory: nobody sees a difference."""

import gc
from typing import Any

import msgspec

from services.sla.domain.conversation import Live
from services.sla.domain.core import SlaFactory
from services.sla.domain.fold import Fold
from services.sla.domain.shelf import AT_HAND_MAX, Shelf
from shared.contracts.core import Entity
from tests.unit.test_sla_core import Bench
from tests.unit.test_sla_moves import DAILY, DAYTIME, Wide, renew

MANY = AT_HAND_MAX + 40
TARGETS = {"first_response": {"target_s": 60}}


def names(number: int) -> dict[str, str]:
    return {"conversation_id": f"cnv_{number}", "task_id": f"tsk_{number}"}


def filled(bench: Bench, policy: dict[str, Any]) -> None:
    bench.put("sla_policy", policy)
    for number in range(MANY):
        bench.message(number / 100, event=f"e{number}", conversation_id=f"cnv_{number}")
    bench.core.changes()


def at_hand(bench: Bench) -> int:
    shelf = bench.core.conversations
    return sum(shelf.rest(name) is None for name in shelf)


def test_most_are_packed_and_all_of_them_fire_once():
    bench = Bench().configured()
    filled(bench, {"id": "main", "calendar": "always", "targets": TARGETS})
    assert at_hand(bench) == AT_HAND_MAX and len(bench.core.conversations) == MANY
    bench.message(50, "agent", event="a", conversation_id="cnv_3")
    while (due_us := bench.core.wake_at_us()) is not None and due_us < bench.core.now_us + 10**8:
        bench.tick(100)
        bench.core.changes()
    breached = [data["conversation_id"] for kind, data in bench.events if kind == "breached"]
    assert len(breached) == len(set(breached)) == MANY - 1 and "cnv_3" not in breached
    assert at_hand(bench) == AT_HAND_MAX
    fresh = SlaFactory().create("acme", 1)
    fresh.load(bench.core.dump())
    assert fresh.dump() == bench.core.dump()
    assert fresh.wake_at_us() == bench.core.wake_at_us()


def test_one_that_is_packed_counts_on_its_windows_until_the_new_ones_reach_it():
    bench = Wide()
    bench.calendar(DAYTIME)
    policy = {
        "id": "main",
        "calendar": "daytime",
        "targets": {"first_response": {"target_s": 1800}},
    }
    bench.put("sla_policy", policy)
    bench.message(0, event="first", conversation_id="cnv_0", task_id=None)
    bench.created(0.1, "first", **names(0))
    bench.message(600, role="agent", conversation_id="cnv_0")
    before = bench.clocks(700, "cnv_0")
    for number in range(1, MANY):
        bench.message(700, event=f"e{number}", conversation_id=f"cnv_{number}")
    bench.core.changes()
    assert bench.core.conversations.rest("cnv_0") is not None, "it is packed"
    shifted = {**DAYTIME, "hours": {day: [["09:05", "18:00"]] for day in DAILY}}
    assert renew(bench, 1_000, shifted, 0)["moves"]
    assert bench.clocks(1_000, "cnv_0") == before, "opened before its turn"
    bench.core.changes()
    bench.settle(1_000)
    assert bench.clocks(1_000, "cnv_0") == before


def test_what_is_put_away_leaves_memory_at_once():
    bench = Bench().configured({"id": "main", "calendar": "always", "targets": TARGETS})
    bench.message(0, event="e", conversation_id="cnv_0")
    bench.created(0.1, "e", **names(0))
    enabled = gc.isenabled()
    gc.disable()
    try:
        before = _live_objects()
        for number in range(1, 20):
            bench.core.changes()
            shelf = Shelf("acme", bench.core.library)
            shelf.put("cnv_0", bench.core.conversations.body("cnv_0"))
            assert len(shelf["cnv_0"]) == 1, number
            del shelf
        assert _live_objects() == before
    finally:
        if enabled:
            gc.enable()


def _live_objects() -> int:
    return sum(isinstance(one, Live | Fold) for one in gc.get_objects())


def test_what_an_earlier_release_stored_goes_on_alike():
    bench = Bench().configured({"id": "main", "calendar": "always", "targets": TARGETS})
    for number in range(5):
        bench.message(number, event=f"e{number}", conversation_id=f"cnv_{number}")
        bench.created(number, f"e{number}", **names(number))
    old = SlaFactory().create("acme", 1)
    old.load(_without_rest(one) for one in bench.core.dump())
    other = Bench(old)
    assert old.wake_at_us() == bench.core.wake_at_us()
    count = len(bench.events)
    for each in (bench, other):
        each.tick(100)
    assert other.events == bench.events[count:] and len(other.events) == 5
    assert old.dump() == bench.core.dump()


def _without_rest(one: Entity) -> Entity:
    if one.kind != "conversation":
        return one
    stored = msgspec.msgpack.decode(one.body or b"")
    assert stored.pop("rest") is not None
    return Entity(one.kind, one.key, msgspec.msgpack.encode(stored))
