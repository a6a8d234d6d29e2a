"""Variants that vendors document and send seldom: none is lost, none looks like what it is not."""

import json
from typing import Any

import pytest

from shared.contracts import interactions
from tests.unit.test_connector_rare_messages import AT, FORM, SECONDS, codes, only, run

MS = AT // 1000
SEGMENT, MESSAGE = interactions.TRANSCRIPT_SEGMENT, interactions.MESSAGE


def texts(handled: Any) -> list[tuple[str, str | None]]:
    return [(one.interaction.author.role, one.interaction.text) for one in handled.events]


TWILIO = {
    "CallSid": "CA1",
    "TranscriptionSid": "GT1",
    "TranscriptionEvent": "transcription-content",
}
SILENT = [
    ("twilio_transcription", {**TWILIO, "TranscriptionData": '{"transcript":""}'}, FORM),
    (
        "vapi",
        {"message": {"type": "transcript", "role": "user", "transcript": "", "call": {"id": "c"}}},
        None,
    ),
    (
        "genesys_transcription",
        {
            "eventBody": {
                "conversationId": "c",
                "transcripts": [{"utteranceId": "u", "alternatives": []}],
            }
        },
        None,
    ),
    ("connect_contact_lens", {"ContactId": "c", "EventType": "SEGMENTS", "Segments": []}, None),
    ("deepgram", {"type": "Warning", "description": "slow", "request_id": "r"}, None),
    (
        "assemblyai",
        {"status": "redacted_audio_ready", "redacted_audio_url": "https://x.example"},
        None,
    ),
    ("zendesk", b"", None),
    ("msgraph_mail", {"value": []}, None),
    ("messenger", {"object": "page", "entry": [{"id": "P", "time": MS, "messaging": []}]}, None),
    ("instagram", {"object": "instagram", "entry": [{"id": "P", "messaging": []}]}, None),
]


@pytest.mark.parametrize(
    ("kind", "payload", "content_type"), SILENT, ids=[row[0] for row in SILENT]
)
def test_what_holds_no_words_is_a_note_and_no_dead_letter(
    kind: str, payload: Any, content_type: str | None
) -> None:
    handled = run(kind, payload, content_type) if content_type else run(kind, payload)
    assert handled.events == [] and handled.dead_letter is None
    assert handled.problems and handled.answer.status < 300


def test_a_segment_that_names_what_it_has_not_as_null_is_read() -> None:
    said = {"ParticipantRole": "CUSTOMER", "Content": "Hi", "Id": "t", "BeginOffsetMillis": 1}
    segment = {
        "Utterance": None,
        "Transcript": said,
        "Categories": None,
        "PostContactSummary": None,
    }
    record = {"Channel": "VOICE", "ContactId": "c", "EventType": "SEGMENTS", "Segments": [segment]}
    kind, data = only(run("connect_contact_lens", record))
    assert (kind, data.text, data.channel) == (SEGMENT, "Hi", "phone")


def test_contact_lens_tells_of_chats_too_with_their_own_time() -> None:
    said = {"ParticipantRole": "CUSTOMER", "Content": "Hi", "Id": "t"}
    said["AbsoluteTime"] = "2026-03-02T09:19:00.000Z"
    segments = [{"Transcript": said}]
    record = {"Channel": "CHAT", "ContactId": "c", "EventType": "SEGMENTS", "Segments": segments}
    handled = run("connect_contact_lens", record)
    kind, data = only(handled)
    assert (kind, data.channel, handled.events[0].envelope.time) == (
        SEGMENT,
        "chat",
        "2026-03-02T09:19:00Z",
    )


def test_a_bridge_may_hold_several_genesys_notifications() -> None:
    said = {"utteranceId": "u", "alternatives": [{"transcript": "Hi", "offsetMs": "1000"}]}
    bodies = [{"conversationId": name, "transcripts": [said]} for name in ("a", "b")]
    handled = run("genesys_transcription", {"detail": {"eventBody": bodies}})
    assert [one.interaction.conversation_key for one in handled.events] == ["a", "b"]


def test_the_older_stream_of_assemblyai_is_read() -> None:
    heard = {
        "message_type": "PartialTranscript",
        "audio_start": 1200,
        "audio_end": 1900,
        "text": "hel",
    }
    final = {**heard, "message_type": "FinalTranscript", "audio_end": 2400, "text": "Hello."}
    url = "https://omniroute.example/inbound?conversation_key=call-1"
    first, second = (run("assemblyai", body, url=url) for body in (heard, final))
    (kind, partial), (final_kind, whole) = only(first), only(second)
    assert (kind, final_kind) == (interactions.TRANSCRIPT_PARTIAL, SEGMENT)
    assert partial.message_id == whole.message_id and whole.text == "Hello."


