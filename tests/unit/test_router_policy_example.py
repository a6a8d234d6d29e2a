"""Whole workspaces as files: each resource is taken as it stands, and each test in them holds."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from services.router.domain import commands as cmd
from services.router.domain.core import RouterCore
from services.router.domain.evaluate import evaluate
from services.router.evaluation import EvaluationBody, read_evaluation
from services.router.resources import parse
from shared.contracts.core import Input
from shared.contracts.faults import decode_body
from shared.contracts.instants import parse_instant

ROOT = Path(__file__).parents[2]
# The demo's, and where it is at hand the contract's.
FILES = [
    path
    for path in (ROOT / "services/cli/demo/workspace.yaml", ROOT.parent / "shared/workspace.yaml")
    if path.exists()
]
NOW = parse_instant("2026-11-23T09:00:00Z")
ORDER = [
    ("queues", "queue"),
    ("escalations", "escalation"),
    ("agents", "agent"),
    ("teams", "team"),
    ("policies", "policy"),
    ("customers", "customer"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_whole_workspace_applies_and_passes_its_tests(path: Path):
    written = yaml.safe_load(path.read_text())
    core = RouterCore("acme", 1)
    settings = {"id": "acme", "version": 1, "body": {"channels": written["channels"]}}
    inputs = [Input("config", "workspace", msgspec.json.encode(settings))]
    for calendar in written.get("calendars", []):
        body = {"id": calendar["id"], "version": 1, "body": {"windows": [[0, 2**61]]}}
        inputs.append(Input("config", "calendar", msgspec.json.encode(body)))
    inputs += [_put(kind, body) for name, kind in ORDER for body in written.get(name, [])]
    for number, what in enumerate(inputs, 1):
        core.apply(NOW, number, what)
    assert len(core.desks) == len(written["agents"])
    assert core.settings.channel("email").cost == written["channels"]["email"]["cost"]
    for test in written.get("tests", []):
        _check(core, test)


def _put(kind: Any, body: dict[str, Any]) -> Input:
    parsed = parse(kind, body, body["id"])
    assert parsed.faults == []
    raw = msgspec.Raw(msgspec.json.encode(parsed.canonical))
    command = cmd.PutResource(resource=kind, id=body["id"], body=raw)
    return Input("command", "PutResource", cmd.encode(command))


def _check(core: RouterCore, test: dict[str, Any]) -> None:
    body = msgspec.json.encode({"events": [test["event"]], "at": test["at"]})
    (found,) = evaluate(core, read_evaluation(decode_body(body, EvaluationBody)))["results"]
    expected = {name: value for name, value in test["expect"].items() if name in found}
    assert expected and {name: found[name] for name in expected} == expected
