"""Scenarios that are wrong: refused with the place, the nearest name and what would be right."""

import copy
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.simulate import arrivals_in, read, read_file
from services.router.simulate import coverage
from services.router.simulate.centre import hired
from shared.contracts.problems import Refused
from tests.simulation.centres import calls, scenario_of, staff

EXAMPLE = Path(__file__).resolve().parents[3] / "shared" / "scenario.yaml"

RIGHT = scenario_of(
    queue={"limit": {"waiting": 5}},
    horizon_s=600,
    periods_s=[300, 600],
    staff=[staff(2, "first", {"en": 5}), staff([1, 2], "second", {"en": 3})],
    contacts=[
        calls(
            [30, 60], 60, patience={"exponential": {"mean_s": 60}},
            retry={"probability": 0.5, "after": {"fixed": 30}},
        )
    ],
    report={"within_s": [20]},
)  # fmt: skip


def faults_of(scenario, folder="."):
    """(pointer, what would be right) of each fault."""
    with pytest.raises(Refused) as refused:
        checked = read(scenario, Path(folder))
        coverage.look(checked, hired(checked))
    assert refused.value.kind == "validation"
    return [(fault.pointer, fault.expected) for fault in refused.value.errors]


def changed(pointer, value):
    """The right scenario with one value changed or (...) left out."""
    scenario = copy.deepcopy(RIGHT)
    *way, last = pointer.strip("/").split("/")
    place = scenario
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return scenario


