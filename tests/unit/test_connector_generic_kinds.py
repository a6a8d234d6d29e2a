"""Any sender: Standard Webhooks in both forms, X-Hub-Signature-256, and fields mapped by rules."""

import base64
import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from services.channels.connectors import registry
from services.channels.connectors.generic import standard_webhooks
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.posting import encoded, posted
from services.channels.resources import check_settings
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Identity
from shared.contracts.problems import Refused
from tests.unit.vendor_payloads import only

NOW_US = parse_instant("2026-03-02T09:20:00Z")


def run(
    kind: str,
    request: InboundRequest,
    secrets: dict[str, tuple[str, ...]] | None = None,
    *,
    trial: bool = False,
    **settings: Any,
) -> Handled:
    connector = registry.get(kind)
    return handle(
        connector,
        connector.settings(**settings),
        secrets or {},
        request,
        connector_id="main",
        workspace="acme",
        trial=trial,
    )


def mapped(payload: Any, fields: dict[str, str], *headers: Any, **settings: Any) -> Handled:
    return run("mapping", posted(payload, NOW_US, *headers), fields=fields, **settings)


SAID = {"id": "1", "conversation_key": "c", "text": "Hi"}


@pytest.mark.parametrize("kind", ["standard_webhooks", "hub_signature", "mapping"])
@pytest.mark.parametrize("channel", ["phone", "email", "chat", "social"])
def test_the_channel_is_a_setting(kind: str, channel: str) -> None:
    found = run(kind, posted(SAID, NOW_US), trial=True, channel=channel)
    assert only(found)[1].channel == channel
    other = run(kind, posted(SAID, NOW_US), trial=True, channel="chat")
    same = only(found)[1].conversation_id == only(other)[1].conversation_id
    assert same == (channel == "chat")


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(Refused):
        check_settings(registry.get("mapping"), {"channel": "pigeon"}, "/settings")


# --- signatures ---------------------------------------------------------------------------------


def test_ed25519_signatures_hold_only_for_their_message() -> None:
    example = next(e for e in standard_webhooks.examples() if e.name == "ed25519")
    secrets, request = dict(example.secrets), example.request
    assert run("standard_webhooks", request, secrets).verdict == "valid"
    junk = {"public_key": ("junk", "whpk_AAAA", *secrets["public_key"])}
    assert run("standard_webhooks", request, junk).verdict == "valid"
    both = {**secrets, "signing_secret": ("whsec_AAAA",)}
    assert run("standard_webhooks", request, both).verdict == "valid"
    other = {"public_key": ("whpk_" + base64.b64encode(b"x" * 32).decode(),)}
    assert run("standard_webhooks", request, other).verdict == "invalid"
    for changed in (
        {"body": request.body + b" "},
        {"received_at_us": NOW_US + 301_000_000},
        {"headers": tuple(h for h in request.headers if h[0] != "webhook-id")},
    ):
        forged = msgspec.structs.replace(request, **changed)
        assert run("standard_webhooks", forged, secrets).verdict == "invalid"


def test_a_secret_key_is_not_taken_for_a_public_one() -> None:
    example = standard_webhooks.examples()[0]
    swapped = {"public_key": example.secrets["signing_secret"]}
    assert run("standard_webhooks", example.request, swapped).verdict == "invalid"


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_the_delivery_names_what_has_no_id(prefix: str) -> None:
    said = {"conversation_key": "c", "text": "Hi"}
    first, again, other = (
        run("standard_webhooks", posted(said, NOW_US, (f"{prefix}-id", name)), trial=True)
        for name in ("d-1", "d-1", "d-2")
    )
    ids = [found.events[0].envelope.id for found in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert only(first)[1].vendor["delivery"] == "d-1"


def test_a_mapping_is_held_to_the_secret_it_has() -> None:
    body = encoded(SAID)
    right = "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest()
    fields = dict.fromkeys(["conversation_key", "text"], "body.text")
    for header, value, secrets, verdict, accepted in (
        (None, "", {}, "none", True),
        (None, "", {"hub_secret": ("s",)}, "invalid", False),
        ("X-Hub-Signature-256", right, {"hub_secret": ("old", "s")}, "valid", True),
        ("X-Hub-Signature-256", right, {"hub_secret": ("other",)}, "invalid", False),
        ("X-Webhook-Token", "t", {"token": ("t",)}, "valid", True),
        ("X-Webhook-Token", "t", {"token": ("u",)}, "invalid", False),
    ):
        headers = ((header, value),) if header else ()
        found = run("mapping", posted(SAID, NOW_US, *headers), secrets, fields=fields)
        assert (found.verdict, found.accepted) == (verdict, accepted)
        assert bool(found.events) == accepted
    assert not registry.get("mapping").signed, "its address stays unguessable"


# --- bodies in our shape ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        SAID,
        [SAID],
        {"events": [SAID]},
        {"type": "message", "timestamp": "2026-03-02T09:00:00Z", "data": SAID},
        {"specversion": "1.0", "id": "1", "type": interactions.MESSAGE, "data": SAID},
    ],
)
def test_every_wrapping_is_understood(body: Any) -> None:
    kind, data = only(run("hub_signature", posted(body, NOW_US), trial=True))
    assert (kind, data.text, data.vendor["id"]) == (interactions.MESSAGE, "Hi", "1")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"conversation_key": None}, "missing_conversation"),
        ({"type": "hologram"}, "unknown_event"),
        ({"type": "message_edited"}, "missing_original"),
        ({"text": ""}, "empty_message"),
        ({"type": "status", "status": "lost"}, "missing_id"),
        ({"attachments": [{"content_base64": "§"}]}, "bad_attachment"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], code: str) -> None:
    found = run("hub_signature", posted({**SAID, **change}, NOW_US), trial=True)
    assert [problem.code for problem in found.problems] == [code]
    assert found.dead_letter is not None and found.answer.status == 200


