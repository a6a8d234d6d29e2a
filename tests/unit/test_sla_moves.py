"""The running core beyond the plain life of a clock: migrations, new windows, notices, foresight."""

import msgspec
import pytest

from services.sla.domain.core import SlaFactory
from services.sla.domain.moves import GATHERED_PER_INPUT, MOVED_PER_INPUT, Names
from services.sla.domain.running import RUNG_PER_INPUT
from services.sla.domain.views import accounted, conversation_clocks, explanation
from shared.calendars import expand
from shared.contracts.core import BEHIND, LIVE, Entity, Input
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.problems import Refused
from tests.unit.test_sla_core import ALWAYS, POLICY, T0, Bench, S

DAILY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYTIME = {"id": "daytime", "timezone": "UTC", "hours": {d: [["08:00", "18:00"]] for d in DAILY}}
RESOLVE = {"id": "main", "calendar": "always", "targets": {"resolution": {"target_s": 3600}}}


class Wide(Bench):
    """A bench with more calendars and commands."""

    def calendar(self, body: dict, at_s: float = -10):
        windows = msgspec.to_builtins(expand(body, T0))
        command = {"resource": "calendar", "id": body["id"], "body": body, "windows": windows}
        return self.apply(at_s, Input("command", "PutResource", msgspec.json.encode(command)))

    def command(self, at_s: float, name: str, **fields):
        outcome = self.apply(at_s, Input("command", name, msgspec.json.encode(fields), id="c"))
        return msgspec.json.decode(outcome.reply)

    def settle(self, at_s: float) -> int:
        """Timers until nothing is due; how many it took."""
        rounds = 0
        while (due := self.core.wake_at_us()) is not None and due <= T0 + round(at_s * S):
            self.tick(at_s)
            rounds += 1
            assert rounds < 1_000
        return rounds

    def clocks(self, at_s: float, conversation: str = "cnv_1") -> list[dict]:
        found = conversation_clocks(self.core, conversation, T0 + round(at_s * S))
        return sorted(found, key=lambda clock: (clock["metric"], clock["cycle"]))

    def reloaded(self) -> "Wide":
        again = SlaFactory().create("acme", 1)
        again.load(self.core.dump())
        other = Wide(again)
        other.number, other.routing_seq = self.number, self.routing_seq
        return other

    def at(self, at_s: float) -> str:
        return format_instant(T0 + round(at_s * S))


def bound(policy: dict = RESOLVE, conversations: int = 1) -> Wide:
    bench = Wide()
    bench.calendar(ALWAYS)
    bench.calendar(DAYTIME)
    bench.put("sla_policy", policy)
    for number in range(1, conversations + 1):
        names = {"conversation_id": f"cnv_{number}", "task_id": f"tsk_{number}"}
        bench.message(0, event=f"e{number}", conversation_id=names["conversation_id"])
        bench.created(0.1, f"e{number}", **names)
    return bench


# Migrations.


@pytest.mark.parametrize(
    ("mode", "started", "due"),
    [
        ("recompute", 0, 1800),
        ("forward", 0, 600 + 1800),
        ("reset", 600, 600 + 1800),
        ("proportional", 0, 600 + 1500),
        (None, 0, 600 + 1800),
    ],
)
def test_open_clocks_move_only_by_a_migration_and_as_its_mode_says(mode, started, due):
    bench = bound()
    shorter = {**RESOLVE, "targets": {"resolution": {"target_s": 1800}}, "on_change": "forward"}
    bench.put("sla_policy", shorter, at_s=300)
    assert bench.clocks(300)[0]["due_at"] == bench.at(3600), "an edit alone moves nothing"
    reply = bench.command(600, "MigratePolicy", id="main", **({"mode": mode} if mode else {}))
    assert reply == {"id": "main", "version": 2, "mode": mode, "clocks": 1}
    bench.settle(600)
    clock = bench.clocks(600)[0]
    assert (clock["started_at"], clock["due_at"]) == (bench.at(started), bench.at(due))
    assert clock["policy"] == {"id": "main", "version": 2}
    moved = next(data for kind, data in bench.events if kind == "moved")
    assert (moved["due_at"], moved["because"]) == (bench.at(due), "policy_changed")
    assert bench.reloaded().clocks(600) == bench.clocks(600)
    assert bench.settle(700) == 0