@pytest.mark.parametrize(
    "stamp", [MS - 9000, SECONDS - 9, str(MS - 9000), "2026-03-02T09:19:51.000Z"]
)
def test_a_calls_instant_may_be_milliseconds_seconds_or_a_date(stamp: Any) -> None:
    call = {"call_id": "c", "start_timestamp": stamp}
    handled = run("retell", {"event": "call_started", "call": call})
    assert handled.events[0].envelope.time.startswith("2026-03-02T09:19:51")


def test_a_report_of_vapi_without_messages_is_read_from_its_transcript() -> None:
    report = {
        "type": "end-of-call-report",
        "call": {"id": "c"},
        "artifact": {"messages": None, "transcript": "AI: Hi\nUser: My invoice\nis wrong.\n"},
    }
    handled = run("vapi", {"message": report}, segments_from="report")
    assert texts(handled)[:2] == [("bot", "Hi"), ("customer", "My invoice\nis wrong.")]


def test_a_chat_with_vapis_assistant_is_of_the_channel_chat() -> None:
    parts = [{"type": "text", "text": "Hello"}]
    written = [{"role": "system", "content": "internal"}, {"role": "assistant", "content": parts}]
    chat = {"id": "chat-1", "sessionId": "s1", "input": "Hi", "output": written}
    handled = run("vapi", {"message": {"type": "chat.created", "timestamp": MS, "chat": chat}})
    assert texts(handled) == [("customer", "Hi"), ("bot", "Hello")]
    assert {one.interaction.channel for one in handled.events} == {"chat"}
    assert {one.interaction.conversation_key for one in handled.events} == {"s1"}


def teams(**activity: Any) -> Any:
    usual = {
        "type": "message",
        "id": "1",
        "timestamp": "2026-03-02T09:19:59Z",
        "serviceUrl": "https://smba.example/",
        "channelId": "msteams",
        "from": {"id": "29:1", "name": "Kim"},
        "conversation": {"id": "a:1"},
        "recipient": {"id": "28:b"},
    }
    return run("teams", {**usual, **activity})


def test_words_that_teams_has_only_in_an_attachment_are_read() -> None:
    file = {"contentType": "image/png", "contentUrl": "https://x.example/a"}
    copy = {"contentType": "text/html", "content": "<div>My <b>invoice</b></div>"}
    _, data = only(teams(text=None, attachments=[file, copy]))
    assert data.text == "My invoice" and len(data.attachments) == 1
    card = {
        "contentType": "application/vnd.microsoft.card.hero",
        "content": {"title": "T", "text": "B"},
    }
    _, data = only(teams(text="", attachments=[card]))
    assert (data.text, data.flags) == ("T\nB", [])


def test_a_reply_in_teams_names_the_message_it_quotes() -> None:
    content = '{"messageId":"99","messagePreview":"Your invoice"}'
    quoted = {"contentType": "messageReference", "content": content}
    _, data = only(teams(text="Thanks", attachments=[quoted]))
    assert (data.text, data.in_reply_to) == ("Thanks", "99")


def telegram(**content: Any) -> Any:
    person = {"id": 7, "is_bot": False, "first_name": "Kim"}
    message = {
        "message_id": 3,
        "date": SECONDS,
        "chat": {"id": 7, "type": "private"},
        "from": person,
    }
    return run("telegram", {"update_id": 5, "message": {**message, **content}})


def test_paid_media_and_checklists_of_telegram_are_read() -> None:
    photo = {"type": "photo", "photo": [{"file_id": "f", "width": 1}, {"file_id": "g", "width": 9}]}
    _, data = only(telegram(paid_media={"star_count": 1, "paid_media": [photo]}))
    assert [file.vendor_id for file in data.attachments] == ["g"]
    _, data = only(telegram(checklist={"title": "Move", "tasks": [{"id": 1, "text": "Pack"}]}))
    assert (data.text, data.flags) == ("Move\n- Pack", [])


def intercom(topic: str, **item: Any) -> Any:
    payload = {"type": "notification_event", "topic": topic, "id": "n1", "created_at": SECONDS}
    return run("intercom", {**payload, "data": {"item": item}})


KIM = {"contacts": {"contacts": [{"type": "contact", "id": "c1"}]}}