# --- mapping ------------------------------------------------------------------------------------

TICKET = {
    "ticket": {"id": 77, "title": "Late", "requester": {"email": "Kim@Example.org"}},
    "comment": {"id": 5, "body": "Where is it?", "staff": False, "at": "2026-03-02T09:19:00Z"},
}
FIELDS = {
    "conversation_key": "body.ticket.id",
    "id": "body.comment.id",
    "text": "body.comment.body",
    "subject": "body.ticket.title",
    "time": "body.comment.at",
    "author_role": 'body.comment.staff ? "agent" : "customer"',
    "email": "body.ticket.requester.email",
    "attributes": '{"topic": "delivery", "ticket": body.ticket.id}',
    "author_name": "body.comment.author.name",
}


def test_rules_map_a_body() -> None:
    found = mapped(TICKET, FIELDS)
    _, data = only(found)
    assert (data.conversation_key, data.text, data.subject) == ("77", "Where is it?", "Late")
    assert data.identities == [Identity("email", "kim@example.org")]
    assert data.attributes == {"topic": "delivery", "ticket": 77}
    assert found.events[0].envelope.time == "2026-03-02T09:19:00Z"
    assert data.author.name is None, "what is not there is left out"
    staff = {**TICKET, "comment": {**TICKET["comment"], "staff": True}}
    assert only(mapped(staff, FIELDS))[1].direction == "outbound"


def test_long_texts_are_not_cut_by_the_rules() -> None:
    long = "ü" * 50_000
    _, data = only(mapped({"t": long, "c": "1"}, {"conversation_key": "body.c", "text": "body.t"}))
    assert data.text == long


def test_items_and_conditions() -> None:
    fields = {"conversation_key": "item.c", "text": "item.t", "id": "item.t"}
    body = {"list": [{"c": "1", "t": "a"}, {"c": "2", "t": "b"}, {"c": "3"}]}
    found = mapped(body, fields, items="body.list", when="has(item.t)")
    assert [event.interaction.text for event in found.events] == ["a", "b"]
    missing = mapped({}, fields, items="body.list")
    assert [problem.code for problem in missing.problems] == ["unusable_payload"]
    ignored = mapped(TICKET, FIELDS, when="body.comment.staff")
    assert ignored.events == [] and ignored.dead_letter is None


def test_a_rule_may_make_an_instant() -> None:
    fields = {"conversation_key": "body.c", "text": "body.c", "time": "timestamp(body.at)"}
    found = mapped({"c": "1", "at": "2026-03-02T10:19:00+01:00"}, fields)
    assert found.events[0].envelope.time == "2026-03-02T09:19:00Z"


def test_headers_and_the_query_are_there_but_no_credentials() -> None:
    fields = {
        "conversation_key": 'headers["x-thread"]',
        "text": "body.t",
        "id": 'headers["x-api-key"]',
    }
    headers = (("X-Thread", "9"), ("X-Api-Key", "hidden"))
    _, data = only(mapped({"t": "Hi"}, fields, *headers))
    assert data.conversation_key == "9" and "id" not in data.vendor


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({"text": "body.t"}, {}),
        ({"conversation_key": "body.c", "txt": "body.t"}, {}),
        ({"conversation_key": "body.c +"}, {}),
        ({"conversation_key": "boddy.c"}, {}),
        ({"conversation_key": "fetch(body.c)"}, {}),
        ({"conversation_key": "body.a.map(x, body.b.map(y, y))"}, {}),
        ({"conversation_key": "body.c"}, {"when": "("}),
        ({"conversation_key": "body.c"}, {"items": "nothing.there"}),
        ({}, {}),
    ],
)
def test_rules_are_checked_when_they_are_written(
    fields: dict[str, str], settings: dict[str, str]
) -> None:
    with pytest.raises(ValidationError):
        registry.get("mapping").settings.model_validate({"fields": fields, **settings})


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, {"ticket": []}, {"ticket": {"id": {}}}])
def test_any_body_is_survived_by_the_rules(junk: Any) -> None:
    found = mapped(junk, FIELDS)
    assert found.accepted and found.events == []


def test_connector_kinds_describe_what_is_generic() -> None:
    described = {each["kind"]: each for each in registry.describe()}
    properties = described["mapping"]["settings_schema"]["properties"]
    assert {"channel", "fields", "items", "when"} <= properties.keys()
    assert described["slack"]["order_by"] == "ts"
    assert described["slack"]["fetches"][0]["purpose"] == "reconcile"