def test_a_migration_leaves_what_has_ended_and_other_policies():
    bench = bound(conversations=2)
    bench.told(60, "completed", conversation_id="cnv_2", task_id="tsk_2", agent_id="ana", disposition="done", handle_s=1)  # fmt: skip
    before = bench.clocks(700, "cnv_2")
    bench.put("sla_policy", {**RESOLVE, "targets": {"resolution": {"target_s": 30}}}, at_s=300)
    assert bench.command(600, "MigratePolicy", id="main")["clocks"] == 1
    bench.settle(601)
    assert bench.clocks(700, "cnv_2") == before
    breached = bench.clocks(700)[0]
    assert (breached["breached_at"], breached["state"]) == (bench.at(30), "running")
    with pytest.raises(Refused) as refusal:
        bench.command(700, "MigratePolicy", id="nobody")
    assert refusal.value.kind == "not-found"


def test_the_list_of_clocks_has_the_policy_that_a_migration_leads_to():
    """Also where nothing else changes: what is filtered and grouped by it is what is shown."""
    bench = bound()
    bench.put("sla_policy", {**RESOLVE, "id": "other"})
    bench.put("sla_policy", {**RESOLVE, "when": 'task.channel == "email"'})
    bench.command(600, "MigratePolicy", id="main")
    bench.settle(600)
    (row,) = bench.rows.values()
    assert bench.clocks(600)[0]["policy"] == {"id": "other", "version": 1}
    assert (row["policy_id"], row["policy_version"]) == ("other", 1)


