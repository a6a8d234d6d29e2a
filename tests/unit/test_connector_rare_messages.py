"""What vendors send seldom: each becomes the event that a reader would expect, or a note."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

from services.channels.connectors import registry
from services.channels.connectors.handling import MAX_EVENTS, Handled, handle
from services.channels.connectors.port import InboundRequest
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Interaction

AT = parse_instant("2026-03-02T09:20:00Z")
SECONDS = AT // 1_000_000
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


URL = "https://omniroute.example/inbound"


def written(payload: Any, content_type: str) -> bytes:
    return (urlencode(payload) if content_type == FORM else json.dumps(payload)).encode()


def run(
    kind: str, payload: Any, content_type: str = JSON, url: str = URL, **settings: Any
) -> Handled:
    connector = registry.get(kind)
    body = payload if isinstance(payload, bytes) else written(payload, content_type)
    headers = (("Content-Type", content_type),)
    return handle(
        connector,
        connector.settings.model_validate(settings),
        {},
        InboundRequest("POST", url, headers, body, AT),
        connector_id="main",
        workspace="acme",
        trial=True,
    )


def only(handled: Handled) -> tuple[str, Interaction]:
    assert len(handled.events) == 1 and handled.dead_letter is None, handled.problems
    return handled.events[0].envelope.type, handled.events[0].interaction


def codes(handled: Handled) -> list[tuple[str, bool]]:
    return [(problem.code, problem.lost) for problem in handled.problems]


def slack(event: dict[str, Any]) -> Handled:
    payload = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event}
    return run("slack", payload)


def test_a_tombstone_of_slack_is_a_deletion_by_the_author_of_what_was_said() -> None:
    ts = f"{SECONDS}.000100"
    said = {"type": "message", "channel": "C1", "channel_type": "channel", "ts": ts, "user": "U1"}
    _, first = only(slack({**said, "text": "My password is x"}))
    stone = {"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
    gone = {
        **{name: said[name] for name in ("type", "channel", "channel_type")},
        "ts": f"{SECONDS + 5}.000100",
        "subtype": "message_changed",
        "message": {**stone, "ts": ts},
        "previous_message": {**said, "text": "My password is x"},
    }
    kind, data = only(slack(gone))
    assert kind == interactions.MESSAGE_DELETED and data.text is None
    assert data.replaces_message_id == first.message_id and data.author.id == "U1"
    assert data.conversation_id == first.conversation_id


def test_a_file_linked_to_a_zendesk_comment_is_kept_and_opens_nothing() -> None:
    file = {"id": 4, "filename": "a.png", "content_type": "image/png", "content_url": "https://z/a"}
    payload = {
        "type": "zen:event-type:ticket.attachment_linked_to_comment",
        "id": "e1",
        "time": "2026-03-02T09:19:50Z",
        "subject": "zen:ticket:7",
        "detail": {"id": "7"},
        "event": {"attachment": file, "comment": {"id": "c1"}},
    }
    kind, data = only(run("zendesk", payload))
    assert (kind, data.flags, data.in_reply_to) == (interactions.MESSAGE, ["suppress"], "c1")
    assert [(each.name, each.url) for each in data.attachments] == [("a.png", "https://z/a")]


def test_a_feedback_template_of_messenger_is_feedback() -> None:
    question = {
        "type": "csat",
        "payload": "4",
        "follow_up": {"type": "free_form", "payload": "quick"},
    }
    item = {
        "sender": {"id": "U"},
        "recipient": {"id": "P"},
        "timestamp": AT // 1000,
        "messaging_feedback": {
            "feedback_screens": [{"screen_id": 0, "questions": {"q": question}}]
        },
    }
    payload = {"object": "page", "entry": [{"id": "P", "messaging": [item]}]}
    kind, data = only(run("messenger", payload))
    assert kind == interactions.FEEDBACK
    assert (data.survey, data.score, data.comment) == ("csat", 4.0, "quick")
    question["payload"] = "later"
    assert codes(run("messenger", payload)) == [("unknown_event", True)]


def mailgun_event(**data: Any) -> Handled:
    proof = {"timestamp": str(SECONDS), "token": "t", "signature": "s"}
    head = {"message": {"headers": {"message-id": "ours@acme.example"}}, "timestamp": SECONDS}
    return run("mailgun", {"signature": proof, "event-data": {"id": "e1", **head, **data}})


def test_a_mail_that_mailgun_still_tries_has_not_failed() -> None:
    assert codes(mailgun_event(event="failed", severity="temporary")) == [
        ("not_an_interaction", False)
    ]
    told = {"code": 550, "message": "5.1.1 no such user", "description": ""}
    _, data = only(mailgun_event(event="failed", severity="permanent", **{"delivery-status": told}))
    assert data.delivery_status is not None
    assert data.delivery_status.error == "5.1.1 no such user"


def test_a_mail_that_mailgun_only_stored_is_to_be_fetched() -> None:
    url = "https://storage.example/v3/domains/acme.example/messages/A"
    form = urlencode({"recipient": "help@acme.example", "message-url": url, "token": "t"}).encode()
    asked = (
        run("mailgun", form, FORM).wanted
        + mailgun_event(event="stored", storage={"url": url}).wanted
    )
    assert [each.ids["message_url"] for each in asked] == [url, url]
    assert codes(run("mailgun", urlencode({"token": "t"}).encode(), FORM)) == [
        ("unusable_payload", True)
    ]


def test_a_test_of_an_sns_topic_is_no_dead_letter() -> None:
    payload = {
        "Type": "Notification",
        "MessageId": "m1",
        "TopicArn": "arn:aws:sns:eu-central-1:1:t",
        "Message": "Successfully validated SNS topic for Amazon SES event publishing.",
    }
    assert codes(run("ses_sns", payload)) == [("operation", False)]


def flux(event: str, text: str) -> Handled:
    turn = {"type": "TurnInfo", "request_id": "r", "turn_index": 2, "event": event}
    return run("deepgram", {**turn, "audio_window_end": 1.5, "transcript": text})


def test_a_turn_of_deepgrams_flux_is_one_utterance() -> None:
    partial, (kind, data) = only(flux("Update", "my inv")), only(flux("EndOfTurn", "My invoice"))
    assert (partial[0], kind) == (interactions.TRANSCRIPT_PARTIAL, interactions.TRANSCRIPT_SEGMENT)
    assert partial[1].message_id == data.message_id and data.conversation_key == "r"
    assert codes(
        run("deepgram", {"request_id": "r", "err_code": "TIMEOUT", "err_msg": "slow"})
    ) == [("operation", False)]


def genesys(text: str, *, final: bool) -> Handled:
    heard = {"offsetMs": 1500, "durationMs": 900, "confidence": 0.9, "transcript": text}
    said = {"utteranceId": "u1", "isFinal": final, "channel": "EXTERNAL", "alternatives": [heard]}
    started = {"transcriptionStartTimeMs": AT // 1000 - 60_000}
    return run("genesys_transcription", {"conversationId": "c1", "transcripts": [said], **started})


def test_a_revised_final_is_the_same_utterance_with_an_event_of_its_own() -> None:
    spoken = [("my in", False), ("my invoice", True), ("my invoice", True), ("My invoice.", True)]
    events = [genesys(text, final=final).events[0] for text, final in spoken]
    assert len({event.interaction.message_id for event in events}) == 1
    ids = [event.envelope.id for event in events]
    assert ids[1] == ids[2], "the same again is the same"
    assert len({ids[0], ids[1], ids[3]}) == 3
    assert len({event.envelope.time for event in events}) == 1, "and it does not look new"


def test_a_session_of_assemblyai_has_each_turn_once_as_it_was_told_last() -> None:
    def turn(order: int, text: str, *, formatted: bool) -> dict[str, Any]:
        return {
            "type": "Turn",
            "turn_order": order,
            "turn_is_formatted": formatted,
            "end_of_turn": True,
            "transcript": text,
        }

    told = [
        turn(0, "my invoice is wrong", formatted=False),
        turn(0, "My invoice is wrong.", formatted=True),
        turn(1, "which one", formatted=False),
    ]
    handled = run("assemblyai", {"session_id": "s1", "messages": told})
    texts = [event.interaction.text for event in handled.events]
    assert texts == ["My invoice is wrong.", "which one"]


def test_a_file_that_stands_in_its_address_is_kept() -> None:
    content = b"PDF" * 100_000
    address = f"data:application/pdf;base64,{base64.b64encode(content).decode()}"
    told = {"contentType": "application/pdf", "name": "bill.pdf", "contentUrl": address}
    activity = {
        "type": "message",
        "id": "1",
        "channelId": "webchat",
        "conversation": {"id": "c"},
        "from": {"id": "kim"},
        "attachments": [told],
    }
    found = run("teams", activity)
    [file] = only(found)[1].attachments
    assert (file.name, file.size, file.url) == ("bill.pdf", len(content), None)
    assert [(blob.sha256, blob.content) for blob in found.blobs] == [(file.sha256, content)]


def test_a_test_by_metas_dashboard_is_a_message() -> None:
    people = {"sender": {"id": "12334"}, "recipient": {"id": "23245"}, "timestamp": SECONDS * 1000}
    said = {**people, "message": {"mid": "m1", "text": "random_text"}}
    for kind, field in (
        ("messenger", "messages"),
        ("instagram", "messages"),
        ("messenger", "standby"),
    ):
        change = {"field": field, "value": said}
        entry = {"id": "23245", "time": SECONDS, "changes": [change]}
        _, data = only(run(kind, {"object": "page", "entry": [entry]}))
        assert (data.text, data.conversation_key) == ("random_text", "23245:12334")
        assert data.flags == (["standby"] if field == "standby" else [])


def line(**event: Any) -> Handled:
    told = {"mode": "active", "timestamp": SECONDS * 1000, "webhookEventId": "01E", **event}
    return run("line", {"destination": "U0", "events": [told]})


def test_what_line_tells_of_the_channel_itself_is_no_dead_letter() -> None:
    for kind in ("botSuspended", "delivery", "module"):
        assert codes(line(type=kind)) == [("not_an_interaction", False)]
    assert codes(line(type="message")) == [("missing_source", True)]


def test_a_turn_of_lines_menu_opens_no_task() -> None:
    person = {"type": "user", "userId": "U1"}
    params = {"newRichMenuAliasId": "more", "status": "SUCCESS"}
    _, data = only(line(type="postback", source=person, postback={"data": "p", "params": params}))
    assert "suppress" in data.flags and data.attributes["postback"] == "p"
    day = {"date": "2026-03-04"}
    _, data = only(line(type="postback", source=person, postback={"data": "p", "params": day}))
    assert (data.text, data.flags) == ("2026-03-04", [])


def test_whatever_was_written_in_intercom_is_read() -> None:
    author = {"type": "admin", "id": "7"}
    for kind, note in (("note_and_reopen", True), ("assign_and_reopen", False)):
        part = {"id": "1", "part_type": kind, "body": "<p>Now</p>", "author": author}
        parts = {"conversation_parts": [{**part, "created_at": SECONDS}]}
        item = {"type": "conversation", "id": "9", "conversation_parts": parts}
        payload = {"topic": "conversation.admin.assigned", "data": {"item": item}}
        _, data = only(run("intercom", payload))
        assert (data.text, data.attributes.get("note", False)) == ("Now", note)


def test_several_languages_at_once_are_no_language() -> None:
    form = {"CallSid": "CA1", "TranscriptionSid": "GT1", "SequenceId": "2", "LanguageCode": "multi"}
    said = {"TranscriptionEvent": "transcription-content", "Track": "inbound_track"}
    said["TranscriptionData"] = json.dumps({"transcript": "hallo", "confidence": 0.9})
    _, data = only(run("twilio_transcription", {**form, **said}, FORM))
    assert (data.text, data.language) == ("hallo", None)


def test_our_own_direct_message_on_x_belongs_to_whom_it_went() -> None:
    said = {"id": "9", "sender_id": "1", "text": "Hello", "dm_conversation_id": "2-1"}
    data = {"event_type": "dm.sent", "filter": {"user_id": "1"}, "payload": said}
    assert only(run("x_activity", {"data": data}))[1].conversation_key == "1:dm:2"
    nobody = {name: said[name] for name in ("id", "sender_id", "text")}
    found = run("x_activity", {"data": {**data, "payload": nobody}})
    assert codes(found) == [("missing_recipient", True)] and not found.events


def told_by_sendgrid(count: int) -> Handled:
    each = {"email": "kim@example.org", "timestamp": SECONDS, "event": "delivered"}
    events = [{**each, "smtp-id": f"<{n}@acme>", "sg_event_id": f"e{n}"} for n in range(count)]
    return run("sendgrid_inbound", events)


def test_a_large_batch_is_read_whole_and_a_larger_one_is_told() -> None:
    found = told_by_sendgrid(2_500)
    assert (len(found.events), found.problems) == (2_500, [])
    found = told_by_sendgrid(MAX_EVENTS + 1)
    assert len(found.events) == MAX_EVENTS
    assert found.dead_letter is not None and found.dead_letter.code == "too_many_events"


def test_mapping_rules_read_a_long_list_and_tell_of_a_longer_one() -> None:
    fields = {"conversation_key": "item.c", "text": "item.t + body.from.name"}
    rules = {"items": "body.list", "fields": fields}
    said = [{"c": "1", "t": f"{n} ", "a": {"b": [n]}} for n in range(1_001)]
    found = run("mapping", {"list": said[:-1], "from": {"name": "Kim"}}, **rules)
    texts = [event.interaction.text for event in found.events]
    assert (len(texts), texts[0], texts[-1]) == (1_000, "0 Kim", "999 Kim")
    assert found.problems == []
    found = run("mapping", {"list": said, "from": {"name": "Kim"}}, **rules)
    assert codes(found) == [("too_many_events", True)]
    found = run(
        "mapping", {"list": said[:2], "from": {"name": "Kim"}, "more": [0] * 50_000}, **rules
    )
    assert ("too_many_values", True) in codes(found)
