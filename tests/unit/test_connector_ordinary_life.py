"""What vendors send every day beside plain messages: what a customer says in it becomes a message,
and what nobody says is answered without a dead letter."""

import json
from hashlib import sha256
from typing import Any

import pytest

from services.channels.connectors.chat.messagebird_signature import MessageBirdHmac
from services.channels.connectors.handling import Handled
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.signatures import digest
from shared.contracts import interactions
from tests.unit.test_connector_rare_messages import AT, FORM, SECONDS, URL, codes, only, run

MILLIS = AT // 1000


def meta(kind: str, **item: Any) -> Handled:
    people = {"sender": {"id": "U1"}, "recipient": {"id": "P1"}, "timestamp": MILLIS}
    return run(kind, {"entry": [{"id": "P1", "time": MILLIS, "messaging": [{**people, **item}]}]})


def quiet(handled: Handled) -> None:
    """Nothing becomes of it, and nothing is lost."""
    assert handled.events == [] and handled.dead_letter is None, handled.problems
    assert handled.problems and handled.answer.status == 200


# --- WhatsApp, Messenger, Instagram --------------------------------------------------------------


def whatsapp(field: str, **message: Any) -> Handled:
    said = {"from": "4915112345678", "id": "wamid.1", "timestamp": str(SECONDS), **message}
    value = {
        "metadata": {"phone_number_id": "7"},
        "contacts": [{"profile": {"name": "Kim"}, "wa_id": "4915112345678"}],
        "messages": [said],
    }
    entry = {"id": "W", "changes": [{"field": field, "value": value}]}
    return run("whatsapp_cloud", {"entry": [entry]})


def test_whatsapp_told_to_who_does_not_hold_the_thread_is_on_standby() -> None:
    _, data = only(whatsapp("standby", type="text", text={"body": "Hello"}))
    assert (data.text, data.flags) == ("Hello", ["standby"])
    _, data = only(whatsapp("messages", type="text", text={"body": "Hello"}))
    assert (data.text, data.flags) == ("Hello", [])


def test_the_past_of_a_number_that_joins_whatsapps_cloud_api_is_no_new_work() -> None:
    quiet(whatsapp("history", type="text", text={"body": "Half a year ago"}))
    quiet(whatsapp("history", type="image", image={"id": "1", "mime_type": "image/jpeg"}))


def test_a_new_user_id_in_whatsapp_is_the_same_person() -> None:
    system = {"body": "Kim's id changed", "type": "user_changed_user_id", "user_id": "DE.2"}
    _, data = only(whatsapp("messages", type="system", system=system))
    assert ("whatsapp_user", "DE.2") in {(each.scheme, each.value) for each in data.identities}
    assert ("whatsapp", "4915112345678") in {(each.scheme, each.value) for each in data.identities}


def test_a_form_filled_in_whatsapp_is_read_line_by_line() -> None:
    answers = {
        "flow_token": "x",
        "name": "Kim",
        "topics": ["a", "b"],
        "news": False,
        "at": {"zip": 1},
    }
    flow = {
        "type": "nfm_reply",
        "nfm_reply": {"body": "Sent", "response_json": json.dumps(answers)},
    }
    _, data = only(whatsapp("messages", type="interactive", interactive=flow))
    assert data.text == "Sent\nname: Kim\ntopics: a, b\nnews: no\nat.zip: 1"
    assert json.loads(data.attributes["interactive"]["response_json"]) == answers
    told = {"From": "whatsapp:+4915112345678", "To": "whatsapp:+4930123456", "Body": ""}
    told |= {"MessageSid": "SM2", "FlowData": json.dumps(answers)}
    _, data = only(run("twilio_sms", told, FORM))
    assert data.text == "name: Kim\ntopics: a, b\nnews: no\nat.zip: 1"


@pytest.mark.parametrize("kind", ["messenger", "instagram"])
def test_metas_edit_number_0_edits_nothing(kind: str) -> None:
    quiet(meta(kind, message_edit={"mid": "m1", "num_edit": 0}))
    nobody = {"timestamp": MILLIS, "message_edit": {"mid": "m1", "num_edit": 0}}
    quiet(run(kind, {"entry": [{"id": "P1", "messaging": [nobody]}]}))
    edited, _ = only(meta(kind, message_edit={"mid": "m1", "num_edit": 1, "text": "New"}))
    assert edited == interactions.MESSAGE_EDITED