@pytest.mark.parametrize(
    ("at", "value", "pointer", "expected"),
    [
        ("/replication", 3, "/replication", "replications"),
        ("/version", "omniroute/scenario/v2", "/version", "'omniroute/scenario/v1'"),
        ("/horizon_s", ..., "/horizon_s", "a horizon_s"),
        ("/workspace", ..., "/workspace", "a workspace"),
        ("/warm_up_s", 600, "/warm_up_s", "< horizon_s, 600"),
        ("/periods_s", [300, 200], "/periods_s/1", "> 300"),
        ("/starts_at", "tomorrow", "/starts_at", "RFC 3339 with an offset"),
        ("/staff/0/cuont", 3, "/staff/0/cuont", "count"),
        ("/staff/0/count", 1.5, "/staff/0/count", "one, or one per period"),
        ("/staff/1/count", [1, 2, 3], "/staff/1/count", "a number, or 2: one per period"),
        ("/staff/1/group", "first", "/staff/1/group", "each once"),
        ("/staff/0/agent/skils", {"en": 1}, "/staff/0/agent/skils", "skills"),
        ("/staff/0/agent/skills", {"en": 11}, "/staff/0/agent/skills/en", "<= 10"),
        ("/staff/0/agent/id", "ana", "/staff/0/agent/id", "no id"),
        ("/staff/0/agent/queues", ["mian"], "/staff/0/agent/queues/0", "main"),
        ("/contacts/0/service", {"exponental": {"mean_s": 3}}, "/contacts/0/service/exponental", "exponential"),
        ("/contacts/0/service/exponential/mean_s", [1], "/contacts/0/service/exponential/mean_s", "a number, or 2: one per period"),
        ("/contacts/0/service", {"uniform": {"min_s": 9, "max_s": 2}}, "/contacts/0/service/uniform/max_s", ">= 9"),
        ("/contacts/0/service", {"by_group": {"first": {"fixed": 1}, "secnd": {"fixed": 1}}}, "/contacts/0/service/by_group/secnd", "second"),
        ("/contacts/0/service", {"by_group": {"first": {"fixed": 1}}}, "/contacts/0/service/by_group/second", "a distribution"),
        ("/contacts/0/arrivals", {"poisson_per_hour": 3}, "/contacts/0/arrivals/poisson_per_hour", "poisson_per_h"),
        ("/contacts/0/arrivals", {"every_s": 0}, "/contacts/0/arrivals/every_s", "> 0"),
        ("/contacts/0/arrivals", {"file": "none.ndjson"}, "/contacts/0/arrivals/file", 'lines such as {"at_s": 12.5}'),
        ("/contacts/0/task/customer", "kim", "/contacts/0/task/customer", "one of /workspace/customers"),
        ("/contacts/0/task/channel", "fone", "/contacts/0/task/channel", "'phone', 'email', 'chat' or 'social'"),
        ("/report/within_s", [20, 20], "/report/within_s/1", "each once"),
        ("/workspace/queues/0/selct", "random", "/workspace/queues/0/selct", "select"),
        ("/workspace/queue", [], "/workspace/queue", "queues"),
        ("/workspace/policies/0/rules/0/steps/0/queue", "mian", "/workspace/policies/0/rules/0/steps/0/queue", "main"),
        ("/workspace", {"file": "none.yaml"}, "/workspace/file", "a path from the scenario's folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(at, value, pointer, expected):
    assert (pointer, expected) in faults_of(changed(at, value))


def test_two_distributions_or_none_are_refused():
    for service in ({"fixed": 1, "exponential": {"mean_s": 1}}, {}):
        assert faults_of(changed("/contacts/0/service", service)) == [("/contacts/0/service", None)]


def test_all_faults_are_told_together():
    scenario = changed("/warm_up_s", 700)
    scenario["staff"][1]["count"] = [1]
    scenario["contacts"][0]["retry"]["probability"] = [0.1, 0.2, 0.3]
    assert len(faults_of(scenario)) == 3


def test_who_can_never_be_served_is_doubted():
    rule = {"when": 'task.attributes.type == "other"', "steps": [{"queue": "main"}]}
    scenario = read(changed("/workspace/policies/0/rules/0", rule), Path())
    assert ["no rule" in one.message for one in coverage.look(scenario, hired(scenario))] == [True]
    rule = {"require": [{"skill": "fr"}], "steps": [{"queue": "main"}]}
    scenario = read(changed("/workspace/policies/0/rules/0", rule), Path())
    assert ["no group" in one.message for one in coverage.look(scenario, hired(scenario))] == [True]


def test_a_group_that_could_serve_after_a_relaxation_must_be_named():
    rule = {
        "require": [{"skill": "en", "level": 5, "relax": [{"after_s": 9, "level": 2}]}],
        "steps": [{"queue": "main"}],
    }
    scenario = changed("/workspace/policies/0/rules/0", rule)
    scenario["contacts"][0]["service"] = {"by_group": {"first": {"fixed": 1}}}
    assert faults_of(scenario) == [("/contacts/0/service/by_group/second", "a distribution")]


def test_a_workspace_file_is_found_beside_the_scenario(tmp_path):
    workspace = copy.deepcopy(
        {"version": "omniroute/v1", "workspace": "acme", **RIGHT["workspace"]}
    )
    (tmp_path / "w.yaml").write_text(json.dumps(workspace))
    (tmp_path / "s.yaml").write_text(json.dumps(changed("/workspace", {"file": "w.yaml"})))
    assert read_file(tmp_path / "s.yaml").workspace == "acme"
    workspace["queues"][0]["selct"] = "random"
    (tmp_path / "w.yaml").write_text(json.dumps(workspace))
    scenario = changed("/workspace", {"file": "w.yaml"})
    assert faults_of(scenario, tmp_path) == [("w.yaml:/queues/0/selct", "select")]


def test_arrivals_are_lines(tmp_path):
    file = tmp_path / "a.ndjson"
    file.write_text('{"at_s": 2.5}\n\n1\n')
    assert arrivals_in(file) == (1_000_000, 2_500_000)
    for line, told in (('{"at": 1}', "line 2"), ("-1", "before the start"), ("no", "line 2")):
        file.write_text(f"1\n{line}\n")
        with pytest.raises(ValueError, match=told):
            arrivals_in(file)


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the example lies elsewhere")
def test_the_published_example_is_right():
    scenario = read_file(EXAMPLE)
    assert coverage.look(scenario, hired(scenario)) == []
    assert [group.count for group in scenario.groups] == [(12, 18, 9), (15,) * 3, (4,) * 3]


# -- the command


@pytest.fixture
def scenario_file(tmp_path):
    file = tmp_path / "scenario.yaml"
    file.write_text(json.dumps({**RIGHT, "replications": 3}))
    return file


def said(*arguments):
    return CliRunner().invoke(app, ["simulate", "--workers", "1", *map(str, arguments)])


def test_the_report_as_json_has_every_figure_with_its_half_width(scenario_file):
    done = said(scenario_file, "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert set(report) >= {"classes", "groups", "total", "run"}
    call = report["classes"]["call"]
    figures = {
        "arrived", "served", "abandoned", "blocked", "retried", "p_wait", "p_no_wait", "wait_s",
        "wait_served_s", "queue_length",
    }  # fmt: skip
    assert set(call) == figures | {"within", "by_period"}
    assert [set(one) for one in call["by_period"]] == [figures | {"within"}] * 2
    assert set(call["within"]["20"]) == {"served", "abandoned_within", "service_level"}
    assert set(report["groups"]["first"]) == {
        "occupancy", "busy_s", "staffed_s", "served_by_class", "served_at_once_by_class",
    }  # fmt: skip
    assert set(report["run"]) >= {"contacts", "inputs", "wall_s", "contacts_per_s", "seed"}
    for one in (call["wait_s"], call["within"]["20"]["service_level"]["abandons_fail"]):
        assert set(one) == {"mean", "half_width"} and one["half_width"] >= 0
    total = sum(call["by_period"][n]["arrived"]["mean"] for n in (0, 1))
    assert call["arrived"]["mean"] == pytest.approx(total)


def test_the_report_as_a_file_tables_and_a_picture(scenario_file, tmp_path):
    made, picture = tmp_path / "out.json", tmp_path / "out.png"
    done = said(scenario_file, "--json", made, "--png", picture)
    assert done.exit_code == 0, done.output
    assert json.loads(made.read_text())["total"]["arrived"]["mean"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    for word in ("wait of served", "occupancy", "by period", "contacts/s"):
        assert word in done.output


def test_the_scenario_is_never_written_over(scenario_file, tmp_path):
    for target in (scenario_file, tmp_path / "other.yaml"):
        done = said(scenario_file, "--json", target)
        assert done.exit_code == 1 and "overwrite" in done.output
    assert said("--json", scenario_file).exit_code == 2
    assert json.loads(scenario_file.read_text())["replications"] == 3


def test_faults_are_told_by_the_command(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(json.dumps(changed("/replication", 3)))
    done = said(file)
    assert done.exit_code == 1
    assert "/replication" in done.output and "replications" in done.output
