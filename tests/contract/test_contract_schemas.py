"""The published schemas are those of the code, and breaking changes are refused."""

import copy
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from shared.contracts import interactions, routing
from shared.contracts.export import documents, faults, render
from shared.contracts.schemas import incompatibilities, json_schemas, topic_of

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "contracts"


@pytest.mark.parametrize("name", sorted(documents()))
def test_published_documents_are_current(name: str) -> None:
    published = (PUBLISHED / name).read_text("utf-8")
    assert published == render(documents()[name]), "run `make contracts`"


def test_published_documents_are_compatible() -> None:
    assert faults(PUBLISHED) == []


def _current() -> dict:
    return json.loads(render(documents()["schemas.json"]))


def test_a_removed_field_is_refused() -> None:
    changed = copy.deepcopy(_current())
    del changed["components"]["schemas"]["TaskAssigned"]["properties"]["agent_id"]
    assert any("agent_id is gone" in fault for fault in incompatibilities(_current(), changed))


def test_a_field_that_is_no_longer_required_is_refused() -> None:
    changed = copy.deepcopy(_current())
    changed["components"]["schemas"]["OfferCreated"]["required"].remove("expires_at")
    assert any("expires_at" in fault for fault in incompatibilities(_current(), changed))


def test_another_type_is_refused() -> None:
    changed = copy.deepcopy(_current())
    changed["components"]["schemas"]["OfferCreated"]["properties"]["expires_at"] = {
        "type": "number"
    }
    assert incompatibilities(_current(), changed)


def test_an_added_field_and_an_added_type_are_welcome() -> None:
    changed = copy.deepcopy(_current())
    changed["components"]["schemas"]["OfferCreated"]["properties"]["colour"] = {"type": "string"}
    changed["events"]["routing.task.painted.v1"] = {"type": "object"}
    assert incompatibilities(_current(), changed) == []


def test_events_validate_against_their_schema() -> None:
    schemas, components = json_schemas()
    event = routing.OfferCreated(
        workspace="w", seq=1, at="2026-11-22T09:00:00Z", task_id="t", conversation_id="c",
        offer_id="o", agent_id="ana", expires_at="2026-11-22T09:00:20Z",
    )  # fmt: skip
    spoken = interactions.Interaction(
        workspace="w", connector="events", channel="chat", conversation_id="c", message_id="m",
        received_at="2026-11-22T09:00:00Z", direction="inbound",
        author=interactions.Author(role="customer"), text="hello",
    )  # fmt: skip
    for name, value in (("routing.offer.created.v1", event), (interactions.MESSAGE, spoken)):
        schema = {**schemas[name], "components": {"schemas": components}}
        jsonschema.validate(msgspec.to_builtins(value), schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"workspace": 3}, schema)


def test_every_type_has_a_topic() -> None:
    schemas, _ = json_schemas()
    assert topic_of("sla.clock.met.v1") == ("sla.events",)
    assert all(topic_of(name) for name in schemas)
