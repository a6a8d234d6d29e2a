"""Scheduled work: nobody waits for it before it begins to wait."""

import pytest

from services.sla.domain.agenda import RETENTION_US
from services.sla.domain.core import SlaFactory
from services.sla.domain.views import conversation_clocks
from shared.contracts.instants import format_instant
from tests.unit.test_sla_core import T0, Bench, S

POLICY = {
    "id": "main",
    "calendar": "always",
    "targets": {
        "first_response": {"target_s": 60},
        "time_to_assign": {"target_s": 60},
        "resolution": {"target_s": 3600},
        "periodic_update": {"target_s": 600},
    },
}
TOMORROW = 86_400.0


def at(second: float) -> str:
    return format_instant(T0 + round(second * S))


def planned(not_before_s: float = TOMORROW) -> Bench:
    bench = Bench().configured(POLICY)
    bench.created(
        0,
        None,
        state="scheduled",
        waiting_since=at(0),
        not_before=at(not_before_s),
        channel="phone",
    )
    bench.tick(7_200)
    return bench


def measured(outcome) -> dict[str, tuple[str, float]]:
    rows = [row.values for row in outcome.rows if row.table == "measure"]
    return {
        row["metric"]: (row["outcome"], row["value_us"] / S) for row in rows if row.get("metric")
    }


def shown(bench: Bench, at_s: float) -> dict[str, tuple[str, str]]:
    clocks = conversation_clocks(bench.core, "cnv_1", T0 + round(at_s * S))
    return {clock["metric"]: (clock["state"], clock["started_at"]) for clock in clocks}


def test_a_call_back_for_tomorrow_is_not_late_today():
    bench = planned()
    bench.message(7_300, role="agent")  # «we call you tomorrow»
    bench.tick(9_000)
    assert bench.kinds() == []
    bench.told(TOMORROW, "queued", queues=["billing"])
    running = {"time_to_assign": ("running", at(TOMORROW)), "resolution": ("running", at(TOMORROW))}
    assert shown(bench, TOMORROW) == running
    outcome = bench.told(TOMORROW + 10, "assigned", agent_id="ana")
    assert measured(outcome) == {"time_to_assign": ("met", 10), "speed_of_answer": ("met", 10)}


def test_a_supervisor_may_assign_it_before_its_time():
    bench = planned()
    outcome = bench.told(8_000, "assigned", agent_id="ana")
    assert measured(outcome)["speed_of_answer"] == ("met", 0)
    assert shown(bench, 8_000)["resolution"] == ("running", at(8_000))


@pytest.mark.parametrize("router_first", [False, True])
def test_the_customer_may_write_before_its_time(router_first: bool):
    bench = planned()

    def routed() -> None:
        bench.told(8_001, "message", now=8_002, event_id="evt_1", message_id="m1")
        bench.told(8_001, "queued", now=8_002, queues=["billing"])

    if router_first:
        routed()
    bench.message(8_000, event="evt_1", received=8_003)
    if not router_first:
        routed()
    assert shown(bench, 8_010) == {
        "first_response": ("running", at(8_000)),
        "time_to_assign": ("running", at(8_001)),
        "resolution": ("running", at(8_001)),
    }
    assert len(bench.core.lives("cnv_1")) == 1


def test_a_message_after_its_cancellation_is_work_of_its_own():
    bench = planned()
    bench.told(8_000, "cancelled", reason="duplicate")
    bench.message(9_000, event="evt_1")
    assert set(shown(bench, 9_000)) == {"first_response", "time_to_assign", "resolution"}
    bench.told(9_001, "created", event_id="evt_1", channel="chat", queue="q", task_id="tsk_2")
    assert {clock["task_id"] for clock in bench.rows.values()} == {"tsk_2"}


def test_it_is_remembered_for_as_long_as_it_takes_and_takes_the_policies_of_then():
    later_s = 3 * RETENTION_US / S
    bench = planned(later_s)
    bench.message(7_300, role="agent")
    bench.put("sla_policy", {**POLICY, "targets": {"time_to_assign": {"target_s": 300}}}, 8_000)
    bench.tick(2 * RETENTION_US / S)
    other = SlaFactory().create("acme", 1)
    other.load(bench.core.dump())
    bench.core = other
    bench.told(later_s, "queued", queues=["billing"])
    assert shown(bench, later_s) == {"time_to_assign": ("running", at(later_s))}
    assert [clock["target_s"] for clock in bench.rows.values()] == [300]
