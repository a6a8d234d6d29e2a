"""What the SLA service's shell does beside its calls: windows renewed in time, dry runs."""

import asyncio
from typing import Any

import pytest

from services.sla.dry_run import DryRuns, Proposal
from services.sla.renewal import Renewal
from shared.contracts.core import Input
from shared.runtime.port import CommandFailed, Reply
from tests.unit.test_sla_core import T0, S
from tests.unit.test_sla_moves import DAYTIME, RESOLVE, Wide, bound

YEAR_US = 366 * 86_400 * S


class OneCore:
    """A runtime of one workspace, without a log."""

    def __init__(self, bench: Wide, at_s: float) -> None:
        self.bench, self.at_s = bench, at_s
        self.submitted: list[str] = []

    async def query(self, workspace: str, fn: Any) -> Any:
        return fn(self.bench.core)

    async def submit(self, workspace: str, what: Input) -> Reply:
        self.submitted.append(what.name)
        return Reply(self.bench.apply(self.at_s, what).reply)


async def test_windows_are_renewed_before_they_end_and_when_the_data_changes():
    bench = bound({**RESOLVE, "calendar": "daytime"})
    runtime = OneCore(bench, 10)
    renewal = Renewal(runtime, lambda: ["acme"], lambda: T0, "tzdata 2026a")
    assert await renewal.renew("acme") == 2, "nobody knows which data they came from"
    assert await renewal.renew("acme") == 0
    later = Renewal(runtime, lambda: ["acme"], lambda: T0 + YEAR_US, "tzdata 2026a")
    assert await later.renew("acme") == 2 and await later.renew("acme") == 0
    windows = bench.core.library.find("calendar", "daytime").windows
    assert windows.hi_us >= T0 + 12 * YEAR_US and windows.lo_us <= T0 - YEAR_US
    newer = Renewal(runtime, lambda: ["acme"], lambda: T0 + YEAR_US, "tzdata 2026b")
    assert await newer.renew("acme") == 2
    assert set(runtime.submitted) == {"RenewCalendar"}
    assert bench.clocks(11)[0]["due_at"] == bench.at(3600), "the same hours move nothing"


async def test_a_workspace_whose_core_fails_does_not_end_the_renewal_of_the_others():
    class Failing(OneCore):
        async def submit(self, workspace: str, what: Input) -> Reply:
            if workspace == "broken":
                raise CommandFailed("a defect")
            done.set()
            return await super().submit(workspace, what)

    done = asyncio.Event()
    runtime = Failing(bound({**RESOLVE, "calendar": "daytime"}), 10)
    renewal = Renewal(runtime, lambda: ["broken", "acme"], lambda: T0, "tzdata 2026a", first_s=0)
    running = asyncio.create_task(renewal.run())
    await asyncio.wait_for(done.wait(), 10)
    assert not running.done()
    running.cancel()


async def tried(bench: Wide, what: Proposal) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    runs = DryRuns(OneCore(bench, 600), lambda core: core.now_us)
    steps = [step async for step in runs.run("acme", what)]
    return steps[:-1], steps[-1]


@pytest.mark.parametrize("hours", ["12:00", "09:20"])
async def test_a_dry_run_says_what_a_migration_then_does(hours: str) -> None:
    policy = {
        "id": "main", "calendar": "daytime",
        "targets": {"resolution": {"target_s": 8 * 3600}, "first_response": {"target_s": 900}},
    }  # fmt: skip
    bench = bound(policy, conversations=3)
    bench.tick(600)
    before = bench.core.dump()
    edited = {**policy, "targets": {"resolution": {"target_s": 1800}, "first_response": {"target_s": 300}}}  # fmt: skip
    shorter = {**DAYTIME, "hours": {day: [["08:00", hours]] for day in DAYTIME["hours"]}}
    progress, report = await tried(bench, Proposal([edited], [shorter], "recompute", ["main"]))
    assert bench.core.dump() == before, "a dry run changes nothing"
    assert progress == [{"done": 3, "of": 3}]
    assert (report["clocks"], report["moves"], report["would_cancel"]) == (6, 6, 0)
    bench.calendar(shorter, at_s=600)
    bench.put("sla_policy", edited, at_s=600)
    bench.command(600, "MigratePolicy", id="main", mode="recompute")
    bench.settle(600)
    clocks = {c["id"]: c for n in (1, 2, 3) for c in bench.clocks(600, f"cnv_{n}")}
    assert {one["clock_id"]: one["new_due_at"] for one in report["examples"]} == {
        name: clock["due_at"] for name, clock in clocks.items()
    }
    assert report["would_breach"] == sum(c["breached_at"] is not None for c in clocks.values()) == 3


async def test_a_dry_run_counts_what_would_be_cancelled_and_started():
    bench = bound(RESOLVE, conversations=2)
    bench.tick(10)
    other = {**RESOLVE, "targets": {"agent_work": {"target_s": 60}}}
    _, report = await tried(bench, Proposal([other], [], None, ["main"]))
    assert (report["would_cancel"], report["would_start"], report["moves"]) == (2, 2, 0)
    _, none = await tried(bench, Proposal([other], [], None, ["elsewhere"]))
    assert (none["clocks"], none["by_s"]["max"], none["examples"]) == (0, None, [])
