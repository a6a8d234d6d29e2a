"""What the chat vendors' payloads mean, where their formats have traps."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import RSAAlgorithm

from services.channels.chat import Claims, Spoken, request_of
from services.channels.connectors.bearer import sign_hs256
from services.channels.connectors.chat import messagebird, teams_examples, zendesk
from services.channels.connectors.chat.slack_blocks import plain
from services.channels.connectors.handling import Handled
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.posting import encoded, posted
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, format_instant, parse_instant
from shared.contracts.interactions import Identity
from tests.unit.vendor_payloads import codes, handled, only

NOW_US = parse_instant("2026-03-02T09:20:00Z")
NOW_S = NOW_US // 1_000_000


def run(kind: str, payload: Any, *, trial: bool = True, **settings: Any) -> Handled:
    request = payload if isinstance(payload, InboundRequest) else posted(payload, NOW_US)
    return handled(kind, request, {}, trial=trial, **settings)


# --- Telegram -----------------------------------------------------------------------------------


def telegram(key: str = "message", **raw: Any) -> Handled:
    base = {"message_id": 7, "date": NOW_S, "chat": {"id": 5, "type": "private"}}
    base["from"] = {"id": 5, "first_name": "Kim", "last_name": "Example"}
    return run("telegram", {"update_id": 1, key: {**base, **raw}})


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"location": {"latitude": 1.5, "longitude": 2.5}}, "Location: 1.5, 2.5"),
        ({"contact": {"first_name": "Ana", "phone_number": "+49151"}}, "Contact: Ana +49151"),
        ({"dice": {"emoji": "🎲", "value": 3}}, "🎲 3"),
        ({"poll": {"question": "Tea?", "options": [{"text": "Yes"}]}}, "Poll: Tea? (Yes)"),
    ],
)
def test_telegram_shows_what_is_no_text(raw: dict[str, Any], text: str) -> None:
    assert only(telegram(**raw))[1].text == text


def test_telegram_takes_the_largest_photo_and_an_animation_once() -> None:
    sizes = [{"file_id": "s", "width": 90}, {"file_id": "l", "width": 900}]
    assert [a.vendor_id for a in only(telegram(photo=sizes))[1].attachments] == ["l"]
    both: Any = {"animation": {"file_id": "a"}, "document": {"file_id": "a"}}
    assert [a.vendor_id for a in only(telegram(**both))[1].attachments] == ["a"]


def test_telegram_unknown_content_and_service_messages() -> None:
    _, data = only(telegram(hologram={}))
    assert data.flags == ["unsupported"] and "hologram" in (data.text or "")
    joined = telegram(new_chat_members=[{"id": 1}])
    assert joined.events == [] and joined.dead_letter is None
    assert codes(run("telegram", {"update_id": 3, "hologram": {}})) == ["unknown_event"]
    assert run("telegram", {"message": {}}).dead_letter is not None


def test_a_telegram_button_speaks_in_its_chat() -> None:
    keyboard = [[{"text": "Yes, please", "callback_data": "y"}]]
    message = {"message_id": 3, "chat": {"id": 5}, "reply_markup": {"inline_keyboard": keyboard}}
    press = {"id": "q", "from": {"id": 5}, "data": "y", "message": message}
    _, data = only(run("telegram", {"update_id": 2, "callback_query": press}))
    assert (data.text, data.conversation_key, data.in_reply_to) == ("Yes, please", "5", "3")
    assert data.attributes == {"button": "y"}


# --- LINE ---------------------------------------------------------------------------------------


def line(kind: str = "message", mode: str = "active", **raw: Any) -> Handled:
    source = {"type": "user", "userId": "U1"}
    event = {"type": kind, "mode": mode, "timestamp": NOW_US // 1000, "source": source, **raw}
    return run("line", {"destination": "B", "events": [{"webhookEventId": "E1", **event}]})


def test_line_standby_and_redelivery_are_flags() -> None:
    text = {"id": "1", "type": "text", "text": "Hi"}
    assert only(line(mode="standby", message=text))[1].flags == ["standby"]
    again = line(message=text, deliveryContext={"isRedelivery": True})
    assert only(again)[1].flags == ["redelivered"]


def test_an_empty_line_payload_is_its_test() -> None:
    found = run("line", {"destination": "B", "events": []})
    assert found.answer.status == 200 and found.dead_letter is None and found.events == []


def test_a_line_unsend_deletes() -> None:
    _, said = only(line(message={"id": "1", "type": "text", "text": "Hi"}))
    kind, gone = only(line("unsend", unsend={"messageId": "1"}, webhookEventId="E2"))
    assert kind == interactions.MESSAGE_DELETED
    assert gone.replaces_message_id == said.message_id


# --- Slack --------------------------------------------------------------------------------------


def slack(settings: dict[str, Any] | None = None, **raw: Any) -> Handled:
    event = {"type": "message", "channel": "C1", "ts": f"{NOW_S}.000100", "user": "U1", **raw}
    payload = {"type": "event_callback", "team_id": "T", "event_id": "E", "event": event}
    return run("slack", payload, **(settings or {}))


def test_slack_threads() -> None:
    ts = f"{NOW_S}.000100"
    assert only(slack(text="Hi"))[1].conversation_key == f"T:C1:{ts}"
    reply = only(slack(text="Hi", thread_ts="1.2"))[1]
    assert (reply.conversation_key, reply.in_reply_to) == ("T:C1:1.2", "1.2")
    assert only(slack(text="Hi", channel="D1"))[1].conversation_key == "T:D1"


def test_slack_bots_make_no_loop() -> None:
    for raw in ({"bot_id": "B1", "subtype": "bot_message"}, {"user": "UBOT"}):
        _, data = only(slack({"bot_user_id": "UBOT"}, text="Hi", **raw))
        assert (data.author.role, data.direction, data.flags) == ("bot", "outbound", ["echo"])
    _, agent = only(slack({"agents": ["U1"]}, text="Hi"))
    assert (agent.author.role, agent.direction, agent.flags) == ("agent", "outbound", [])


def test_slack_previews_of_links_are_no_edits() -> None:
    message = {"user": "U1", "text": "see <https://x>", "ts": "1.1"}
    found = slack(subtype="message_changed", message=message, previous_message=message)
    assert found.events == [] and found.dead_letter is None


def test_slack_markup_is_readable() -> None:
    marked = "Hi <@U1|kim>, see <https://x.example|this> &amp; <#C1|help> <!here>"
    assert plain(marked) == "Hi @kim, see this (https://x.example) & #help @here"
    _, data = only(slack(text="a &lt; b"))
    assert (data.text, data.reply_text) == ("a &lt; b", "a < b")


def test_a_forged_url_verification_gets_no_challenge() -> None:
    body = {"type": "url_verification", "challenge": "c"}
    found = handled("slack", posted(body, NOW_US), {"signing_secret": ("s",)})
    assert (found.verdict, found.answer.status, found.answer.body) == ("invalid", 401, "")


# --- Teams --------------------------------------------------------------------------------------

SERVICE = "https://smba.example/"


def activity(**raw: Any) -> dict[str, Any]:
    base = {"type": "message", "id": "1", "serviceUrl": SERVICE, "channelId": "msteams"}
    base |= {"timestamp": "2026-03-02T09:19:59Z", "conversation": {"id": "c"}}
    return {**base, "from": {"id": "29:k"}, "recipient": {"id": "28:b"}, **raw}


def teams_verdict(token: str, payload: dict[str, Any] | None = None, **secrets: Any) -> Handled:
    header = ("Authorization", f"Bearer {token}")
    request = posted(payload or activity(text="Hi"), NOW_US, header)
    return handled("teams", request, {**teams_examples.example_secrets(), **secrets})


def test_a_teams_token_is_for_us_of_microsoft_and_of_now() -> None:
    good = teams_examples.token_of(NOW_US, SERVICE)
    assert teams_verdict(good).verdict == "valid"
    for claims in (
        {"aud": "another-app"},
        {"iss": "https://elsewhere.example"},
        {"exp": NOW_S - 301},
        {"nbf": NOW_S + 301},
        {"serviceurl": "https://evil.example/"},
        {"exp": None},
    ):
        found = teams_verdict(teams_examples.token_of(NOW_US, SERVICE, **claims))
        assert (found.verdict, found.answer.status) == ("invalid", 403), claims
    for token in ("", "a.b.c", good[:-4], sign_hs256({"aud": "example-app"}, "x")):
        assert teams_verdict(token).verdict == "invalid"
    assert teams_verdict(good, activity(serviceUrl="https://evil.example/")).verdict == "invalid"


def test_teams_keys_come_as_pem_or_jwk_set_with_endorsements() -> None:
    pem = teams_examples.example_secrets()["public_keys"][0]
    key: Any = load_pem_public_key(pem.encode())
    jwk = json.loads(RSAAlgorithm.to_jwk(key))
    token = teams_examples.token_of(NOW_US, SERVICE)
    for endorsed, verdict in ((["msteams"], "valid"), (["webchat"], "invalid"), ([], "valid")):
        keys = json.dumps({"keys": [{"kty": "oct"}, {**jwk, "endorsements": endorsed}]})
        assert teams_verdict(token, public_keys=("junk", keys)).verdict == verdict


def test_teams_mentions_are_taken_out_by_entity() -> None:
    def mention(text: str, number: str, name: str) -> dict[str, Any]:
        return {"type": "mention", "text": text, "mentioned": {"id": number, "name": name}}

    entities = [mention("<at>Bot</at>", "28:b", "Bot"), mention("<at>Ana A</at>", "29:a", "Ana A")]
    said = activity(text="<at>Bot</at> ask <at>Ana A</at> if 1 <at> 2", entities=entities)
    _, data = only(run("teams", said))
    assert data.text == "ask Ana A if 1 <at> 2"
    assert data.attributes == {"mentions": ["Bot", "Ana A"]}


def test_teams_cards_and_files() -> None:
    _, chosen = only(run("teams", activity(value={"choice": "refund"})))
    assert chosen.text == "choice: refund"
    info = "application/vnd.microsoft.teams.file.download.info"
    file = {"contentType": info, "name": "a.pdf", "content": {"downloadUrl": "https://d.example/a"}}
    html = {"contentType": "text/html", "content": "<p>Hi</p>"}
    _, data = only(run("teams", activity(text="Hi", attachments=[file, html])))
    assert [(a.name, a.url) for a in data.attachments] == [("a.pdf", "https://d.example/a")]


# --- Twilio -------------------------------------------------------------------------------------


def form(kind: str, **values: Any) -> Handled:
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    body = urlencode(values).encode()
    return run(kind, InboundRequest("POST", "https://a.example/x", headers, body, NOW_US))


def test_twilio_sms_media_numbers_and_whatsapp() -> None:
    media = {"NumMedia": 1, "MediaUrl0": "https://m.example/ME1", "MediaContentType0": "image/png"}
    _, data = only(form("twilio_sms", MessageSid="SM1", From="+4915112345678", To="+493", **media))
    assert [(a.url, a.content_type, a.vendor_id) for a in data.attachments] == [
        ("https://m.example/ME1", "image/png", "ME1")
    ]
    assert Identity("phone", "+4915112345678") in data.identities
    whatsapp = {"From": "whatsapp:+4915112345678", "WaId": "4915112345678", "Body": "Hi"}
    _, chat = only(form("twilio_sms", MessageSid="SM2", To="whatsapp:+493", **whatsapp))
    assert Identity("whatsapp", "4915112345678") in chat.identities


def test_twilio_statuses() -> None:
    sent = {"MessageSid": "SM1", "From": "+493", "To": "+4915112345678"}
    kind, data = only(form("twilio_sms", **sent, MessageStatus="undelivered", ErrorCode="30003"))
    assert kind == interactions.DELIVERY_STATUS and data.delivery_status is not None
    assert (data.delivery_status.status, data.delivery_status.error) == ("failed", "30003")
    assert form("twilio_sms", **sent, MessageStatus="queued").events == []


def test_twilio_conversations_know_agents() -> None:
    values = {"EventType": "onMessageAdded", "ConversationSid": "CH", "MessageSid": "IM"}
    said = urlencode({**values, "Author": "ana", "Body": "Hi"}).encode()
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    request = InboundRequest("POST", "https://a.example/", headers, said, NOW_US)
    _, data = only(run("twilio_conversations", request, agents=["ana"]))
    assert (data.author.role, data.direction, data.flags) == ("agent", "outbound", ["echo"])


# --- Intercom, Zendesk, Sunshine, MessageBird, Chatwoot -----------------------------------------


def test_intercom_html_becomes_text_and_safe_html() -> None:
    author = {"type": "lead", "id": "1"}
    body = "<p>Hello<br>you</p><script>alert(1)</script>"
    part = {"id": "5", "part_type": "comment", "body": body, "author": author}
    item = {"id": "9", "conversation_parts": {"conversation_parts": [part]}}
    payload = {"topic": "conversation.user.replied", "id": "n", "data": {"item": item}}
    _, data = only(run("intercom", payload))
    assert data.text == "Hello\nyou" and "script" not in (data.html or "")


def test_a_zendesk_note_is_no_answer_to_the_customer() -> None:
    example = next(e for e in zendesk.examples() if e.name == "note")
    _, data = only(run("zendesk", example.request))
    assert (data.author.role, data.flags) == ("agent", ["suppress"])


def test_zendesk_needs_its_timestamp_to_be_of_now() -> None:
    example = zendesk.examples()[0]
    for late_s, verdict in ((0, "valid"), (310, "invalid"), (-310, "invalid")):
        at_us = example.request.received_at_us + late_s * 1_000_000
        request = msgspec.structs.replace(example.request, received_at_us=at_us)
        assert handled("zendesk", request, dict(example.secrets)).verdict == verdict


def test_a_zendesk_trigger_is_sent_to_the_mapping() -> None:
    found = run("zendesk", {"ticket": {"id": 1}})
    assert codes(found) == ["unknown_event"] and "mapping" in found.problems[0].message


def test_sunshine_business_messages_are_echoes() -> None:
    message = {"id": "m", "author": {"type": "business"}, "content": {"type": "text", "text": "Hi"}}
    event = {"type": "conversation:message", "payload": {"conversation": {"id": "c"}}}
    event["payload"]["message"] = message  # type: ignore[index]
    _, data = only(run("sunshine", {"events": [event]}))
    assert (data.direction, data.flags) == ("outbound", ["echo"])


def test_messagebird_signs_the_url_and_the_body() -> None:
    example = messagebird.examples()[0]
    secrets = dict(example.secrets)
    assert handled("messagebird", example.request, secrets).verdict == "valid"
    moved = msgspec.structs.replace(example.request, url="https://elsewhere.example/")
    assert handled("messagebird", moved, secrets).verdict == "invalid"
    later = msgspec.structs.replace(example.request, received_at_us=NOW_US + 120_000_000)
    assert handled("messagebird", later, secrets).verdict == "invalid"


def test_messagebirds_older_signature_is_its_published_one() -> None:
    query = (
        "recipient=31612345678&reference=FOO&statusDatetime=2019-01-11T09:17:11%2B00:00"
        "&id=eef0ab57a9e049be946f3821568c2b2e&status=delivered&mccmnc=20408&ported=1"
    )
    headers = (
        ("MessageBird-Signature", "KVBdcVdz2lYMwcBLZCRITgxUfA/WkwSi+T3Wxl2HL6w="),
        ("MessageBird-Request-Timestamp", "1547198231"),
    )
    secrets = {"signing_key": ("old", "PlLrKaqvZNRR5zAjm42ZT6q1SQxgbbGd")}
    for body, late_s, verdict in ((b"", 0, "valid"), (b"x", 0, "invalid"), (b"", 301, "invalid")):
        at_us = (1_547_198_231 + late_s) * 1_000_000
        request = InboundRequest("POST", f"https://a.example/?{query}", headers, body, at_us)
        assert handled("messagebird", request, secrets).verdict == verdict


def test_a_message_without_id_counts_once() -> None:
    said = {"originator": "+491710000000", "recipient": "+493", "body": "Hi", "id": ""}
    first, again = (run("messagebird", {**said, "currentTime": "2026-03-02T09:00:00Z"})
                    for _ in range(2))  # fmt: skip
    other = run("messagebird", {**said, "currentTime": "2026-03-02T09:00:01Z"})
    ids = [found.events[0].envelope.id for found in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]


def test_chatwoot_private_notes_and_receipts() -> None:
    base = {"id": 1, "content": "x", "conversation": {"id": 2}, "account": {"id": 3}}
    sent = {**base, "message_type": "outgoing", "sender": {"id": 4, "type": "user"}}
    _, note = only(run("chatwoot", {**sent, "event": "message_created", "private": True}))
    assert (note.direction, note.flags) == ("outbound", ["suppress"])
    failed = {**sent, "event": "message_updated", "status": "failed"}
    kind, data = only(run("chatwoot", {**failed, "content_attributes": {"external_error": "no"}}))
    assert kind == interactions.DELIVERY_STATUS and data.delivery_status is not None
    assert data.delivery_status.error == "no"


# --- web chat -----------------------------------------------------------------------------------

KEY = "browser-key-of-at-least-32-characters"


def browser(payload: Any, **claims: Any) -> Handled:
    known = {"sub": "v", "conversation": "c", "iat": NOW_S, "exp": NOW_S + 600, **claims}
    header = ("Authorization", f"Bearer {sign_hs256(known, KEY)}")
    return handled("web_chat", posted(payload, NOW_US, header), {"browser_key": ("old", KEY)})


def test_a_visitor_does_not_go_before_others_by_an_older_time() -> None:
    def at(seconds_ago: int) -> str:
        return format_instant(NOW_US - seconds_ago * SECOND_US)

    said = {"id": "1", "conversation": "c", "text": "Hi"}
    for ago, counted in ((200, 200), (3_600, 0), (86_000, 0)):
        by_page = browser({**said, "time": at(ago)})
        assert by_page.events[0].envelope.time == at(counted)
        claims = Claims("v", "c", "cnv_c", None, [], NOW_S + 600)
        request = request_of(Spoken("1", text="Hi", time=at(ago)), claims, "https://x/", NOW_US)
        assert handled("web_chat", request, {}, trial=True).events[0].envelope.time == at(counted)
    by_server = run("web_chat", {**said, "time": at(3_600)})
    assert by_server.events[0].envelope.time == at(3_600), "it may know better"


def test_a_browser_speaks_as_its_visitor_only() -> None:
    said = {"id": "1", "conversation": "c", "text": "Hi", "author": {"id": "v"}}
    found = browser(said)
    assert found.verdict == "valid"
    assert only(found)[1].identities == [Identity("web_chat", "v")]
    for wrong in (
        {**said, "conversation": "d"},
        {**said, "author": {"id": "w"}},
        {**said, "author": {"id": "v", "role": "agent"}},
        {**said, "identities": [{"scheme": "email", "value": "boss@example.org"}]},
        {"events": [said, {**said, "conversation": "d"}]},
    ):
        assert browser(wrong).verdict == "invalid", wrong


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW_S - 61},
        {"exp": NOW_S + 3601},
        {"iat": NOW_S + 61, "exp": NOW_S + 600},
        {"iat": None},
        {"sub": None},
    ],
)
def test_a_browsers_token_is_short_lived(claims: dict[str, Any]) -> None:
    assert browser({"id": "1", "conversation": "c", "text": "Hi"}, **claims).verdict == "invalid"


def test_clients_ids_count_within_their_conversation() -> None:
    first, second = (
        run("web_chat", {"id": "1", "conversation": c, "text": "Hi"}).events[0] for c in "cd"
    )
    assert first.envelope.id != second.envelope.id
    assert first.interaction.vendor["id"] == "1"
    assert codes(run("web_chat", {"conversation": "c", "text": "Hi"})) == ["missing_id"]


def test_attachments_content_is_kept_by_its_hash() -> None:
    file = {"name": "a.txt", "content_base64": base64.b64encode(b"hello").decode()}
    found = run("web_chat", {"id": "1", "conversation": "c", "attachments": [file]})
    _, data = only(found)
    assert [(b.sha256, b.content) for b in found.blobs] == [(data.attachments[0].sha256, b"hello")]
    assert data.attachments[0].size == 5 and b"aGVsbG8" not in found.events[0].envelope.data


def test_encoded_payloads_keep_every_letter() -> None:
    assert json.loads(encoded({"a": "ü€😀"})) == {"a": "ü€😀"}
