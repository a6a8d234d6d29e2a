"""What each vendor's payloads mean: Twilio transcripts, WhatsApp, Messenger."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from services.channels.connectors import registry
from services.channels.connectors.chat import whatsapp_examples
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.social.messenger import payload_of
from shared.contracts import interactions
from shared.contracts.instants import format_instant
from shared.contracts.interactions import Identity, Interaction

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "webhooks"
NOW_US = 1_772_442_000_000_000  # 2026-03-02T09:00:00Z


def run(kind: str, body: bytes, *, now_us: int = NOW_US, url: str = "", **settings: Any) -> Handled:
    connector = registry.get(kind)
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    request = InboundRequest("POST", url or "https://a.example/x", form, body, now_us)
    return handle(
        connector,
        connector.settings(**settings),
        {},
        request,
        connector_id="main",
        workspace="acme",
        languages=("de", "en", "es"),
        trial=True,
    )


def only(handled: Handled) -> tuple[str, Interaction]:
    assert [p.code for p in handled.problems] == [] and len(handled.events) == 1
    event = handled.events[0]
    return event.envelope.type, event.interaction


def codes(handled: Handled) -> list[str]:
    return [problem.code for problem in handled.problems]


# --- Twilio -------------------------------------------------------------------------------------


def spoken(**changes: str) -> bytes:
    form = {
        "CallSid": "CA1",
        "TranscriptionSid": "GT1",
        "TranscriptionEvent": "transcription-content",
        "SequenceId": "7",
        "Final": "true",
        "Track": "inbound_track",
        "Timestamp": "2026-03-02T08:59:58.5Z",
        "TranscriptionData": '{"transcript": "Guten Tag", "confidence": 0.9}',
        **changes,
    }
    return urlencode(form).encode()


def test_which_track_is_the_customer_is_a_setting() -> None:
    _, inbound = only(run("twilio_transcription", spoken()))
    assert (inbound.author.role, inbound.direction, inbound.text) == (
        "customer", "inbound", "Guten Tag",
    )  # fmt: skip
    assert inbound.segment is not None
    assert (inbound.segment.index, inbound.segment.confidence) == (7, 0.9)
    outbound = run("twilio_transcription", spoken(), customer_track="outbound_track")
    assert only(outbound)[1].author.role == "agent"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"Final": "false"}, interactions.TRANSCRIPT_PARTIAL),
        ({"Final": "true"}, interactions.TRANSCRIPT_SEGMENT),
        ({"TranscriptionEvent": "transcription-started"}, interactions.CONVERSATION_STARTED),
        ({"TranscriptionEvent": "transcription-stopped"}, interactions.CONVERSATION_ENDED),
    ],
)
def test_twilio_event_types(changes: dict[str, str], wanted: str) -> None:
    assert only(run("twilio_transcription", spoken(**changes)))[0] == wanted


def test_a_failed_transcription_does_not_end_the_call() -> None:
    changes = {"TranscriptionEvent": "transcription-error", "TranscriptionError": "no engine"}
    kind, data = only(run("twilio_transcription", spoken(**changes)))
    assert kind == interactions.MESSAGE and data.author.role == "system"
    assert data.text == "Transcription failed: no engine" and data.flags == ["suppress"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"CallSid": ""}, "missing_call"),
        ({"TranscriptionData": "{}"}, "missing_transcript"),
        ({"TranscriptionData": "{broken"}, "missing_transcript"),
        ({"TranscriptionEvent": "else"}, "unknown_event"),
    ],
)
def test_unusable_twilio_forms(changes: dict[str, str], code: str) -> None:
    handled = run("twilio_transcription", spoken(**changes))
    assert codes(handled) == [code] and handled.events == []
    assert handled.answer.status == 200 and handled.dead_letter is not None


def test_the_caller_becomes_an_identity() -> None:
    url = "https://a.example/x?from=%2B4915112345678"
    _, data = only(run("twilio_transcription", spoken(), url=url))
    assert data.identities == [Identity("phone", "+4915112345678")]


def test_the_public_url_is_what_twilio_signs() -> None:
    connector = registry.get("twilio_transcription")
    example = connector.examples()[0]
    inner = InboundRequest(
        "POST",
        "http://10.0.0.1:8080/x?a=1",
        example.request.headers,
        example.request.body,
        example.request.received_at_us,
    )

    def verdict(**settings: str) -> str:
        return handle(
            connector,
            connector.settings(**settings),
            example.secrets,
            inner,
            connector_id="m",
            workspace="w",
        ).verdict

    assert verdict() == "invalid"
    assert verdict(public_url=example.request.url) == "invalid", "the query is signed too"
    bare = InboundRequest(
        "POST", "http://10.0.0.1/x", inner.headers, inner.body, inner.received_at_us
    )
    inner = bare
    assert verdict(public_url=example.request.url) == "valid"


# --- WhatsApp -----------------------------------------------------------------------------------


def whatsapp(kind: str, content: Any, part: str = "messages", **more: Any) -> Handled:
    raw = whatsapp_examples.message("wamid.1", kind, content, NOW_US, **more)
    return run("whatsapp_cloud", json.dumps(whatsapp_examples.payload_of(part, raw)).encode())


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        ("text", {"body": "Hallo"}, "Hallo"),
        ("location", {"latitude": 1.5, "longitude": 2.5}, "Location: 1.5, 2.5"),
        ("location", {"latitude": 1, "longitude": 2, "name": "Us"}, "Location: Us (1.0, 2.0)"),
        ("contacts", [{"name": {"formatted_name": "Kim"}, "phones": [{"phone": "+49"}]}],
         "Contact: Kim, +49"),
        ("reaction", {"message_id": "w0", "emoji": "👍"}, "Reacted 👍"),
        ("reaction", {"message_id": "w0"}, "Removed the reaction"),
        ("button", {"text": "Yes", "payload": "y"}, "Yes"),
        ("interactive", {"type": "list_reply", "list_reply": {"id": "1", "title": "One"}}, "One"),
        ("interactive", {"nfm_reply": {"body": "Sent", "response_json": "{}"}}, "Sent"),
        ("order", {"product_items": [{"product_retailer_id": "SKU", "quantity": 2,
         "item_price": 10, "currency": "EUR"}]}, "Order:\n2 × SKU (10 EUR each)"),
        ("image", {"id": "9", "mime_type": "image/jpeg", "caption": "Look"}, "Look"),
    ],
)  # fmt: skip
def test_every_type_is_readable(kind: str, content: Any, text: str) -> None:
    name, data = only(whatsapp(kind, content))
    assert (name, data.text) == (interactions.MESSAGE, text)
    assert "unsupported" not in data.flags


@pytest.mark.parametrize("content", [{}, {"body": ""}, {"body": None}, [], "x", None])
def test_what_cannot_be_read_is_unsupported_and_kept(content: Any) -> None:
    for kind in ("text", "hologram"):
        name, data = only(whatsapp(kind, content))
        assert name == interactions.MESSAGE
        assert "unsupported" in data.flags and data.text and "unsupported" in data.text


def test_media_carry_the_vendors_id() -> None:
    document = {"id": "77", "mime_type": "application/pdf", "filename": "a.pdf"}
    _, data = only(whatsapp("document", document))
    assert [(a.vendor_id, a.name, a.content_type) for a in data.attachments] == [
        ("77", "a.pdf", "application/pdf")
    ]


def test_reactions_open_nothing_and_name_their_message() -> None:
    _, data = only(whatsapp("reaction", {"message_id": "wamid.0", "emoji": "👍"}))
    assert data.in_reply_to == "wamid.0" and data.flags == ["suppress"]


def test_people_are_known_by_number_and_by_their_new_ids() -> None:
    payload = whatsapp_examples.payload_of(
        "messages", whatsapp_examples.message("wamid.1", "text", {"body": "Hi"}, NOW_US)
    )
    value = payload["entry"][0]["changes"][0]["value"]
    value["contacts"][0]["user_id"] = "DE.1"
    _, data = only(run("whatsapp_cloud", json.dumps(payload).encode()))
    assert data.identities == [
        Identity("whatsapp", "4915112345678"),
        Identity("whatsapp_user", "DE.1"),
        Identity("phone", "+4915112345678"),
    ]
    assert data.author.name == "Kim Example"
    del value["messages"][0]["from"], value["contacts"][0]["wa_id"]
    _, hidden = only(run("whatsapp_cloud", json.dumps(payload).encode()))
    assert hidden.identities == [Identity("whatsapp_user", "DE.1")]
    assert hidden.conversation_key == "100000000000001:DE.1"


def test_one_post_holds_many_of_everything_in_order() -> None:
    first = whatsapp_examples.payload_of(
        "messages",
        *(whatsapp_examples.message(f"w{n}", "text", {"body": str(n)}, NOW_US) for n in range(3)),
    )
    second = whatsapp_examples.payload_of(
        "statuses", *({"id": f"o{n}", "status": "read", "recipient_id": "49151"} for n in range(2))
    )
    first["entry"] += second["entry"]
    handled = run("whatsapp_cloud", json.dumps(first).encode())
    vendor_ids = [event.interaction.vendor["id"] for event in handled.events]
    assert vendor_ids == ["w0", "w1", "w2", "o0", "o1"] and codes(handled) == []


def test_one_bad_message_does_not_hold_back_the_others() -> None:
    good = whatsapp_examples.message("w1", "text", {"body": "Hi"}, NOW_US)
    payload = whatsapp_examples.payload_of("messages", {"type": "text"}, good, {"id": "x"})
    handled = run("whatsapp_cloud", json.dumps(payload).encode())
    assert len(handled.events) == 1 + 1, "a lone contact names the sender of the third"
    assert codes(handled) == ["missing_id"] and handled.dead_letter is not None


def test_a_failed_delivery_says_why() -> None:
    raw = {
        "id": "w1",
        "status": "failed",
        "recipient_id": "49151",
        "errors": [{"code": 131047, "title": "Re-engagement message"}],
    }
    body = json.dumps(whatsapp_examples.payload_of("statuses", raw)).encode()
    kind, data = only(run("whatsapp_cloud", body))
    assert kind == interactions.DELIVERY_STATUS and data.delivery_status is not None
    assert data.delivery_status.error == "131047: Re-engagement message"


def test_an_unlike_number_is_noted_and_not_dropped() -> None:
    raw = whatsapp_examples.message("w1", "text", {"body": "Hi"}, NOW_US)
    body = json.dumps(whatsapp_examples.payload_of("messages", raw)).encode()
    handled = run("whatsapp_cloud", body, phone_number_id="42")
    assert codes(handled) == ["other_account"] and len(handled.events) == 1
    assert handled.dead_letter is None


def test_the_language_is_the_customers_own_words() -> None:
    _, data = only(whatsapp("text", {"body": "Meine Rechnung stimmt leider nicht"}))
    assert data.language == "de"
    _, place = only(whatsapp("location", {"latitude": 1, "longitude": 2, "name": "The old house"}))
    assert place.language is None


@pytest.mark.parametrize(
    ("late_s", "believed"), [(0, True), (3600, True), (8 * 86_400, True), (9 * 86_400, False)]
)
def test_time_is_the_vendors_while_it_is_plausible(late_s: int, believed: bool) -> None:
    raw = whatsapp_examples.message("w1", "text", {"body": "Hi"}, NOW_US)
    body = json.dumps(whatsapp_examples.payload_of("messages", raw)).encode()
    arrived = NOW_US + late_s * 1_000_000
    event = run("whatsapp_cloud", body, now_us=arrived).events[0]
    assert event.envelope.time == format_instant(NOW_US if believed else arrived)
    assert event.interaction.received_at == format_instant(arrived)
    early = run("whatsapp_cloud", body, now_us=NOW_US - 3_600_000_000).events[0]
    assert early.envelope.time == format_instant(NOW_US - 3_600_000_000), "not in the future"


# --- Messenger ----------------------------------------------------------------------------------


def messenger(item: dict[str, Any], **more: Any) -> Handled:
    return run("messenger", json.dumps(payload_of(item, NOW_US, **more)).encode())


def test_an_echo_is_ours_and_in_the_customers_thread() -> None:
    _, said = only(messenger({"message": {"mid": "m1", "text": "Hi"}}))
    page, customer = said.vendor["recipient"], said.vendor["sender"]
    swapped = {"sender": {"id": page}, "recipient": {"id": customer}}
    echo = {**swapped, "message": {"mid": "m2", "text": "Hello", "is_echo": True}}
    _, ours = only(messenger(echo))
    assert (ours.direction, ours.author.role, ours.flags) == ("outbound", "agent", ["echo"])
    assert ours.conversation_id == said.conversation_id


def test_standby_is_flagged() -> None:
    _, data = only(messenger({"message": {"mid": "m1", "text": "Hi"}}, standby=True))
    assert data.flags == ["standby"]


@pytest.mark.parametrize(
    ("message", "text", "urls"),
    [
        ({"attachments": [{"type": "image", "payload": {"url": "https://x/1"}}]}, None,
         ["https://x/1"]),
        ({"attachments": [{"type": "location", "title": "Us", "payload": {"coordinates":
         {"lat": 1, "long": 2}}}]}, "Location: Us (1.0, 2.0)", []),
        ({"attachments": [{"type": "fallback", "title": "Shop", "url": "https://s"}]},
         "Shop https://s", []),
        ({"text": "Yes", "quick_reply": {"payload": "Y"}}, "Yes", []),
    ],
)  # fmt: skip
def test_messenger_content(message: dict[str, Any], text: str | None, urls: list[str]) -> None:
    _, data = only(messenger({"message": {"mid": "m1", **message}}))
    assert (data.text, [a.url for a in data.attachments]) == (text, urls)


def test_edits_are_revisions_of_their_message() -> None:
    _, first = only(messenger({"message": {"mid": "m1", "text": "a"}}))
    seen = set()
    for number in (1, 2):
        item = {"message_edit": {"mid": "m1", "text": "b", "num_edit": number}}
        handled = messenger(item)
        kind, edit = only(handled)
        assert kind == interactions.MESSAGE_EDITED and edit.revision == number
        assert edit.message_id == edit.replaces_message_id == first.message_id
        seen.add(handled.events[0].envelope.id)
    assert len(seen) == 2


def test_receipts_by_mid_and_by_watermark() -> None:
    handled = messenger({"delivery": {"mids": ["m1", "m2"], "watermark": 5}})
    named = [e.interaction.delivery_status for e in handled.events]
    assert [(d.message_id, d.status) for d in named if d] == [
        ("m1", "delivered"), ("m2", "delivered"),
    ]  # fmt: skip
    _, read = only(messenger({"read": {"watermark": 1772442000000}}))
    assert read.vendor["watermark"] == "1772442000000"


@pytest.mark.parametrize(
    ("item", "code", "lost"),
    [
        ({"sender": {}, "message": {"mid": "m"}}, "missing_sender", True),
        ({"message": {"text": "no id"}}, "missing_id", True),
        ({"hologram": {}}, "unknown_event", True),
        ({"pass_thread_control": {}}, "not_an_interaction", False),
    ],
)
def test_messenger_problems(item: dict[str, Any], code: str, lost: bool) -> None:
    handled = messenger(item)
    assert codes(handled) == [code] and handled.answer.status == 200
    assert (handled.dead_letter is not None) == lost


# --- the public samples -------------------------------------------------------------------------

KINDS = {
    "whatsapp_": "whatsapp_cloud",
    "messenger_": "messenger",
    "twilio_realtime_": "twilio_transcription",
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the vendors' samples are not here")
def test_the_sample_payloads_become_what_they_say() -> None:
    seen = 0
    for path in sorted(SAMPLES.glob("*.json")):
        kind = next((k for p, k in KINDS.items() if path.name.startswith(p)), None)
        if kind is None:
            continue
        case = json.loads(path.read_text())
        wanted = case["expected"]
        now_us = int(wanted.get("occurred_at_unix", NOW_US // 1_000_000)) * 1_000_000
        if "occurred_at" in wanted:
            now_us = 1_719_341_122_000_000
        handled = run(kind, case["body"].encode(), now_us=now_us)
        seen += 1
        if "malformed" in wanted:
            assert handled.events == [] and handled.answer.status == wanted["http_status"]
            continue
        assert codes(handled) == [], path.name
        check_sample(path.name, handled, wanted)
    assert seen >= 18


def check_sample(name: str, handled: Handled, wanted: dict[str, Any]) -> None:
    _, data = only(handled)
    key = wanted.get("idempotency_key")
    for part in key if isinstance(key, list) else [key]:
        assert part is None or part in data.vendor.values(), name
    if "author" in wanted:
        assert data.author.id == wanted["author"], name
    if "text" in wanted:
        assert data.text == wanted["text"], name
    if "in_reply_to" in wanted:
        assert data.in_reply_to == wanted["in_reply_to"], name
    if "message_type" in wanted:
        assert data.vendor["type"] == wanted["message_type"], name
    if "occurred_at_unix" in wanted:
        occurred = format_instant(wanted["occurred_at_unix"] * 1_000_000)
        assert handled.events[0].envelope.time == occurred, name
    if "occurred_at" in wanted:
        assert handled.events[0].envelope.time == wanted["occurred_at"], name
    if "thread_key" in wanted:
        thread = wanted["thread_key"]
        parts = thread if isinstance(thread, list) else [thread]
        assert all(part in (data.conversation_key or "") for part in parts), name
    if "ignore_as_inbound" in wanted:
        assert (data.direction == "outbound") == wanted["ignore_as_inbound"], name
    if "status" in wanted:
        assert data.delivery_status is not None and data.delivery_status.status == wanted["status"]
