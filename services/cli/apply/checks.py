"""The tests of a workspace file, run against what the file says, without a server.

They use the cores that production uses: the router's core decides who could get the event, the SLA
service's evaluation when the first response would be due.
"""

from typing import Any

import msgspec

from services.cli.apply.document import Document
from services.cli.apply.plan import placed
from services.cli.apply.tests_form import EXPECTABLE
from services.router.domain import evaluate as router_evaluate
from services.router.domain.commands import PutResource, encode
from services.router.domain.core import RouterCore, RouterFactory
from services.router.evaluation import EvaluationBody, read_evaluation
from services.sla.evaluate import evaluate as sla_evaluate
from shared.contracts.core import Input
from shared.contracts.instants import parse_instant
from shared.contracts.problems import Refused

ROUTER_KINDS = ("queue", "team", "agent", "escalation", "policy", "customer")


class Checked(msgspec.Struct):
    """A test of the file, and what was not as expected."""

    name: str
    faults: list[str] = []

    @property
    def passed(self) -> bool:
        return not self.faults


def check_tests(document: Document) -> list[Checked]:
    """Runs all tests of the file. Raises Refused when the file's own resources do not fit."""
    if not document.tests:
        return []
    core = _core(document)
    return [_checked(document, core, test, index) for index, test in enumerate(document.tests)]


def _core(document: Document) -> RouterCore:
    core = RouterFactory().create(document.workspace, 0)
    inputs = [_config("workspace", document.workspace, document.settings)]
    inputs += [_config("calendar", one.id, one.canonical) for one in document.of("calendar")]
    for number, what in enumerate(inputs, 1):
        core.apply(0, number, what)
    entries = [one for kind in ROUTER_KINDS for one in document.of(kind)]
    for number, one in enumerate(entries, len(inputs) + 1):
        try:
            core.apply(0, number, _put(one.kind, one.id, one.canonical))
        except Refused as refused:
            raise placed(refused, one) from refused
    return core


def _config(kind: str, name: str, body: dict[str, Any]) -> Input:
    body = {"id": name, "version": 1, "body": body, "windows": []}
    return Input("config", kind, msgspec.json.encode(body))


def _put(kind: Any, name: str, body: dict[str, Any]) -> Input:
    command = PutResource(resource=kind, id=name, body=msgspec.Raw(msgspec.json.encode(body)))
    return Input("command", "PutResource", encode(command), actor="apply")


def _checked(document: Document, core: RouterCore, test: dict[str, Any], index: int) -> Checked:
    result = Checked(str(test.get("name", f"test {index + 1}")))
    expected: dict[str, Any] = test["expect"]
    try:
        found = _found(document, core, test)
    except Refused as refused:
        result.faults.append(f"/tests/{index}: {refused.detail}")
        return result
    for name in EXPECTABLE:
        if name in expected and not _same(name, expected[name], found.get(name)):
            result.faults.append(f"{name}: expected {expected[name]!r}, got {found.get(name)!r}")
    return result


def _same(name: str, expected: Any, found: Any) -> bool:
    if name != "first_response_due":
        return expected == found
    try:
        return found is not None and parse_instant(str(expected)) == parse_instant(found)
    except ValueError:
        return False


def _found(document: Document, core: RouterCore, test: dict[str, Any]) -> dict[str, Any]:
    asked = EvaluationBody(
        policy_id=test.get("policy", "default"), events=[test["event"]], at=test.get("at")
    )
    planned = router_evaluate.evaluate(core, read_evaluation(asked))["results"][0]
    result: dict[str, Any] = {**planned}
    result["requires"] = [_text(one) for one in result.get("requires") or []]
    result["first_response_due"] = _first_due(document, test, result)
    return result


def _text(requirement: Any) -> str:
    return requirement["text"] if isinstance(requirement, dict) else str(requirement)


def _first_due(document: Document, test: dict[str, Any], routed: dict[str, Any]) -> str | None:
    """When the first response would be due under the first policy of the file that holds."""
    if "at" not in test:
        return None
    event = test["event"]
    customer = next(
        (one.canonical for one in document.of("customer") if one.id == event.get("customer")), None
    )
    facts = {
        "channel": event.get("channel"),
        "priority": routed.get("priority") or 0,
        "customer": {
            name: (customer or {}).get(name) for name in ("id", "tier", "language", "attributes")
        },
    }
    for policy in document.of("sla_policy"):
        asked = {
            "calendars": [one.canonical for one in document.of("calendar")],
            "policy": policy.canonical,
            "facts": facts,
            "events": [{"time": test["at"], "type": "customer_message"}],
            "now": test["at"],
        }
        try:
            answer = sla_evaluate(asked)
        except Refused as refused:
            raise Refused(refused.kind, f"SLA policy {policy.id}: {refused.detail}") from refused
        for clock in answer["clocks"]:
            if clock["metric"] == "first_response":
                return clock["due_at"]
    return None
