"""workspace.yaml: read as it stands, faults named by place, its tests run without a server."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.apply import kinds
from services.cli.apply.checks import check_tests
from services.cli.apply.document import Document, parse_document, read_document
from services.cli.apply.plan import placed
from shared.contracts.problems import Refused, full

EXAMPLE = Path(__file__).resolve().parents[3] / "shared" / "workspace.yaml"

SMALL = """
version: omniroute/v1
workspace: small
timezone: Europe/Berlin
channels: {chat: {cost: 30}}
calendars: [{id: always, timezone: UTC, always_open: true}]
queues: [{id: main}]
agents:
  - {id: ana, name: Ana, capacity: 100, channels: {chat: 3}, skills: {de: 4}}
  - {id: ben, name: Ben, capacity: 100, channels: {chat: 3}, skills: {de: 1}}
policies:
  - id: default
    rules:
      - name: German
        when: task.language == "de"
        priority: 7
        require: [{skill: de, level: 3}]
        steps: [{queue: main}]
sla_policies:
  - {id: all, calendar: always, targets: {first_response: {target_s: 60}}}
tests:
  - name: German goes to Ana
    event: {channel: chat, text: Hallo, language: de}
    at: "2026-11-23T10:00:00+01:00"
    expect: {rule: German, queue: main, priority: 7, requires: ["de >= 3"], agents: [ana],
             first_response_due: "2026-11-23T10:01:00+01:00"}
"""


def small(**changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load(SMALL), **changes}


def faults_of(content: Any) -> dict[str, str]:
    with pytest.raises(Refused) as refused:
        parse_document(content)
    return {fault.pointer: fault.expected or "" for fault in refused.value.errors}


def parsed(**changes: Any) -> Document:
    return parse_document(small(**changes))


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the shared example is not beside the project")
def test_the_shared_example_is_read_and_its_tests_pass() -> None:
    document = read_document(EXAMPLE)
    assert document.workspace == "acme"
    results = check_tests(document)
    assert results and all(one.passed for one in results), results


def test_a_files_tests_pass_and_fail_by_name() -> None:
    assert [one.passed for one in check_tests(parsed())] == [True]
    test = small()["tests"][0]
    wrong = {**test, "expect": {**test["expect"], "agents": ["ben"], "priority": 1}}
    (result,) = check_tests(parsed(tests=[wrong]))
    assert result.name == "German goes to Ana"
    assert sorted(fault.partition(":")[0] for fault in result.faults) == ["agents", "priority"]


@pytest.mark.parametrize(
    ("change", "pointer", "right"),
    [
        ({"expect": {"agent": ["ana"]}}, "/tests/0/expect/agent", "agents"),
        ({"expect": {}}, "/tests/0/expect", "at least one of"),
        ({"event": None}, "/tests/0/event", "{channel, text, …}"),
        ({"polcy": "default"}, "/tests/0/polcy", "policy"),
        ({"at": "soon"}, "/tests/0/at", "RFC 3339"),
    ],
)
def test_a_test_that_could_not_fail_is_a_fault(
    change: dict[str, Any], pointer: str, right: str
) -> None:
    with pytest.raises(Refused) as refused:
        parsed(tests=[{**small()["tests"][0], **change}])
    (fault,) = refused.value.errors
    assert fault.pointer == pointer and right in (fault.expected or "")


def test_an_instant_of_yaml_is_an_instant_and_a_deadline_that_is_none_fails() -> None:
    at = yaml.safe_load("2026-11-23T10:00:00+01:00")
    test = {**small()["tests"][0], "at": at, "expect": {"first_response_due": "soon"}}
    (result,) = check_tests(parsed(tests=[test]))
    assert [fault.partition(":")[0] for fault in result.faults] == ["first_response_due"]


def test_entries_come_in_the_order_in_which_they_refer_to_each_other() -> None:
    kinds = [entry.kind for entry in parsed().entries]
    assert kinds.index("calendar") < kinds.index("sla_policy")
    assert kinds.index("queue") < kinds.index("policy")


def test_every_fault_is_named_by_its_place() -> None:
    broken = small(
        versin=1,
        agents=[{"id": "ana", "capacitty": 100}, {"name": "nobody"}],
        queues=[{"id": "main", "select": "loudest"}],
    )
    found = faults_of(broken)
    assert "version" in found["/versin"]
    assert "capacity" in found["/agents/0/capacitty"]
    assert "/agents/1/id" in found
    assert "/queues/0/select" in found


def test_a_rule_that_does_not_compile_is_named_by_its_place() -> None:
    rules = [{"when": "task.channel ===", "steps": [{"queue": "main"}]}]
    assert "/policies/0/rules/0/when" in faults_of(
        small(policies=[{"id": "default", "rules": rules}])
    )


def test_overlapping_windows_of_a_file_are_made_one_with_a_warning() -> None:
    content = yaml.safe_load(SMALL)
    hours = {"mon": [["08:00", "14:00"], ["13:00", "18:00"]]}
    content["calendars"].append({"id": "office", "timezone": "UTC", "hours": hours})
    office = parse_document(content).of("calendar")[1]
    assert office.body["hours"] == office.canonical["hours"] == {"mon": [["08:00", "18:00"]]}
    assert len(office.warnings) == 1
    assert office.warnings[0].startswith("/calendars/1/hours/mon: overlapping windows")


def test_the_same_id_twice_is_refused() -> None:
    assert "/queues/1/id" in faults_of(small(queues=[{"id": "main"}, {"id": "main"}]))


def test_a_secret_in_the_file_is_refused_and_not_repeated() -> None:
    connector = {"id": "wa", "kind": "whatsapp_cloud", "secrets": {"app_secret": "s3cr3t"}}
    with pytest.raises(Refused) as refused:
        parse_document(small(connectors=[connector]))
    (fault,) = refused.value.errors
    assert fault.pointer == "/connectors/0/secrets/app_secret"
    assert "s3cr3t" not in f"{refused.value.detail} {fault}"


@pytest.mark.parametrize(
    "content", [None, [], "text", {"version": "omniroute/v2", "workspace": "x"}]
)
def test_what_is_no_workspace_file_is_refused(content: Any) -> None:
    with pytest.raises(Refused):
        parse_document(content)


def test_more_than_a_workspace_may_have_is_told_before_anything_changes() -> None:
    most = kinds.MOST["escalation"]
    content = small(escalations=[{"id": f"e{n}", "levels": []} for n in range(most + 1)])
    assert faults_of(content) == {f"/escalations/{most}": f"at most {most}"}
    content["escalations"].pop()
    assert len(parse_document(content).of("escalation")) == most


def test_a_workspace_that_is_full_is_told_by_the_place_in_the_file() -> None:
    document = parse_document(small(teams=[{"id": "berlin"}]))
    (entry,) = document.of("team")
    told = placed(full("teams", 7), entry)
    assert [(one.pointer, one.code) for one in told.errors] == [("/teams/0", "limit")]
    assert told.errors[0].expected == "at most 7 teams: delete those that are no longer used"