def test_a_long_migration_goes_in_portions_and_survives_a_take_over():
    bench = bound(conversations=250)
    bench.put("sla_policy", {**RESOLVE, "targets": {"resolution": {"target_s": 1800}}}, at_s=10)
    bench.command(20, "MigratePolicy", id="main")
    bench.tick(20)
    assert sum(kind == "moved" for kind, _ in bench.events) == MOVED_PER_INPUT
    other = bench.reloaded()
    for each in (bench, other):
        assert each.settle(21) == -(-250 // MOVED_PER_INPUT) - 1
    assert other.core.dump() == bench.core.dump()
    assert {c["due_at"] for n in range(1, 251) for c in other.clocks(21, f"cnv_{n}")} == {other.at(1800)}  # fmt: skip
    assert len(other.core.library.pages) <= 4, "old books are let go once nobody needs them"


@pytest.mark.parametrize(
    ("mode", "elapsed", "due"),
    [
        ("forward", 600, 600 + 3600),
        ("proportional", 600, 600 + 3000),
        ("recompute", 0, 24 * 3600 + 3600),
    ],  # fmt: skip
)
def test_what_has_run_counted_on_the_hours_there_were(mode, elapsed, due):
    bench = bound({**RESOLVE, "calendar": "daytime"})
    bench.calendar({**DAYTIME, "hours": {d: [["09:10", "18:00"]] for d in DAILY}}, at_s=30)
    if mode == "recompute":  # the new hours have no time until now
        bench.calendar({**DAYTIME, "hours": {d: [["09:00", "09:00:01"]] for d in DAILY[1:]} | {"tue": [["09:00", "18:00"]]}}, at_s=40)  # fmt: skip
    bench.command(600, "MigratePolicy", id="main", mode=mode)
    bench.settle(600)
    clock = bench.clocks(600)[0]
    assert (clock["elapsed_s"], clock["due_at"]) == (elapsed, bench.at(due))


BOTH = {
    "id": "main", "calendar": "daytime",
    "targets": {"first_response": {"target_s": 1800}, "resolution": {"target_s": 7200, "pause_when": "task.held"}},
}  # fmt: skip


def opened_at(opening: str) -> dict:
    return {**DAYTIME, "hours": {d: [[opening, "18:00"]] for d in DAILY}}


@pytest.mark.parametrize("mode", ["forward", "proportional", "recompute", "reset"])
def test_a_ledger_shows_the_hours_that_each_second_counted_on(mode):
    """Its counted seconds are the clock's, also of what had ended when its calendar was changed."""
    bench = bound(BOTH)
    bench.message(300, "agent", event="a1")
    bench.told(400, "held", reason="supplier")
    bench.told(500, "resumed")
    bench.calendar(opened_at("09:07"), at_s=550)
    bench.command(600, "MigratePolicy", id="main", mode=mode)
    bench.settle(600)
    bench.told(700, "held", reason="supplier")
    bench.calendar(opened_at("09:13"), at_s=750)
    bench.command(800, "MigratePolicy", id="main", mode=mode)
    bench.settle(800)
    bench.told(900, "resumed")
    bench.told(1500, "completed")
    for one in (bench, bench.reloaded()):
        found = accounted(one.core, "cnv_1", T0 + 2000 * S)
        assert {clock["state"] for clock in found} == {"met"}
        for clock in found:
            counted = [e["seconds"] for e in clock["ledger"] if e["kind"] == "counted"]
            assert sum(counted) == clock["elapsed_s"], clock
            lasted = {"first_response": 300, "resolution": 700 if mode == "reset" else 1500}
            assert sum(e["seconds"] for e in clock["ledger"]) == lasted[clock["metric"]]
        answered = next(clock for clock in found if clock["metric"] == "first_response")
        assert answered["elapsed_s"] == 300


def test_names_are_put_in_order_a_part_at_a_time():
    names = [f"cnv_{number * 7919 % 50_021:05x}" for number in range(50_021)] + ["a", "cnv_0", "z"]
    found = Names([*names], "cnv_00f")
    rounds = 1
    while not found.gather():
        rounds += 1
    assert rounds == -(-len(names) // GATHERED_PER_INPUT)
    assert list(iter(found.pop, None)) == sorted(name for name in names if name > "cnv_00f")


def test_open_clocks_of_packed_conversations_are_counted_without_opening_them():
    bench = bound(conversations=2_060)
    bench.core.changes()
    bench.put("sla_policy", {**RESOLVE, "targets": {"resolution": {"target_s": 1800}}}, at_s=10)
    bench.message(11, event="new", conversation_id="cnv_new", task_id=None)
    packed = bench.core.conversations.rest("cnv_1")
    assert packed is not None and packed.clocks == [("main", packed.books[0], 1)]
    assert bench.command(20, "MigratePolicy", id="main")["clocks"] == 2_060
    assert bench.core.conversations.rest("cnv_1") is not None, "still packed"


def test_what_is_due_at_once_is_told_in_parts_and_in_order():
    conversations = 2 * RUNG_PER_INPUT + 10
    bench = bound(conversations=conversations)
    bench.tick(3_600)  # looks ahead, at half and at four fifths
    bench.settle(3_600)
    bench.events.clear()
    bench.tick(3_700)
    assert [kind for kind, _ in bench.events] == ["breached"] * RUNG_PER_INPUT
    assert bench.settle(3_700) == 2
    told = [data["conversation_id"] for kind, data in bench.events if kind == "breached"]
    assert sorted(told) == sorted(f"cnv_{number}" for number in range(1, conversations + 1))
    assert {data["due_at"] for _, data in bench.events} == {bench.at(3_600)}


WARNED = {"id": "main", "calendar": "always", "targets": {"resolution": {"target_s": 3600, "warn_at": [0.9]}}}  # fmt: skip
DONE = {"agent_id": "ana", "disposition": "done", "handle_s": 1}


def told_of(bench: Bench, name: str) -> list[str]:
    return [kind for kind, data in bench.events if data["conversation_id"] == name]


def test_what_is_due_on_a_conversation_is_told_before_what_happens_to_it():
    """Also where so much is due that its turn has not come."""
    conversations = 2 * RUNG_PER_INPUT
    bench = bound(WARNED, conversations)
    bench.settle(3_000)
    bench.events.clear()
    for number in range(conversations, 0, -1):  # the last first: its turn has not come
        bench.told(
            3_700, "completed", conversation_id=f"cnv_{number}", task_id=f"tsk_{number}", **DONE
        )
    for number in range(1, conversations + 1):
        told = [kind for kind in told_of(bench, f"cnv_{number}") if kind != "predicted_breach"]
        assert told == ["warning", "breached", "missed"], number


def test_a_breach_that_is_seen_only_afterwards_is_told_after_its_warning():
    """The log was behind while the clock ran out and the task was done."""
    bench = bound(WARNED)
    bench.apply(1, Input("lifecycle", BEHIND))
    bench.events.clear()
    bench.told(3_700, "completed", conversation_id="cnv_1", task_id="tsk_1", **DONE)
    bench.apply(3_701, Input("lifecycle", LIVE))
    assert told_of(bench, "cnv_1") == ["warning", "breached", "missed"]
    assert {data.get("level") for kind, data in bench.events if kind == "warning"} == {0.9}


def test_a_migration_takes_in_edited_calendars_and_late_events_fall_before_it():
    policy = {"id": "main", "calendar": "daytime", "targets": {"resolution": {"target_s": 8 * 3600, "pause_when": "task.held"}}}  # fmt: skip
    bench = bound(policy)
    later = {**DAYTIME, "hours": {d: [["08:00", "12:00"]] for d in DAILY}}
    bench.calendar(later, at_s=30)
    assert bench.clocks(30)[0]["due_at"] == bench.at(8 * 3600)
    bench.command(600, "MigratePolicy", id="main")
    bench.settle(600)
    assert bench.clocks(600)[0]["due_at"] == bench.at(48 * 3600)
    bench.told(500, "held", now=610, reason="lunch")
    bench.told(560, "resumed", now=611)
    assert bench.clocks(700)[0]["due_at"] == bench.at(48 * 3600 + 60)


# Windows that go further, or come from other data.


def renew(bench: Wide, at_s: float, body: dict, now_s: float) -> dict:
    windows = msgspec.to_builtins(expand(body, T0 + round(now_s * S)))
    return bench.command(at_s, "RenewCalendar", id=body["id"], version=1, windows=windows, data="x")


def test_windows_are_extended_in_place():
    bench = bound({**RESOLVE, "calendar": "daytime"})
    due = bench.clocks(1)[0]["due_at"]
    before = bench.core.library.find("calendar", "daytime").windows.hi_us
    year = 366 * 86_400
    assert renew(bench, 10, DAYTIME, year) == {"id": "daytime", "version": 1, "moves": False}
    assert bench.core.library.find("calendar", "daytime").windows.hi_us > before
    assert bench.settle(11) == 0 and bench.clocks(11)[0]["due_at"] == due
    with pytest.raises(Refused):
        bench.command(12, "RenewCalendar", id="daytime", version=7, windows=msgspec.to_builtins(expand(DAYTIME, T0)))  # fmt: skip


def test_other_data_counts_open_clocks_again_and_leaves_what_has_ended():
    policy = {"id": "main", "calendar": "daytime", "targets": {"first_response": {"target_s": 1800}, "resolution": {"target_s": 8 * 3600}}}  # fmt: skip
    bench = bound(policy)
    bench.message(600, role="agent")
    bench.told(900, "held", reason="lunch")
    ended = bench.clocks(1000)[0]
    assert (ended["state"], ended["elapsed_s"]) == ("met", 600)
    shifted = {
        **DAYTIME,
        "hours": {d: [["09:05", "18:00"]] for d in DAILY},
    }  # as if the zone had moved
    assert renew(bench, 1000, shifted, 0)["moves"]
    bench.settle(1000)
    first, resolution = bench.clocks(1000)
    assert first == ended
    assert resolution["elapsed_s"] == 1000 - 300
    assert resolution["due_at"] == bench.at(300 + 8 * 3600)
    moved = next(data for kind, data in bench.events if kind == "moved")
    assert moved["because"] == "calendar_data"
    assert bench.reloaded().clocks(1000) == bench.clocks(1000)
    bench.message(990, role="customer", received=1001)
    assert bench.clocks(1001)[1]["elapsed_s"] == 1001 - 300

    assert not any(one.former for one in bench.core.library.versions.values())


def test_a_take_over_before_new_windows_have_reached_all_leaves_what_has_ended():
    policy = {"id": "main", "calendar": "daytime", "targets": {"first_response": {"target_s": 1800}}}  # fmt: skip
    bench = bound(policy)
    bench.message(600, role="agent")
    ended = bench.clocks(700)
    shifted = {**DAYTIME, "hours": {d: [["09:05", "18:00"]] for d in DAILY}}
    assert renew(bench, 1000, shifted, 0)["moves"]
    other = bench.reloaded()
    assert other.clocks(1000) == ended
    other.settle(1000)
    assert other.clocks(1000) == ended == other.reloaded().clocks(1000)


HALF_HOUR = {"id": "main", "calendar": "daytime", "targets": {"first_response": {"target_s": 1800}}}


def opening(at: str) -> dict:
    return {**DAYTIME, "hours": {day: [[at, "18:00"]] for day in DAILY}}


def test_each_renewal_reaches_a_conversation_in_its_turn_and_a_new_one_has_the_windows_of_now():
    bench = bound(HALF_HOUR)
    bench.apply(10, Input("lifecycle", BEHIND))  # nothing moves meanwhile
    assert renew(bench, 10, opening("09:05"), 0)["moves"]
    assert renew(bench, 10, opening("09:10"), 0)["moves"]
    bench.message(10, event="new", conversation_id="cnv_2", task_id=None)
    bench.events.clear()
    for each in (bench, bench.reloaded()):
        assert each.clocks(10)[0]["due_at"] == bench.at(1800)
        assert each.clocks(10, "cnv_2")[0]["due_at"] == bench.at(600 + 1800)
        each.apply(11, Input("lifecycle", LIVE))
        each.tick(11)
        assert each.clocks(11)[0]["due_at"] == bench.at(300 + 1800)
        each.settle(11)
        assert each.clocks(11)[0]["due_at"] == bench.at(600 + 1800)
        assert not any(one.former for one in each.core.library.versions.values())
    moved = [data["conversation_id"] for kind, data in bench.events if kind == "moved"]
    assert moved == ["cnv_1", "cnv_1"]


def test_a_renewal_that_an_earlier_release_began_goes_on():
    bench = bound(HALF_HOUR, 3)
    bench.message(600, role="agent")
    ended = bench.clocks(700)
    assert renew(bench, 1000, opening("09:05"), 0)["moves"]
    old = SlaFactory().create("acme", 1)
    old.load([as_stored_before(one) for one in bench.core.dump()])
    other = Wide(old)
    other.number, other.routing_seq = bench.number, bench.routing_seq
    assert (other.clocks(1000), other.clocks(1000, "cnv_2")[0]["due_at"]) == (ended, bench.at(1800))
    other.settle(1000)
    assert other.clocks(1000) == ended
    assert other.clocks(1000, "cnv_2")[0]["due_at"] == bench.at(300 + 1800)
    assert not any(one.former for one in old.library.versions.values())
    assert other.reloaded().core.dump() == old.dump()


def as_stored_before(one: Entity) -> Entity:
    """With the former windows of a calendar once, and a move that names books."""
    stored = msgspec.msgpack.decode(one.body or b"")
    if one.kind == "version" and stored["former"]:
        ((_, stored["former"]),) = stored["former"]
    if one.kind == "meta":
        del stored["edition"]
        for move in stored["moves"]:
            del move["version"], move["edition"], move["gathering"]
            move["pages"] = [3]
    if one.kind == "conversation":
        del stored["edition"]
        stored["rest"][-1] = {policy: count for policy, _, count in stored["rest"][-1]}
    return Entity(one.kind, one.key, msgspec.msgpack.encode(stored))


def test_a_message_that_joins_its_task_after_a_migration_leaves_the_books_alone():
    bench = bound()
    bench.told(60, "completed", conversation_id="cnv_1", task_id="tsk_1", **DONE)
    bench.message(100, event="again", task_id=None)
    for target_s in (1800, 900):
        changed = {**RESOLVE, "targets": {"resolution": {"target_s": target_s}}}
        bench.put("sla_policy", changed, at_s=110)
        bench.command(120, "MigratePolicy", id="main")
        bench.settle(120)
    bench.told(130, "reopened", event_id="again", conversation_id="cnv_1", task_id="tsk_1")
    assert bench.reloaded().core.library.pins == bench.core.library.pins
    assert bench.reloaded().clocks(140) == bench.clocks(140)


def test_a_breach_on_a_calendar_that_its_clock_has_left_outlives_new_windows():
    bench = bound({**RESOLVE, "calendar": "daytime", "targets": {"resolution": {"target_s": 1800}}})
    bench.settle(2000)
    bench.put("sla_policy", {**RESOLVE, "targets": {"resolution": {"target_s": 7200}}}, at_s=2000)
    bench.command(2000, "MigratePolicy", id="main")
    bench.settle(2000)
    (clock,) = bench.clocks(2010)
    assert clock["breached_at"] == bench.at(1800)
    assert renew(bench, 2010, opening("09:05"), 0)["moves"]
    bench.settle(2010)
    assert bench.clocks(2010) == [clock] == bench.reloaded().clocks(2010)


@pytest.mark.parametrize("mode", ["recompute", "forward"])
def test_a_clock_may_leave_a_calendar_that_has_been_deleted(mode):
    paused = {"target_s": 3600, "pause_when": "task.held"}
    bench = bound({**RESOLVE, "calendar": "daytime", "targets": {"resolution": paused, "customer_wait": paused}})  # fmt: skip
    bench.told(100, "held", reason="lunch")
    bench.put("sla_policy", {**RESOLVE, "targets": {"resolution": {"target_s": 7200}}}, at_s=110)
    bench.command(111, "DeleteResource", resource="calendar", id="daytime")
    bench.command(120, "MigratePolicy", id="main", mode=mode)
    bench.settle(120)
    wait, resolution = bench.clocks(130)
    assert (wait["state"], resolution["state"]) == ("cancelled", "running")
    assert bench.reloaded().clocks(130) == bench.clocks(130)
    left = explanation(bench.core, "cnv_1", wait["id"], T0 + 130 * S)
    assert left is not None and left["ledger"][0]["seconds"] == 100


def test_new_windows_pass_over_what_is_put_away_when_its_turn_comes():
    conversations = 2 * RUNG_PER_INPUT + 10
    bench = bound({**RESOLVE, "calendar": "daytime"}, conversations)
    for number in range(1, conversations + 1):
        names = {"conversation_id": f"cnv_{number}", "task_id": f"tsk_{number}"}
        bench.told(60, "completed", **names, **DONE)
    late_s = 9 * 86_400
    shifted = {**DAYTIME, "hours": {day: [["09:05", "18:00"]] for day in DAILY}}
    assert renew(bench, late_s, shifted, 0)["moves"]
    bench.settle(late_s)
    assert len(bench.core.conversations) == 0 and not bench.core.library.pins


def test_what_is_written_again_as_it_is_stays_its_version():
    bench = bound()
    page, seq = bench.core.library.number, bench.core.last_seq
    for kind, body in (("calendar", DAYTIME), ("sla_policy", RESOLVE)):
        turned = dict(reversed(body.items()))
        windows = {"windows": msgspec.to_builtins(expand(body, T0))} if kind == "calendar" else {}
        reply = bench.command(
            5, "PutResource", resource=kind, id=body["id"], body=turned, **windows
        )
        assert (reply["version"], reply["created"], reply["body"]) == (1, False, body)
        with pytest.raises(Refused):
            bench.command(5, "PutResource", resource=kind, id=body["id"], body=body, if_version=2, **windows)  # fmt: skip
    assert (bench.core.library.number, bench.core.last_seq) == (page, seq)
    other = {**RESOLVE, "on_change": "forward"}
    assert bench.command(6, "PutResource", resource="sla_policy", id="main", body=other)["version"] == 2  # fmt: skip


# Notices: quiet hours and ladders.


def test_warnings_wait_for_the_hours_of_notices_or_are_left_out():
    for warnings, told in (("hold", [24 * 3600 - 3600]), ("skip", []), ("send", [14 * 3600])):
        policy = {
            "id": "main", "calendar": "always", "notices": {"calendar": "daytime", "warnings": warnings},
            "targets": {"resolution": {"target_s": 28 * 3600, "warn_at": [0.5]}},
        }  # fmt: skip
        bench = bound(policy)
        while bench.core.wake_at_us() <= T0 + 27 * 3600 * S:
            bench.tick((bench.core.wake_at_us() - T0) / S)
        assert [data["at"] for kind, data in bench.events if kind == "warning"] == [bench.at(s) for s in told]  # fmt: skip


def test_a_ladder_tells_each_level_once_also_past_the_deadline():
    ladder = [
        {"name": "lead", "used": 1.5, "notify": ["supervisors"], "out_of_hours": "send"},
        {"name": "agent", "used": 0.8, "notify": ["assignee"]},
    ]
    bench = bound({**RESOLVE, "targets": {"resolution": {"target_s": 3600, "ladder": ladder}}})
    for second in (2879, 2880, 3601, 5399, 5400, 9000):
        bench.settle(second)
    told = [(data["name"], data["notify"], data["at"]) for kind, data in bench.events if kind == "notice"]  # fmt: skip
    assert told == [("agent", ["assignee"], bench.at(2880)), ("lead", ["supervisors"], bench.at(5400))]  # fmt: skip


def test_a_pause_that_ends_by_itself_is_told_when_it_does():
    target = {"target_s": 3600, "pause_when": "task.held", "pause_max_s": 600}
    bench = bound({**RESOLVE, "targets": {"resolution": target}})
    bench.told(100, "held", reason="lunch")
    assert bench.core.wake_at_us() == T0 + 700 * S
    bench.settle(700)
    assert bench.kinds()[-2:] == ["paused resolution", "resumed resolution"]
    assert bench.clocks(800)[0]["due_at"] == bench.at(4200)
    bench.told(650, "resumed", now=800)  # heard late: the pause was shorter than its limit
    assert bench.clocks(800)[0]["due_at"] == bench.at(4150)
    assert bench.reloaded().clocks(900) == bench.clocks(900)


# Conversations that we began, and what is foreseen.


def test_no_first_response_is_due_where_we_wrote_first():
    bench = Bench().configured()
    bench.message(0, role="agent")
    bench.message(60, event="e1")
    assert [kind for kind in bench.kinds() if "response" in kind] == ["started next_response"]
    again = SlaFactory().create("acme", 1)
    again.load(bench.core.dump())
    assert again.dump() == bench.core.dump()


def test_an_answer_that_overtakes_its_question_still_answers_it():
    bench = Bench().configured()
    bench.message(5, role="agent", received=6)
    bench.message(0, event="e1", received=7)
    clocks = {c["metric"]: c for c in conversation_clocks(bench.core, "cnv_1", T0 + 10 * S)}
    assert clocks["first_response"]["state"] == "met"
    assert clocks["first_response"]["elapsed_s"] == 5


def learned(bench: Wide) -> None:
    """Six tasks, one every 100 s, each answered 50 s after its assignment."""
    for number in range(6):
        names = {"conversation_id": f"old_{number}", "task_id": f"told_{number}"}
        at_s = 100 * number
        bench.message(at_s, event=f"old{number}", conversation_id=names["conversation_id"])
        bench.created(at_s + 1, f"old{number}", **names)
        bench.told(at_s + 2, "assigned", agent_id="ana", offer_id="o", queue="billing", waited_s=1, **names)  # fmt: skip
        bench.message(at_s + 52, role="agent", event=f"re{number}", conversation_id=names["conversation_id"])  # fmt: skip


def test_a_breach_is_foretold_from_the_place_in_the_queue():
    policy = {**POLICY, "targets": {"first_response": {"target_s": 400}}}
    bench = Wide()
    bench.calendar(ALWAYS)
    bench.put("sla_policy", policy)
    learned(bench)
    for number in (1, 2, 3):
        names = {"conversation_id": f"cnv_{number}", "task_id": f"tsk_{number}"}
        bench.message(1000 + number, event=f"e{number}", conversation_id=names["conversation_id"])
        bench.created(1000 + number, f"e{number}", **names)
    bench.settle(1202)
    bench.settle(1203)
    foretold = [data for kind, data in bench.events if kind == "predicted_breach"]
    assert [data["conversation_id"] for data in foretold] == ["cnv_2", "cnv_3"]
    # Half is used: second in the queue, 2 x 100 s until it is given out, 50 s until the answer.
    assert foretold[0]["expected_wait_s"] == 250
    bench.told(1210, "assigned", agent_id="ana", offer_id="o", queue="billing", waited_s=1, conversation_id="cnv_2", task_id="tsk_2")  # fmt: skip
    bench.message(1220, role="agent", event="quick", conversation_id="cnv_2")
    bench.settle(1500)
    met = next(data for kind, data in bench.events if kind == "met" and data["conversation_id"] == "cnv_2")  # fmt: skip
    assert met["predicted"] is True
    missed = {data["conversation_id"]: data["predicted"] for kind, data in bench.events if kind == "breached"}  # fmt: skip
    assert missed == {"cnv_1": True, "cnv_3": True}, "the first was foretold at the second look"
    assert parse_instant(foretold[1]["expected_at"]) > parse_instant(foretold[1]["due_at"])


def test_the_routers_estimate_foretells_at_once():
    bench = Wide()
    bench.calendar(ALWAYS)
    bench.put("sla_policy", {**POLICY, "targets": {"first_response": {"target_s": 220}}})
    learned(bench)
    bench.message(1000, event="e1")
    bench.created(1000, "e1")
    bench.told(1001, "estimate", position=3, wait_s=100)
    assert "predicted_breach first_response" not in bench.kinds()
    bench.told(1002, "estimate", position=9, wait_s=400)
    assert bench.kinds()[-1] == "predicted_breach first_response"
    bench.told(1003, "estimate", position=9, wait_s=400)
    assert bench.kinds().count("predicted_breach first_response") == 1


def test_the_ledger_of_a_clock_is_bounded_and_loses_no_second():
    target = {"target_s": 50_000, "pause_when": "task.held"}
    bench = bound({**RESOLVE, "targets": {"resolution": target}})
    for number in range(1_050):
        bench.told(20 * number + 10, "held", reason="lunch")
        bench.told(20 * number + 20, "resumed")
    clock = bench.clocks(21_000)[0]
    assert (clock["elapsed_s"], clock["due_at"]) == (10_500, bench.at(21_000 + 39_500))
    (live,) = bench.core.lives("cnv_1")
    assert len(live.clocks[0].spans) <= 2_001
    shorter = {**target, "target_s": 30_000}
    bench.put("sla_policy", {**RESOLVE, "targets": {"resolution": shorter}}, at_s=21_000)
    bench.command(21_000, "MigratePolicy", id="main")
    bench.settle(21_000)
    assert bench.clocks(21_000)[0]["due_at"] == bench.at(21_000 + 19_500)
    assert bench.reloaded().clocks(21_000) == bench.clocks(21_000)


def test_what_came_too_late_counts_when_it_came_and_stays_on_the_record():
    bench = bound({**RESOLVE, "targets": {"first_response": {"target_s": 60}}})
    bench.message(30, role="agent", received=900)
    clock = bench.clocks(901)[0]
    assert (clock["state"], clock["satisfied_at"]) == ("missed", bench.at(900))
    found = explanation(bench.core, "cnv_1", clock["id"], T0 + 901 * S)
    assert found is not None
    assert found["late"] == [{"at": bench.at(900), "type": "agent_message", "late_s": 870}]
