"""What vendors document of each kind and a checker would look for: whose message it is, which one it
is about, what it says, and that nothing is passed over in silence."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from services.channels.connectors import registry
from services.channels.connectors.chat.twilio_forms import SIGNATURE
from services.channels.connectors.port import InboundRequest
from shared.contracts import interactions
from tests.unit.test_connector_rare_messages import AT, FORM, SECONDS, codes, only, run
from tests.unit.vendor_payloads import handled

MS = AT // 1000
POLLED = ("bluesky_jetstream", "google_reviews", "mastodon", "reddit", "youtube_comments")


@pytest.mark.parametrize("kind", list(registry.load()))
def test_no_body_is_passed_over_in_silence(kind: str) -> None:
    bodies = [b"null", b"0", b"true", b'""', b"{}", b"[null]", b"[{}]", b"[[]]"]
    for body in bodies if kind in POLLED else [*bodies, b"[]"]:
        found = run(kind, body)
        assert found.problems or found.events, body


# --- Whose message ----------------------------------------------------------------------------


def telegram(key: str = "message", **raw: Any) -> Any:
    person = {"id": 5, "is_bot": False, "first_name": "Kim"}
    base = {"message_id": 7, "chat": {"id": 5, "type": "private"}, "from": person, "date": SECONDS}
    return run("telegram", {"update_id": 1, key: {**base, **raw}})


def test_what_a_business_writes_in_its_own_telegram_chats_is_no_customers_message() -> None:
    owner = {"id": 9, "is_bot": False, "first_name": "Owner"}
    theirs = only(telegram("business_message", text="Hello?", business_connection_id="b"))[1]
    ours = telegram("business_message", text="Yes?", business_connection_id="b", **{"from": owner})
    own = only(ours)[1]
    assert (theirs.author.role, theirs.direction) == ("customer", "inbound")
    assert (own.author.role, own.direction, own.flags) == ("agent", "outbound", ["echo"])
    assert own.conversation_key == theirs.conversation_key and own.identities == []


def test_direct_messages_to_a_telegram_channel_are_a_conversation_with_each_person() -> None:
    chat = {"id": -100, "type": "supergroup"}
    keys = [
        only(telegram(chat=chat, text="Hi", direct_messages_topic={"topic_id": n}))[1]
        for n in (5, 6)
    ]
    assert [each.conversation_key for each in keys] == ["-100:5", "-100:6"]


def test_a_message_in_a_telegram_topic_answers_nothing_by_itself() -> None:
    topic = {"message_id": 3, "forum_topic_created": {"name": "Bills"}}
    placed = {"message_thread_id": 3, "is_topic_message": True, "text": "Hi"}
    assert only(telegram(**placed, reply_to_message=topic))[1].in_reply_to is None
    assert only(telegram(**placed, reply_to_message={"message_id": 4}))[1].in_reply_to == "4"


def messaging(item: dict[str, Any], kind: str = "messenger") -> Any:
    filled = {"sender": {"id": "C"}, "recipient": {"id": "P"}, "timestamp": MS, **item}
    return run(kind, {"object": "page", "entry": [{"id": "P", "time": MS, "messaging": [filled]}]})


@pytest.mark.parametrize(
    "item",
    [
        {"reaction": {"mid": "m", "action": "react", "emoji": "♥"}},
        {"message": {"mid": "m", "is_deleted": True}},
        {"message": {"mid": "m", "is_deleted": True, "is_echo": True}},
        {"message_edit": {"mid": "m", "text": "new", "num_edit": 1}},
        {"message": {"mid": "m", "text": "hello"}},
    ],
    ids=lambda item: next(iter(item)),
)
def test_what_a_page_does_itself_is_its_own(item: dict[str, Any]) -> None:
    by_page = {"sender": {"id": "P"}, "recipient": {"id": "C"}}
    _, data = only(messaging({**item, **by_page}))
    assert (data.author.role, data.direction) == ("agent", "outbound") and "echo" in data.flags
    assert data.conversation_key == "P:C"


def test_receipts_are_the_systems_and_about_what_was_sent() -> None:
    for item in ({"read": {"mid": "m"}}, {"delivery": {"mids": ["m"]}}):
        _, data = only(messaging(item))
        assert (data.author.role, data.direction) == ("system", "outbound")


# --- Which message ----------------------------------------------------------------------------


def slack(event: dict[str, Any]) -> Any:
    body = {"type": "event_callback", "team_id": "T", "event_id": "Ev", "event": event}
    return run("slack", body)


def teams(kind: str, **raw: Any) -> Any:
    base = {"type": kind, "id": "17", "timestamp": "2026-03-02T09:20:00Z", "channelId": "msteams"}
    base |= {"from": {"id": "29:u"}, "conversation": {"id": "a:1"}, "recipient": {"id": "28:b"}}
    return run("teams", {**base, **raw})


def line(**raw: Any) -> Any:
    base = {"timestamp": MS, "source": {"type": "user", "userId": "U"}, "webhookEventId": "01"}
    return run("line", {"destination": "B", "events": [{**base, **raw}]})


SAID = {"type": "message", "user": "U", "text": "old", "ts": "1.1"}
CHANGED = {"type": "message", "channel": "C", "ts": "1.2", "previous_message": SAID}
PART = {"type": "conversation_part", "id": "p1", "redacted": True, "conversation_id": "c"}
COMMENT = {"type": "zen:event-type:ticket.comment_redacted", "subject": "zen:ticket:5"}
CHANGES = {
    "telegram edit": (lambda: telegram("edited_message", text="new"), "7"),
    "telegram deletion": (
        lambda: telegram("deleted_business_messages", message_ids=[3], business_connection_id="b"),
        "3",
    ),
    "slack edit": (
        lambda: slack({**CHANGED, "subtype": "message_changed", "message": {**SAID, "text": "n"}}),
        "1.1",
    ),
    "slack deletion": (
        lambda: slack({**CHANGED, "subtype": "message_deleted", "deleted_ts": "1.1"}),
        "1.1",
    ),
    "teams edit": (lambda: teams("messageUpdate", text="new"), "17"),
    "teams deletion": (lambda: teams("messageDelete"), "17"),
    "line": (lambda: line(type="unsend", unsend={"messageId": "44"}), "44"),
    "intercom": (
        lambda: run("intercom", {"topic": "conversation_part.redacted", "data": {"item": PART}}),
        "p1",
    ),
    "zendesk": (
        lambda: run("zendesk", {**COMMENT, "id": "e", "event": {"comment": {"id": "18"}}}),
        "18",
    ),
    "web chat": (
        lambda: run(
            "web_chat", {"id": "2", "type": "delete", "replaces": "1", "conversation_key": "c"}
        ),
        "1",
    ),
    "mastodon": (lambda: run("mastodon", {"event": "delete", "payload": "9"}), "9"),
    "x": (
        lambda: run(
            "x_activity",
            {"data": {"event_type": "post.delete", "event_uuid": "e", "payload": {"id": "55"}}},
        ),
        "55",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_names_the_message_by_the_vendors_own_id(name: str) -> None:
    change, wanted = CHANGES[name]
    _, data = only(change())
    assert data.replaces == wanted
    assert name == "web chat" or data.replaces_message_id == data.message_id


def test_what_a_change_holds_is_told_in_its_own_order() -> None:
    status = {"id": "w1", "status": "sent", "timestamp": str(SECONDS), "recipient_id": "1650"}
    said = {"id": "w2", "from": "1650", "timestamp": str(SECONDS), "type": "text"}
    said |= {"text": {"body": "hi"}}
    metadata = {"phone_number_id": "1"}
    for names in (("statuses", "messages"), ("messages", "statuses")):
        held = {"statuses": [status], "messages": [said]}
        value = {"metadata": metadata, **{name: held[name] for name in names}}
        body = {"entry": [{"changes": [{"field": "messages", "value": value}]}]}
        found = [event.envelope.type for event in run("whatsapp_cloud", body).events]
        wanted = {"statuses": interactions.DELIVERY_STATUS, "messages": interactions.MESSAGE}
        assert found == [wanted[name] for name in names]


def test_a_message_to_a_group_is_delivered_to_each_of_its_people() -> None:
    status = {"id": "w", "status": "delivered", "timestamp": str(SECONDS), "recipient_id": "G"}
    each = [{**status, "recipient_type": "group", "recipient_participant_id": n} for n in "12"]
    value = {"metadata": {"phone_number_id": "1"}, "statuses": each}
    found = run("whatsapp_cloud", {"entry": [{"changes": [{"value": value}]}]})
    assert len({event.envelope.id for event in found.events}) == 2
    assert {event.interaction.conversation_key for event in found.events} == {"1:G"}
    people = [event.interaction.identities[0].value for event in found.events]
    assert people == ["1", "2"]


def test_a_conversation_may_be_closed_twice() -> None:
    form = {"EventType": "onConversationStateUpdated", "ConversationSid": "CH", "StateTo": "closed"}
    ids = {
        run("twilio_conversations", {**form, "StateUpdated": at}, FORM).events[0].envelope.id
        for at in ("2026-03-02T09:00:00Z", "2026-03-02T09:10:00Z")
    }
    assert len(ids) == 2


# --- What it says -----------------------------------------------------------------------------


def test_words_of_slacks_blocks_are_all_read() -> None:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]}
    rich = {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": "See "},
                    {"type": "link", "url": "https://a.example", "text": "this"},
                    {"type": "emoji", "name": "wave"},
                ],
            },
            {"type": "rich_text_list", "elements": [section, section]},
        ],
    }
    context = {"type": "context", "elements": [{"type": "mrkdwn", "text": "below"}]}
    listed = {"type": "section", "fields": [{"type": "mrkdwn", "text": "left"}]}
    said = {**SAID, "channel": "C", "text": "", "blocks": [rich, listed, context]}
    _, data = only(slack(said))
    assert data.text == "See <https://a.example|this>:wave:\n- one\n- one\nleft\nbelow"
    shared = {**SAID, "channel": "C", "text": "", "attachments": [{"title": "T", "text": "words"}]}
    assert only(slack(shared))[1].text == "T\nwords"


def test_teams_markup_is_text_and_safe_html() -> None:
    _, data = only(
        teams("message", text="<p>Hi <b>you</b></p><script>x</script>", textFormat="xml")
    )
    assert data.text == "Hi you" and data.html == "<p>Hi <b>you</b></p>"


def test_an_adaptive_card_is_read() -> None:
    facts = {"type": "FactSet", "facts": [{"title": "Order", "value": "42"}]}
    column = {"type": "Column", "items": [{"type": "TextBlock", "text": "Inside"}]}
    body = [
        {"type": "TextBlock", "text": "Title"},
        facts,
        {"type": "ColumnSet", "columns": [column]},
    ]
    kind = "application/vnd.microsoft.card.adaptive"
    card = {"contentType": kind, "content": {"type": "AdaptiveCard", "body": body}}
    _, data = only(teams("message", attachments=[card]))
    assert data.text == "Title\nOrder: 42\nInside" and data.flags == []


def test_who_reads_in_teams_is_a_receipt() -> None:
    value = {"lastReadMessageId": "16"}
    kind, data = only(teams("event", name="application/vnd.microsoft.readReceipt", value=value))
    assert kind == interactions.DELIVERY_STATUS and data.delivery_status is not None
    assert (data.delivery_status.message_id, data.delivery_status.status) == ("16", "read")
    assert codes(teams("event", name="other")) == [("not_an_interaction", False)]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"product": {"elements": [{"title": "Shirt", "subtitle": "$5"}]}}, "Shirt – $5"),
        ({"template_type": "button", "text": "Pick one"}, "Pick one"),
        ({"generic": {"elements": [{"title": "Card"}]}}, "Card"),
        ({}, "(template)"),
    ],
)
def test_templates_of_messenger_are_read(payload: dict[str, Any], text: str) -> None:
    template = {"type": "template", "payload": payload}
    _, data = only(messaging({"message": {"mid": "m", "attachments": [template]}}))
    assert data.text == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"successful_payment": {"currency": "EUR", "total_amount": 145}}, "Paid: 1.45 EUR"),
        ({"refunded_payment": {"currency": "XTR", "total_amount": 145}}, "Refunded: 145 XTR"),
        (
            {"invoice": {"title": "Lamp", "currency": "USD", "total_amount": 100}},
            "Invoice: Lamp, 1.00 USD",
        ),
        ({"users_shared": {"users": [{"user_id": 1, "first_name": "Ann"}]}}, "Shared: Ann"),
        ({"chat_shared": {"chat_id": 9}}, "Shared: 9"),
        ({"story": {"id": 1}}, "(story)"),
    ],
)
def test_what_telegram_shows_is_told_in_words(raw: dict[str, Any], text: str) -> None:
    _, data = only(telegram(**raw))
    assert (data.text, data.flags) == (text, [])


def test_addresses_behind_words_in_telegram_are_kept() -> None:
    link = {"type": "text_link", "offset": 0, "length": 3, "url": "https://a.example"}
    _, data = only(telegram(text="see", entities=[link]))
    assert data.attributes["links"] == ["https://a.example"]


def test_a_picture_in_the_words_of_intercom_is_an_attachment() -> None:
    body = '<p>Look</p><div><img src="https://d.example/x.png?a=1&amp;b=2"></div>'
    part = {"id": "1", "part_type": "comment", "author": {"type": "user", "id": "u"}}
    for words in (body, '<img src="https://d.example/x.png?a=1&amp;b=2">'):
        parts = {"conversation_parts": [{**part, "body": words}]}
        item = {"type": "conversation", "id": "c", "conversation_parts": parts}
        body_of = {"topic": "conversation.user.replied", "data": {"item": item}}
        _, data = only(run("intercom", body_of))
        assert [each.url for each in data.attachments] == ["https://d.example/x.png?a=1&b=2"]
        assert data.flags == []


def test_cards_and_questions_of_sunshine_are_read() -> None:
    def said(**content: Any) -> Any:
        message = {"id": "m", "author": {"type": "business"}, "content": content}
        raw: dict[str, Any] = {"id": "e", "type": "conversation:message"}
        raw["payload"] = {"conversation": {"id": "c"}, "message": message}
        return only(run("sunshine", {"events": [raw]}))[1].text

    assert said(type="carousel", items=[{"title": "T", "description": "D"}]) == "T – D"
    assert said(type="form", fields=[{"label": "Name"}, {"label": "Mail"}]) == "Name\nMail"


def test_files_and_contacts_of_chatwoot() -> None:
    def said(file: dict[str, Any]) -> Any:
        raw = {"event": "message_created", "id": 1, "message_type": "incoming"}
        raw |= {"conversation": {"id": 2}, "account": {"id": 1}, "attachments": [file]}
        return only(run("chatwoot", raw))[1]

    file = said({"id": 3, "file_type": "file", "data_url": "https://c.example/a/My%20bill.pdf?x"})
    assert [each.name for each in file.attachments] == ["My bill.pdf"]
    card = {"file_type": "contact", "fallback_title": "+49 1", "meta": {"firstName": "Ann"}}
    assert said(card).text == "Contact: Ann, +49 1"


def test_contacts_and_orders_of_messagebird() -> None:
    def said(**content: Any) -> Any:
        message = {"id": "m", "conversationId": "c", "direction": "received", "content": content}
        return only(run("messagebird", {"type": "message.created", "message": message}))[1].text

    card = {"name": {"formatted_name": "Ann"}, "phones": [{"phone": "+49 1"}]}
    assert said(contacts=[card]) == "Contact: Ann, +49 1"
    order = {"products": [{"retailerID": "lamp", "quantity": 2}]}
    assert said(whatsappOrder=order) == "2 × lamp"


def test_an_advertisement_that_somebody_comes_from_is_kept() -> None:
    form = {"MessageSid": "SM", "From": "whatsapp:+1415", "To": "whatsapp:+1", "Body": "Hi"}
    _, data = only(run("twilio_sms", {**form, "ReferralSourceUrl": "https://fb.example"}, FORM))
    assert data.attributes["referral"] == {"source_url": "https://fb.example"}
    flow = {**form, "Body": "", "FlowData": '{"size": 3}'}
    assert only(run("twilio_sms", flow, FORM))[1].text == "size: 3"


def test_a_poll_on_mastodon_is_readable() -> None:
    status: dict[str, Any] = {"id": "1", "account": {"acct": "kim"}, "content": "<p>Which?</p>"}
    status["poll"] = {"options": [{"title": "a"}, {"title": "b"}]}
    assert only(run("mastodon", status))[1].text == "Which?\nPoll: a / b"


def test_a_turns_confidence_is_that_of_its_words() -> None:
    words = [
        {"text": w, "start": 0, "end": 9, "confidence": c} for w, c in (("a", 0.9), ("b", 0.7))
    ]
    turn = {"type": "Turn", "turn_order": 0, "end_of_turn": True, "turn_is_formatted": True}
    turn |= {"transcript": "a b", "end_of_turn_confidence": 0.1, "words": words}
    url = "https://omniroute.example/inbound?conversation_key=c"
    _, data = only(run("assemblyai", turn, url=url))
    assert data.segment is not None and data.segment.confidence == 0.8


# --- Mail that was sent -----------------------------------------------------------------------


def test_sendgrids_events_are_what_became_of_mails() -> None:
    rows = [
        {"event": "delivered", "timestamp": SECONDS, "smtp-id": "<a@shop>", "sg_event_id": "1"},
        {"event": "bounce", "timestamp": SECONDS, "sg_message_id": "b.filter", "reason": "550 no"},
        {"event": "click", "timestamp": SECONDS, "sg_message_id": "b.filter"},
    ]
    found = run("sendgrid_inbound", rows)
    told = [event.interaction.delivery_status for event in found.events]
    assert [(d.message_id, d.status, d.error) for d in told if d] == [
        ("a@shop", "delivered", None),
        ("b", "failed", "550 no"),
    ]
    assert codes(found) == [("not_an_interaction", False)]


@pytest.mark.parametrize(("kind", "failed"), [("HardBounce", 1), ("AutoResponder", 0)])
def test_an_automatic_answer_is_no_failure_at_postmark(kind: str, failed: int) -> None:
    record = {"RecordType": "Bounce", "Type": kind, "MessageID": "m", "Email": "kim@example.org"}
    assert len(run("postmark", record).events) == failed


def test_ses_may_tell_that_its_topic_works() -> None:
    told = {"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have"}
    envelope = {"Type": "Notification", "MessageId": "1", "TopicArn": "t"}
    found = run("ses_sns", {**envelope, "Message": json.dumps(told)})
    assert codes(found) == [("operation", False)]


# --- How it comes -----------------------------------------------------------------------------


def queried(kind: str, query: dict[str, str], *headers: tuple[str, str], **secrets: str) -> Any:
    url = f"https://omniroute.example/inbound?{urlencode(query)}"
    request = InboundRequest("GET", url, headers, b"", AT)
    known = {name: (value,) for name, value in secrets.items()}
    return handled(kind, request, known, trial=not secrets)


def test_reports_of_messagebird_come_by_get() -> None:
    row = {"id": "m", "recipient": "4915112345678", "status": "delivery_failed"}
    found = queried("messagebird", {**row, "statusDatetime": "2026-03-02T09:19:00+00:00"})
    _, data = only(found)
    assert data.delivery_status is not None and data.delivery_status.status == "failed"
    assert found.answer.status == 200


def test_twilio_may_be_set_to_get_and_signs_the_whole_address() -> None:
    query = {"MessageSid": "SM", "From": "+14155551234", "To": "+15550001111", "Body": "Hi there"}
    url = f"https://omniroute.example/inbound?{urlencode(query)}"
    proof = ("X-Twilio-Signature", SIGNATURE.sign("token", url, []))
    found = queried("twilio_sms", query, proof, auth_token="token")
    assert found.verdict == "valid" and only(found)[1].text == "Hi there"
    other = {**query, "Body": "Something else"}
    assert queried("twilio_sms", other, proof, auth_token="token").verdict == "invalid"
    assert queried("slack", query).answer.status == 405


def test_an_instant_as_ruby_prints_it_is_one() -> None:
    raw = {"event": "message_created", "id": 1, "message_type": "incoming", "content": "Hi"}
    raw |= {"conversation": {"id": 2}, "created_at": "2026-03-02 09:19:00 UTC"}
    assert run("chatwoot", raw).events[0].envelope.time == "2026-03-02T09:19:00Z"


INTERLEAVED = "> First?\nYes, that.\n\n> Second?\nNo."


@pytest.mark.parametrize(
    ("text", "stripped", "signature", "reply"),
    [
        (INTERLEAVED, "Yes, that.", "", INTERLEAVED),
        ("Hi there\n\nKim\nSales", "Hi there", "Kim\nSales", "Hi there"),
        ("Hi there\n\nKim\nSales", "Hi there", "", "Hi there\n\nKim\nSales"),
        ("Hi there\n\nUnknown words wrote:", "Hi there", "", "Hi there"),
        ("Hi there", "", "", "Hi there"),
    ],
)
def test_a_providers_stripped_reply_counts_where_it_loses_nothing(
    text: str, stripped: str, signature: str, reply: str
) -> None:
    form = {"recipient": "s@shop.example", "from": "kim@example.org", "body-plain": text}
    form |= {"stripped-text": stripped, "stripped-signature": signature}
    form |= {"Message-Id": "<1@example.org>", "In-Reply-To": "<0@shop.example>"}
    _, data = only(run("mailgun", form, FORM))
    assert data.reply_text == reply and data.text == text
    assert data.email is not None and data.email.message_id == "1@example.org"
    assert data.email.in_reply_to == ["0@shop.example"]
    if not signature:
        mail = {"From": "kim@example.org", "MessageID": "m", "TextBody": text}
        assert only(run("postmark", {**mail, "StrippedTextReply": stripped}))[1].reply_text == reply