def test_an_opt_in_of_a_visitor_without_an_id_is_no_dead_letter() -> None:
    plugin = {"recipient": {"id": "P1"}, "optin": {"ref": "r", "user_ref": "UR1"}}
    quiet(run("messenger", {"entry": [{"id": "P1", "messaging": [plugin]}]}))
    quiet(meta("messenger", marketing_message_delivery_failed={"reason": "x"}))


def test_what_a_customer_fills_in_for_messenger_is_read() -> None:
    screens = [{"responses": [{"key": "city", "value": "Bonn"}, {"key": "zip", "value": "53111"}]}]
    _, data = only(meta("messenger", messaging_customer_information={"screens": screens}))
    assert (data.text, data.author.role) == ("city: Bonn\nzip: 53111", "customer")


def test_instagrams_heart_is_a_heart() -> None:
    _, data = only(meta("instagram", message={"mid": "m", "attachments": [{"type": "like_heart"}]}))
    assert (data.text, data.flags) == ("❤", [])


# --- Slack ---------------------------------------------------------------------------------------

COMMAND = {
    "command": "/help",
    "text": " My printer burns ",
    "team_id": "T1",
    "channel_id": "C1",
    "user_id": "U1",
    "user_name": "kim",
    "trigger_id": "1.2.3",
}


def test_a_slash_command_with_words_is_what_a_customer_says() -> None:
    _, data = only(run("slack", COMMAND, FORM))
    assert (data.text, data.author.name, data.direction) == ("My printer burns", "kim", "inbound")
    assert data.conversation_key == "T1:C1:command:U1"
    again = {**COMMAND, "text": "Still", "trigger_id": "1.2.4"}
    _, later = only(run("slack", again, FORM))
    assert later.conversation_id == data.conversation_id
    assert later.message_id != data.message_id
    _, direct = only(run("slack", {**COMMAND, "channel_id": "D1"}, FORM))
    assert direct.conversation_key == "T1:D1"


def test_a_command_without_words_an_agents_and_the_check_of_the_certificate_say_nothing() -> None:
    quiet(run("slack", {**COMMAND, "text": ""}, FORM))
    quiet(run("slack", COMMAND, FORM, agents=("U1",)))
    quiet(run("slack", {"ssl_check": "1", "token": "t"}, FORM))


def pressed(kind: str, *actions: dict[str, Any], **more: Any) -> Handled:
    told = {
        "type": kind,
        "user": {"id": "U1", "username": "kim"},
        "team": {"id": "T1"},
        "channel": {"id": "C1"},
        "message": {"ts": "1772443100.000100", "bot_id": "B1"},
        "actions": [*actions],
        **more,
    }
    return run("slack", {"payload": json.dumps(told)}, FORM)


def test_a_button_or_a_choice_in_a_message_is_the_answer_of_who_pressed_it() -> None:
    button = {
        "type": "button",
        "action_id": "human",
        "text": {"type": "plain_text", "text": "A person, please"},
        "value": "h",
        "action_ts": f"{SECONDS}.5",
    }
    _, data = only(pressed("block_actions", button))
    assert (data.text, data.in_reply_to) == ("A person, please", "1772443100.000100")
    assert data.conversation_key == "T1:C1:1772443100.000100"
    option = {"text": {"type": "plain_text", "text": "Billing"}, "value": "b"}
    _, data = only(pressed("block_actions", {"type": "static_select", "selected_option": option}))
    assert data.text == "Billing"


def test_slacks_dialogs_and_shortcuts_are_only_answered() -> None:
    for kind in ("view_submission", "view_closed", "shortcut", "message_action"):
        quiet(pressed(kind))
    quiet(pressed("block_actions", {"type": "button", "value": "x"}, message={}, channel={}))


