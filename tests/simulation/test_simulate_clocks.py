"""SLA clocks beside the simulated router: levels that wait for them fire when they would, queues go by
their deadlines, and who has no use for them pays nothing. Days that can be worked out by hand."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from rich.console import Console

from services.cli.simulate import simulate
from services.cli.simulated import tell
from tests.simulation.centres import calls, means, staff

USED = {"sla": {"metric": "first_response", "used": 0.5}}
BREACHED = {"sla": {"metric": "first_response", "breached": True}}
HELP = [{"add_queue": "help"}]
TARGETS = {"first_response": {"target_s": 20, "warn_at": [0.5]}}


def workspace(*levels, targets=TARGETS, queue=(), **more):
    return {
        "channels": {"phone": {"cost": 100}},
        "queues": [{"id": "main", **dict(queue)}, {"id": "help"}],
        "calendars": [{"id": "always", "timezone": "UTC", "always_open": True}],
        "escalations": [{"id": "ladder", "levels": list(levels)}] if levels else [],
        "policies": [{"id": "default", "rules": [
            {"steps": [{"queue": "main"}], **({"escalation": "ladder"} if levels else {})}]}],
        "sla_policies": [{"id": "p", "calendar": "always", "targets": targets}],
        **more,
    }  # fmt: skip


def crew(count, group, *queues):
    body = staff(count, group)
    body["agent"] = {**body["agent"], "queues": list(queues)}
    return body


def day(space, tmp_path: Path, workers=1, **more):
    """What `omniroute simulate` makes of it: two come at 0 and 5, a third of the others at 10."""
    given = {
        "version": "omniroute/scenario/v1",
        "workspace": space,
        "replications": 1,
        "horizon_s": 12,
        "staff": [crew(1, "first", "main"), crew(1, "second", "help")],
        "contacts": [calls({"every_s": 5}, {"fixed": 100})],
        **more,
    }
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(given))
    return simulate(file, workers, Console(quiet=True))


def test_a_warning_opens_a_second_queue_when_half_the_target_is_used(tmp_path):
    """At 0 the first agent is taken. Of 5: at 15 the second queue opens, and its agent has it for a
    hundred seconds. Of 10: waits until the first is free at 100."""
    done = day(workspace({"name": "w", "when": USED, "do": HELP}), tmp_path)
    figures = means(done.report["total"])
    assert (figures["served"], figures["wait_s"]) == (3, pytest.approx((0 + 10 + 90) / 3))
    told = {name: one["mean"] for name, one in done.report["clocks"]["first_response"].items()}
    assert told == {"started": 3, "met": 2, "breached": 1, "warned": 2}
    assert done.doubts == []


def test_a_breach_comes_at_its_deadline_and_an_answer_in_time_stops_it(tmp_path):
    done = day(workspace({"name": "b", "when": BREACHED, "do": HELP}), tmp_path)
    assert means(done.report["total"])["wait_s"] == pytest.approx((0 + 20 + 90) / 3)


def test_a_clock_runs_in_its_calendars_hours(tmp_path):
    """Closed until 60 s after the start: the target of 20 s is used up at 80, not at 25."""
    hours = {"mon": [["00:01", "12:00"]]}
    space = workspace({"name": "b", "when": BREACHED, "do": HELP},
                      calendars=[{"id": "always", "timezone": "UTC", "hours": hours}])  # fmt: skip
    done = day(space, tmp_path)
    assert means(done.report["total"])["wait_s"] == pytest.approx((0 + 75 + 90) / 3)


def test_resolution_counts_until_the_work_is_done(tmp_path):
    done = day(
        workspace({"name": "b", "when": BREACHED, "do": HELP},
                  targets={**TARGETS, "resolution": {"target_s": 150}}), tmp_path
    )  # fmt: skip
    found = done.report["clocks"]["resolution"]
    assert (found["met"]["mean"], found["breached"]["mean"]) == (2, 1)


def test_a_queue_by_deadline_takes_who_is_due_first(tmp_path):
    """Gold comes last and is due first."""
    policies = [
        {"id": "gold", "when": 'task.attributes.type == "gold"', "calendar": "always",
         "targets": {"first_response": {"target_s": 30}}},
        {"id": "p", "calendar": "always", "targets": {"first_response": {"target_s": 600}}},
    ]  # fmt: skip
    space = workspace(queue={"order": "deadline"}, sla_policies=policies)
    contacts = [
        calls({"every_s": 5}, {"fixed": 20}, name="plain"),
        calls({"every_s": [0, 100]}, {"fixed": 20}, name="gold"),
    ]
    done = day(space, tmp_path, contacts=contacts, periods_s=[11, 12])
    waits = {name: means(one)["wait_s"] for name, one in done.report["classes"].items()}
    assert waits["gold"] == 9, "from 11 to 20"
    assert waits["plain"] == pytest.approx((0 + 35 + 50) / 3)


def test_who_has_no_use_for_clocks_pays_nothing_and_finds_the_same(tmp_path):
    level = {"name": "w", "when": {"waiting_s": 10}, "do": HELP}
    without = {k: v for k, v in workspace(level).items() if k != "sla_policies"}
    one, other = day(workspace(level), tmp_path), day(without, tmp_path)
    assert one.sums[0].inputs == other.sums[0].inputs
    assert "clocks" not in one.report
    assert one.report["classes"] == other.report["classes"]


def test_a_level_that_waits_for_what_nobody_measures_is_doubted(tmp_path):
    waits = {"sla": {"metric": "customer_wait", "breached": True}}
    done = day(workspace({"name": "n", "when": waits, "do": HELP}), tmp_path)
    assert [one.pointer for one in done.doubts] == ["/workspace/escalations/0/levels/0"]
    assert "customer_wait" in done.doubts[0].message


BUSY = [calls(120, 60, patience={"exponential": {"mean_s": 90}},
              retry={"probability": 0.5, "after": {"fixed": 60}})]  # fmt: skip


def test_the_same_figures_with_any_number_of_processes_and_each_time(tmp_path):
    space = workspace({"name": "w", "when": USED, "do": HELP},
                      {"name": "b", "when": BREACHED, "do": [{"raise_priority": 3}]})  # fmt: skip
    given = {"replications": 4, "horizon_s": 1800, "contacts": BUSY}
    found = [day(space, tmp_path, workers, **given) for workers in (1, 2, 1)]
    shown = []
    for one in found:
        report = {name: part for name, part in one.report.items() if name != "run"}
        shown.append(msgspec.json.encode(report))
    assert shown[0] == shown[1] == shown[2]
    clocks = found[0].report["clocks"]["first_response"]
    assert clocks["warned"]["mean"] > 1 and clocks["breached"]["mean"] > 0
    assert clocks["met"]["half_width"] is not None


def test_the_tables_show_the_clocks(tmp_path):
    done = day(workspace({"name": "w", "when": USED, "do": HELP}), tmp_path)
    with (tmp_path / "told.txt").open("w") as file:
        tell(done, Console(file=file, width=120))
    text = (tmp_path / "told.txt").read_text()
    assert "first_response" in text and "warned" in text
    assert json.loads(msgspec.json.encode(done.report))["clocks"]