def test_a_ticket_of_intercom_is_a_message_in_a_conversation_of_its_own() -> None:
    told = {"_default_title_": "Broken", "_default_description_": "<p>It is broken</p>"}
    created = intercom(
        "ticket.created",
        type="ticket",
        id="9",
        ticket_attributes=told,
        created_at=SECONDS - 5,
        **KIM,
    )
    _, data = only(created)
    assert (data.subject, data.text, data.author.role) == ("Broken", "It is broken", "customer")
    part = {"id": "p1", "part_type": "comment", "body": "<p>Still</p>", "created_at": SECONDS}
    author = {"author": {"type": "user", "id": "u1"}}
    parts = {"ticket_parts": {"ticket_parts": [{**part, **author}]}}
    _, reply = only(intercom("ticket.contact.replied", type="ticket", id="9", **parts))
    assert (reply.text, reply.conversation_id) == ("Still", data.conversation_id)
    _, nested = only(
        intercom("ticket.contact.replied", ticket={"id": "9"}, ticket_part={**part, **author})
    )
    assert nested.message_id == reply.message_id


def test_the_end_of_a_conversation_in_intercom_is_when_it_was_closed() -> None:
    times = {"created_at": SECONDS - 3600, "updated_at": SECONDS - 1}
    closed = intercom("conversation.admin.closed", type="conversation", id="9", **times)
    assert closed.events[0].envelope.time == "2026-03-02T09:19:59Z"


def test_a_rating_in_chatwoot_is_feedback() -> None:
    answer = {"csat_survey_response": {"rating": 5, "feedback_message": "Great"}}
    payload = {
        "event": "message_updated",
        "id": 9,
        "content_type": "input_csat",
        "message_type": "template",
        "content_attributes": {"submitted_values": answer},
        "account": {"id": 1},
        "conversation": {"id": 3},
    }
    kind, data = only(run("chatwoot", payload))
    assert (kind, data.survey, data.score, data.comment) == (
        interactions.FEEDBACK,
        "csat",
        5,
        "Great",
    )


def test_words_in_html_alone_are_read_from_sunshine() -> None:
    author = {"userId": "u", "type": "user"}
    content = {"type": "text", "text": None, "htmlText": "<b>Help</b>"}
    message = {"id": "m", "author": author, "content": content}
    event = {"id": "e", "type": "conversation:message", "payload": {"conversation": {"id": "c"}}}
    event["payload"]["message"] = message
    _, data = only(run("sunshine", {"app": {"id": "a"}, "events": [event]}))
    assert (data.text, data.html, data.flags) == ("Help", "<b>Help</b>", [])


def test_a_choice_in_an_amazon_connect_chat_is_read_as_words() -> None:
    content = {"templateType": "ListPicker", "action": "Billing", "title": "What is it about?"}
    item = {
        "Id": "m",
        "InitialContactId": "c",
        "Type": "MESSAGE",
        "ParticipantRole": "CUSTOMER",
        "ContentType": "application/vnd.amazonaws.connect.message.interactive.response",
        "Content": json.dumps(content),
    }
    notice = {"Type": "Notification", "MessageId": "s", "Message": json.dumps(item)}
    _, data = only(run("connect_chat_sns", notice))
    assert data.text == "Billing"


def page(**change: Any) -> Any:
    field = change.pop("field", "feed")
    usual = {"from": {"id": "U", "name": "Kim"}, "created_time": SECONDS - 5, "post_id": "p"}
    entry = {
        "id": "PAGE",
        "time": SECONDS,
        "changes": [{"field": field, "value": {**usual, **change}}],
    }
    return run("messenger", {"object": "page", "entry": [entry]})


def test_comments_on_a_page_are_public_messages_that_can_be_changed_and_removed() -> None:
    comment = {"item": "comment", "comment_id": "p_c", "parent_id": "p"}
    kind, said = only(page(verb="add", message="Where is it?", **comment))
    assert (kind, said.text, said.channel, said.attributes["public"]) == (
        MESSAGE,
        "Where is it?",
        "social",
        True,
    )
    below = {"item": "comment", "comment_id": "p_d", "parent_id": "p_c"}
    _, answered = only(page(verb="add", message="Here", **(below | {"from": {"id": "PAGE"}})))
    assert (answered.direction, answered.flags) == ("outbound", ["echo"])
    assert answered.conversation_id == said.conversation_id and answered.in_reply_to == "p_c"
    kind, edited = only(page(verb="edited", message="Where is my order?", **comment))
    assert (kind, edited.replaces_message_id) == (interactions.MESSAGE_EDITED, said.message_id)
    kind, gone = only(page(verb="remove", **comment))
    assert (kind, gone.replaces_message_id) == (interactions.MESSAGE_DELETED, said.message_id)