def test_the_same_told_without_a_form() -> None:
    action = {
        "type": "button",
        "text": {"text": "Yes"},
        "action_id": "a",
        "action_ts": "1772443200.5",
    }
    told = {"user": {"id": "U1"}, "channel": {"id": "C1"}, "message": {"ts": "1772443100.1"}}
    _, data = only(run("slack", {"type": "block_actions", **told, "actions": [action]}))
    assert data.text == "Yes"
    quiet(run("slack", {"type": "view_submission", "user": {"id": "U1"}, "view": {"id": "V1"}}))


def slack(**said: Any) -> Handled:
    event = {"type": "message", "channel": "C1", "ts": f"{SECONDS}.1", "user": "U1"}
    event |= {"event_ts": f"{SECONDS}.1", **said}
    return run(
        "slack", {"type": "event_callback", "team_id": "T1", "event_id": "E1", "event": event}
    )


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("<http://shop.example|shop.example>", "shop.example"),
        ("<mailto:kim@example.org|kim@example.org>", "kim@example.org"),
        ("<https://shop.example/a|our shop>", "our shop (https://shop.example/a)"),
        ("<!subteam^S1|@team> <#C2|general>", "@team #general"),
        ("<!date^1392734382^Posted {date}|Posted 2014-02-18>", "Posted 2014-02-18"),
    ],
)
def test_slacks_markup_is_read_as_it_looks(marked: str, words: str) -> None:
    _, data = only(slack(text=f"See {marked} &amp; go"))
    assert (data.text, data.reply_text) == (f"See {marked} &amp; go", f"See {words} & go")


def test_a_voice_clip_in_slack_says_what_slack_understood() -> None:
    heard = {"status": "complete", "preview": {"content": "I need help", "has_more": False}}
    clip = {"id": "F1", "name": "clip.m4a", "mimetype": "audio/mp4", "transcription": heard}
    _, data = only(slack(subtype="file_share", text="", files=[clip]))
    assert (data.text, len(data.attachments)) == ("I need help", 1)


def test_slackbot_is_no_customer() -> None:
    event = {"type": "message", "channel": "C1", "ts": f"{SECONDS}.1", "user": "USLACKBOT"}
    event |= {"event_ts": f"{SECONDS}.1", "text": "Reminder: stand-up"}
    payload = {"type": "event_callback", "team_id": "T1", "event_id": "E1", "event": event}
    _, data = only(run("slack", payload))
    assert (data.author.role, data.flags) == ("bot", ["echo"])


# --- Twilio ---------------------------------------------------------------------------------------

CALL = {
    "AccountSid": "AC1",
    "CallSid": "CA1",
    "From": "+4915112345678",
    "To": "+4930123456",
    "Direction": "inbound",
}
RECORDING = {"RecordingSid": "RE1", "RecordingUrl": "https://api.twilio.com/RE1"}


def test_a_voicemail_and_its_recording_are_messages() -> None:
    text = {"TranscriptionSid": "TR1", "TranscriptionText": "Call me", "CallStatus": "completed"}
    kind, data = only(run("twilio_transcription", {**CALL, **RECORDING, **text}, FORM))
    assert (kind, data.channel, data.text) == (interactions.MESSAGE, "phone", "Call me")
    assert data.author.id == "+4915112345678" and data.identities[0].scheme == "phone"
    assert data.attachments[0].url == "https://api.twilio.com/RE1"
    failed = {"TranscriptionSid": "TR2", "TranscriptionStatus": "failed", **RECORDING}
    _, data = only(run("twilio_transcription", {**CALL, **failed}, FORM))
    assert data.text == "Voicemail (not transcribed)" and data.attachments
    left = {"CallSid": "CA1", "RecordingSource": "RecordVerb", "RecordingStatus": "completed"}
    _, data = only(
        run("twilio_transcription", {**left, **RECORDING, "RecordingDuration": "8"}, FORM)
    )
    assert (data.text, data.conversation_key) == ("Voicemail (8 s)", "CA1")


def test_recordings_of_calls_and_states_of_calls_are_no_dead_letters() -> None:
    taken = {"CallSid": "CA1", "RecordingSource": "DialVerb", "RecordingStatus": "completed"}
    quiet(run("twilio_transcription", {**taken, **RECORDING}, FORM))
    quiet(run("twilio_transcription", {**CALL, "CallStatus": "completed"}, FORM))
    unknown = {**CALL, "TranscriptionSid": "GT1", "TranscriptionEvent": "transcription-new"}
    assert codes(run("twilio_transcription", unknown, FORM)) == [("unknown_event", True)]


