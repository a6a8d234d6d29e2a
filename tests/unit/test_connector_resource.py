"""Connectors as people write them, previews as people ask for them, and the small readers below."""

import base64
from typing import Any

import pytest

from services.channels.connectors import fields, identities, language, registry
from services.channels.connectors.handling import clean_secrets, handle, rethread
from services.channels.connectors.port import Parsed
from services.channels.connectors.preview import preview
from services.channels.resources import check_connector
from shared.contracts.envelope import Envelope
from shared.contracts.problems import Refused

SECRET = "hunter2-very-secret"


def faults(body: Any) -> list[tuple[str, str, str | None]]:
    with pytest.raises(Refused) as refused:
        check_connector("main", body)
    assert refused.value.kind == "validation"
    assert SECRET not in str(refused.value) + str(refused.value.errors)
    return [(f.pointer, f.code, f.expected) for f in refused.value.errors]


def test_a_connector_keeps_its_secrets_to_itself() -> None:
    body = {
        "id": "main",
        "kind": "whatsapp_cloud",
        "settings": {"phone_number_id": "1"},
        "secrets": {"app_secret": [SECRET, "old"], "verify_token": SECRET},
    }
    resource = check_connector("main", body)
    assert resource.secrets == {"app_secret": (SECRET, "old"), "verify_token": (SECRET,)}
    assert resource.shown()["secrets"] == ["app_secret", "verify_token"]
    assert SECRET not in repr(resource) + str(resource.shown())


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"kind": "whatsap_cloud"}, ("/kind", "unknown_kind", "whatsapp_cloud")),
        ({"kind": "messenger", "seting": {}}, ("/seting", "unknown_field", "settings")),
        (
            {"kind": "messenger", "settings": {"pageid": "1"}},
            ("/settings/pageid", "unknown_field", "page_id"),
        ),
        (
            {"kind": "twilio_transcription", "settings": {"customer_track": SECRET}},
            ("/settings/customer_track", "literal_error", "'inbound_track' or 'outbound_track'"),
        ),
        (
            {"kind": "messenger", "secrets": {"app_secrets": SECRET}},
            ("/secrets/app_secrets", "unknown_secret", "app_secret"),
        ),
        ({"kind": "messenger", "id": "other"}, ("/id", "mismatch", "main")),
        ({"kind": "email_mime", "secrets": {"x": "y"}}, ("/secrets/x", "unknown_secret", "nothing here")),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_place(body: Any, wanted: tuple[str, str, str | None]) -> None:
    assert faults(body) == [wanted]


@pytest.mark.parametrize("body", [None, [], "x", {}, {"kind": 3}])
def test_no_body_is_a_refusal_too(body: Any) -> None:
    assert faults(body)


def test_secrets_are_lists_and_empty_ones_are_none() -> None:
    given = {"a": "x", "b": ["y", "", None, 3], "c": "", "d": [], "e": None}
    assert clean_secrets(given) == {"a": ("x",), "b": ("y",)}