def test_recommendations_mentions_and_visitors_posts_are_messages_and_likes_are_not() -> None:
    rating = {"item": "rating", "reviewer_id": "U", "reviewer_name": "Kim", "from": None}
    rating |= {"review_text": "Good", "recommendation_type": "POSITIVE", "open_graph_story_id": "7"}
    _, data = only(page(field="ratings", verb="add", **rating))
    assert (data.text, data.author.name, data.attributes["recommendation"]) == (
        "Good",
        "Kim",
        "POSITIVE",
    )
    _, data = only(page(field="mention", item="post", verb="add", message="@Acme hi"))
    assert data.text == "@Acme hi"
    _, data = only(page(item="photo", verb="add", photo_id="1", link="https://x.example/a"))
    assert [file.url for file in data.attachments] == ["https://x.example/a"]
    liked = page(item="reaction", verb="add", reaction_type="like")
    assert liked.events == [] and codes(liked) == [("not_an_interaction", False)]


def test_a_choice_from_a_list_on_whatsapp_by_twilio_is_read() -> None:
    form = {
        "MessageSid": "SM1",
        "From": "whatsapp:+14155550100",
        "To": "whatsapp:+1415",
        "Body": "",
    }
    _, data = only(run("twilio_sms", {**form, "ListId": "1", "ListTitle": "Billing"}, FORM))
    assert (data.text, data.flags) == ("Billing", [])


def test_what_x_escapes_is_read_as_it_was_typed() -> None:
    post = {"id": "2", "author_id": "9", "text": "@acme 2 &lt; 3 &amp;amp; more"}
    data = {"event_type": "post.mention.create", "event_uuid": "e", "payload": post}
    _, found = only(run("x_activity", {"data": data}))
    assert (found.text, found.reply_text) == (post["text"], "@acme 2 < 3 &amp; more")
    told = {"sender_id": "9", "target": {"recipient_id": "1"}, "message_data": {"text": "A & B"}}
    event = {"type": "message_create", "id": "5", "message_create": told}
    _, found = only(
        run("x_account_activity", {"for_user_id": "1", "direct_message_events": [event]})
    )
    assert (found.text, found.reply_text) == ("A & B", None)


def test_what_libraries_write_for_absent_fields_of_telegram_is_absent() -> None:
    absent = {
        "new_chat_members": [],
        "photo": [],
        "new_chat_photo": [],
        "group_chat_created": False,
    }
    absent |= {
        "delete_chat_photo": False,
        "pinned_message": None,
        "new_chat_title": "",
        "poll": None,
    }
    _, data = only(telegram(text="Where is it?", **absent))
    assert (data.text, data.flags) == ("Where is it?", [])
    _, data = only(telegram(sticker={"file_id": "f"}, text=None, caption=None, **absent))
    assert len(data.attachments) == 1 and data.flags == []
    _, data = only(telegram(something_new={"id": 1}, **absent))
    assert data.text == "(unsupported message: something_new)"
    for note in ({"forum_topic_closed": {}}, {"group_chat_created": True}, {"new_chat_title": "A"}):
        handled = telegram(**{**absent, **note})
        assert handled.events == [] and codes(handled) == [("not_an_interaction", False)]


def test_what_is_told_as_null_of_another_message_makes_it_no_other_message() -> None:
    turn = {"type": "Turn", "turn_order": 0, "transcript": "Hi", "end_of_turn": True}
    turn |= {
        "turn_is_formatted": True,
        "message_type": None,
        "transcript_id": None,
        "messages": None,
    }
    url = "https://omniroute.example/inbound?conversation_key=c"
    assert only(run("assemblyai", turn, url=url))[1].text == "Hi"
    best = {"alternatives": [{"transcript": "Hi"}]}
    live = {"type": "Results", "results": None, "channel": best, "is_final": True, "start": 0}
    assert only(run("deepgram", live, url=url))[1].text == "Hi"
    said = {"results": {"utterances": [{"transcript": "Hi"}]}, "channel": None}
    assert only(run("deepgram", said, url=url))[1].text == "Hi"
    notice = {"transcript_sid": "GT1", "event_type": "voice_intelligence_transcript_available"}
    assert [one.key for one in run("twilio_intelligence", {**notice, "sentences": []}).wanted] == [
        "GT1"
    ]
    told = {"subscriptionId": "s", "changeType": "created", "resource": "users/u/messages/m"}
    told |= {"resourceData": {"id": "m"}, "internetMessageId": None}
    assert [one.key for one in run("msgraph_mail", {"value": [told]}).wanted] == ["s:m:created"]