def test_what_is_said_to_a_gather_is_a_segment() -> None:
    said = {**CALL, "SpeechResult": "Cancel it", "Confidence": "0.9", "Language": "en-US"}
    kind, data = only(run("twilio_transcription", said, FORM))
    assert (kind, data.text) == (interactions.TRANSCRIPT_SEGMENT, "Cancel it")
    kind, data = only(run("twilio_transcription", {**CALL, "UnstableSpeechResult": "Can"}, FORM))
    assert (kind, data.text) == (interactions.TRANSCRIPT_PARTIAL, "Can")


def test_a_choice_in_a_whatsapp_list_keeps_its_id() -> None:
    chosen = {"From": "whatsapp:+4915112345678", "To": "whatsapp:+4930123456", "Body": ""}
    chosen |= {"MessageSid": "SM1", "ListId": "b2", "ListTitle": "Billing"}
    _, data = only(run("twilio_sms", chosen, FORM))
    assert (data.text, data.attributes["button"]) == ("Billing", "b2")


# --- Bird, MessageBird ----------------------------------------------------------------------------


def bird(event: str, **more: Any) -> Handled:
    contact = {"id": "ct1", "identifierKey": "phonenumber", "identifierValue": "+4915112345678"}
    message = {
        "id": "m1",
        "channelId": "ch1",
        "sender": {"contact": {**contact, "annotations": {"name": "Kim"}}},
        "receiver": {"contacts": [contact]},
        "body": {"type": "text", "text": {"text": "Hello"}},
        "direction": "incoming",
        "status": "delivered",
        "createdAt": "2026-03-02T09:19:59Z",
        **more,
    }
    return run("messagebird", {"service": "channels", "event": event, "payload": message})


def test_birds_messages_are_read() -> None:
    _, data = only(bird("whatsapp.inbound"))
    assert (data.text, data.author.name, data.author.id) == ("Hello", "Kim", "ct1")
    assert data.conversation_key == "ch1:+4915112345678"
    assert {each.scheme for each in data.identities} == {"bird", "phone"}
    image = {"images": [{"mediaUrl": "https://m.example/1.jpg"}], "text": "Look"}
    _, data = only(bird("whatsapp.inbound", body={"type": "image", "image": image}))
    assert (data.text, data.attachments[0].url) == ("Look", "https://m.example/1.jpg")
    place = {"coordinates": {"latitude": 1.5, "longitude": 2.5}, "location": {"label": "Home"}}
    _, data = only(bird("sms.inbound", body={"type": "location", "location": place}))
    assert data.text == "Location: Home (1.5, 2.5)"


def test_birds_outgoing_messages_are_receipts() -> None:
    kind, data = only(bird("sms.outbound", direction="outgoing", status="delivery_failed"))
    assert kind == interactions.DELIVERY_STATUS and data.delivery_status is not None
    assert (data.delivery_status.message_id, data.delivery_status.status) == ("m1", "failed")
    assert data.conversation_key == "ch1:+4915112345678"
    quiet(bird("sms.outbound", direction="outgoing", status="accepted"))
    quiet(bird("whatsapp.interaction"))


def test_bird_signs_the_address() -> None:
    body = b'{"service":"channels"}'
    message = f"{SECONDS}\n{URL}\n".encode() + sha256(body).digest()
    headers = (
        ("MessageBird-Request-Timestamp", str(SECONDS)),
        ("MessageBird-Signature", digest("sha256", "key", message, "base64")),
    )
    request = InboundRequest("POST", URL, headers, body, AT)
    verify = MessageBirdHmac().verify
    assert verify(request, {"signing_key": ("key",)}) == "valid"
    assert verify(request, {"signing_key": ("other",)}) == "invalid"


def test_pictures_of_an_mms_are_kept() -> None:
    mms = {"id": "1", "originator": "4915112345678", "recipient": "4930123456"}
    _, data = only(run("messagebird", {**mms, "mediaUrls": ["https://m.example/1.jpg"]}))
    assert [each.url for each in data.attachments] == ["https://m.example/1.jpg"]
    assert (data.text, data.flags) == (None, [])