def ask(**body: Any) -> dict[str, Any]:
    return preview({"kind": "email_mime", **body}, workspace="acme", now_us=0)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "nothing"}, "/kind"),
        ({"body_base64": "not base64!"}, "/body_base64"),
        ({"received_at": "yesterday"}, "/received_at"),
        ({"received_at": "2026-03-02T09:00:00"}, "/received_at"),
        ({"headers": [["only"]]}, "/headers/0/1"),
        ({"headers": "x"}, "/headers"),
        ({"connector": "../x"}, "/connector"),
        ({"extra": 1}, "/extra"),
        ({"settings": {"addreses": []}}, "/settings/addreses"),
        ({"secrets": {"x": "y"}}, "/secrets/x"),
    ],
)
def test_a_preview_refuses_what_is_wrong(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(**body)
    assert refused.value.errors[0].pointer == pointer


def test_a_preview_has_the_shape_that_clients_rely_on() -> None:
    mail = b"From: kim@example.org\nSubject: Hi\nMessage-ID: <1@x>\n\nHello"
    shown = ask(
        body_base64=base64.b64encode(mail).decode(), received_at="2026-03-02T10:00:00+01:00"
    )
    assert shown["verdict"] == "none" and shown["problems"] == []
    assert shown["answer"] == {"status": 200, "headers": [], "body": ""}
    (event,) = shown["events"]
    assert event["specversion"] == "1.0" and event["time"] == "2026-03-02T09:00:00Z"
    data = event["data"]
    assert data["email"] == {
        "from": [{"address": "kim@example.org"}],
        "to": [],
        "cc": [],
        "reply_to": [],
        "in_reply_to": [],
        "references": [],
        "message_id": "1@x",
    }
    assert (data["text"], data["reply_text"], data["conversation_key"]) == ("Hello", "Hello", "1@x")


def test_a_preview_of_nothing_shows_the_problem() -> None:
    assert [p["code"] for p in ask()["problems"]] == ["empty"]


def test_a_mail_moves_to_the_thread_that_the_index_knows() -> None:
    connector = registry.get("email_mime")
    handled = handle(
        connector,
        connector.settings(),
        {},
        connector.examples()[1].request,
        connector_id="mail",
        workspace="acme",
    )
    event = handled.events[0]
    assert event.thread_candidates == ("id:answer@acme.example", "id:first@mail.example.org")
    moved = rethread(event, "cnv_1", "root@x")
    assert moved.interaction.conversation_id == moved.envelope.partitionkey == "cnv_1"
    assert isinstance(moved.envelope, Envelope) and moved.envelope.id == event.envelope.id
    assert b'"cnv_1"' in moved.envelope.data and b"root@x" in moved.envelope.data


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("4915112345678", "+4915112345678"),
        ("+49 151 1234-5678", "+4915112345678"),
        ("004915112345678", "+4915112345678"),
        ("anonymous", None),
        ("+1", None),
        ("", None),
        (None, None),
        ("9" * 50, None),
    ],
)
def test_numbers_become_e164(number: str | None, wanted: str | None) -> None:
    assert identities.phone(number) == wanted


def test_national_numbers_need_their_region() -> None:
    assert identities.phone("0151 12345678", "DE") == "+4915112345678"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (" Kim@Example.ORG ", "kim@example.org"),
        ("kim@bücher.example", "kim@xn--bcher-kva.example"),
        ("kim", None),
        ("a b@c", None),
        ("<kim@example.org>", None),
        (None, None),
    ],
)
def test_addresses_are_normalised(address: str | None, wanted: str | None) -> None:
    assert identities.email(address) == wanted


@pytest.mark.parametrize(
    ("text", "languages", "wanted"),
    [
        ("Meine Rechnung stimmt nicht", ("de", "en", "es"), "de"),
        ("My invoice is wrong", ("de", "en", "es"), "en"),
        ("No puedo entrar en mi cuenta", ("de", "en-GB", "es"), "es"),
        ("我的发票不对", ("de", "zh"), "zh"),
        ("ok", ("de", "en"), None),
        ("https://example.org/meine/rechnung", ("de", "en"), None),
        ("", ("de", "en"), None),
        (None, ("de", "en"), None),
        ("My invoice is wrong", (), None),
        ("My invoice is wrong", ("xx",), None),
        ("My invoice is wrong", ("en",), "en"),
    ],
)
def test_languages(text: str | None, languages: tuple[str, ...], wanted: str | None) -> None:
    assert language.detect(text, languages) == wanted


def test_json_is_read_as_text_that_databases_take() -> None:
    parsed = Parsed()
    value = fields.decode_json(b'\xef\xbb\xbf{"a": "x\\u0000y\\ud800", "n": 1e999}', parsed)
    assert fields.text(value, "a") == "xy?" and fields.number(value, "n") is None
    assert parsed.problems == []
    assert fields.decode_json(b"{", parsed) is None
    assert [p.code for p in parsed.problems] == ["invalid_json"]


def test_fields_give_the_type_asked_for_or_nothing() -> None:
    source: Any = {"t": " x", "n": "12", "b": True, "o": {"k": []}, "l": [1, {"a": 1}, "s"]}
    assert fields.text(source, "b") is None and fields.text(source, "n") == "12"
    assert fields.integer(source, "n") == 12 and fields.integer(source, "t") is None
    assert (
        fields.integer({"n": "9" * 30}, "n") is None and fields.integer({"n": "--1"}, "n") is None
    )
    assert fields.obj(source, "t") == {} and fields.at(source, "t", "x") is None
    assert list(fields.items(source, "l")) == [{"a": 1}] and fields.texts(source, "l") == ["s"]
