"""What helpdesks and bots' platforms send every day beside plain messages."""

from typing import Any

from services.channels.connectors import registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest
from shared.contracts import interactions
from tests.unit.test_connector_ordinary_life import quiet
from tests.unit.test_connector_rare_messages import SECONDS, only, run


def chatwoot(**more: Any) -> Handled:
    payload = {
        "event": "message_updated",
        "id": 9,
        "content": "What is it about?",
        "message_type": "template",
        "account": {"id": 1},
        "conversation": {"id": 3, "meta": {"sender": {"id": 5, "name": "Kim"}}},
        **more,
    }
    return run("chatwoot", payload)


def test_what_a_customer_chooses_in_chatwoot_is_his_message() -> None:
    chosen = {"submitted_values": [{"title": "Billing", "value": "b"}]}
    kind, data = only(chatwoot(content_type="input_select", content_attributes=chosen))
    assert (kind, data.text, data.author.name) == (interactions.MESSAGE, "Billing: b", "Kim")
    assert (data.direction, data.flags, data.in_reply_to) == ("inbound", [], "9")
    address = {"submitted_email": "kim@example.org"}
    _, data = only(chatwoot(content_type="input_email", content_attributes=address))
    assert data.text == "kim@example.org"


def test_a_shared_link_without_an_address_is_its_title() -> None:
    link = {"id": 1, "file_type": "fallback", "fallback_title": "Our shop"}
    said = {"event": "message_created", "message_type": "incoming", "content": None}
    _, data = only(chatwoot(**said, attachments=[link]))
    assert (data.text, data.attachments, data.flags) == ("Our shop", [], [])


def intercom(topic: str, **item: Any) -> Handled:
    return run(
        "intercom", {"topic": topic, "id": "n1", "created_at": SECONDS, "data": {"item": item}}
    )


def test_a_tag_says_nothing_again_and_a_deletion_ends_by_the_conversations_id() -> None:
    part = {"type": "conversation_part", "id": "7", "body": "<p>Said before</p>"}
    quiet(intercom("conversation_part.tag.created", **part))
    kind, data = only(intercom("conversation.deleted", type="conversation", conversation_id="9"))
    assert (kind, data.conversation_key) == (interactions.CONVERSATION_ENDED, "9")


def test_a_head_asks_only_whether_the_address_is_there() -> None:
    connector = registry.get("intercom")
    handled = handle(
        connector,
        connector.settings(),
        {},
        InboundRequest("HEAD", "https://omniroute.example/inbound", (), b"", 0),
        connector_id="desk",
        workspace="acme",
    )
    assert (handled.answer.status, handled.accepted, handled.problems) == (200, False, [])


def test_a_comment_in_zendesk_whose_files_come_apart_is_a_message() -> None:
    comment = {"id": "5", "body": "", "author": {"id": "8"}, "is_public": True}
    payload = {
        "type": "zen:event-type:ticket.comment_added",
        "id": "E1",
        "detail": {"id": "35"},
        "event": {"comment": comment},
    }
    _, data = only(run("zendesk", payload))
    assert (data.text, data.author.role) == ("(comment without text)", "customer")


def test_the_answer_to_a_quoted_message_in_teams() -> None:
    quote = (
        '<blockquote itemtype="http://schema.skype.com/Reply" itemid="42"><p>Old</p></blockquote>'
    )
    activity = {
        "type": "message",
        "id": "2",
        "conversation": {"id": "a:1"},
        "from": {"id": "29:1"},
        "text": "Old\nIt still burns",
        "attachments": [{"contentType": "text/html", "content": f"{quote}<p>It still burns</p>"}],
    }
    _, data = only(run("teams", activity))
    assert (data.text, data.reply_text) == ("Old\nIt still burns", "It still burns")
    assert data.in_reply_to == "42"


def sunshine_v1(trigger: str, **more: Any) -> Handled:
    person = {"_id": "u1", "userId": "kim-7", "givenName": "Kim", "email": "kim@example.org"}
    payload = {
        "trigger": trigger,
        "version": "v1.1",
        "app": {"_id": "a1"},
        "appUser": person,
        "conversation": {"_id": "c1"},
        "timestamp": SECONDS - 1.5,
        **more,
    }
    return run("sunshine", payload)


def test_sunshines_older_webhooks_are_read_as_the_present_ones() -> None:
    said = {
        "_id": "m1",
        "role": "appUser",
        "type": "text",
        "text": "Hi",
        "received": SECONDS - 2.25,
    }
    handled = sunshine_v1("message:appUser", messages=[{**said, "source": {"type": "messenger"}}])
    _, data = only(handled)
    assert (data.text, data.author.name, data.conversation_key) == ("Hi", "Kim", "c1")
    assert {each.scheme for each in data.identities} == {"sunshine", "external", "email"}
    assert handled.events[0].envelope.time == "2026-03-02T09:19:57.750000Z"
    _, data = only(sunshine_v1("message:appMaker", messages=[{**said, "role": "appMaker"}]))
    assert data.flags == ["echo"]
    _, data = only(sunshine_v1("postback", postbacks=[{"action": {"payload": "P", "text": "Yes"}}]))
    assert (data.text, data.attributes["postback"]) == ("Yes", "P")
    failed = {"message": {"_id": "m2"}, "error": {"code": "blocked"}}
    kind, data = only(sunshine_v1("message:delivery:failure", **failed))
    assert kind == interactions.DELIVERY_STATUS and data.delivery_status is not None
    assert (data.delivery_status.message_id, data.delivery_status.status) == ("m2", "failed")
    quiet(sunshine_v1("typing:appUser"))


def test_a_button_in_teams_that_asks_the_bot_is_the_answer_of_who_pressed_it() -> None:
    action = {"type": "Action.Execute", "verb": "person", "data": {"topic": "Billing"}}
    activity = {
        "type": "invoke",
        "name": "adaptiveCard/action",
        "id": "f:1",
        "conversation": {"id": "a:1"},
        "from": {"id": "29:1"},
        "replyToId": "7",
        "value": {"action": action},
    }
    handled = run("teams", activity)
    _, data = only(handled)
    assert (data.text, data.in_reply_to) == ("topic: Billing", "7")
    assert data.attributes["button"] == "person"
    assert "activity.message" in handled.answer.body and handled.answer.status == 200
    quiet(run("teams", {**activity, "name": "composeExtension/query"}))


def test_twilios_event_streams_tell_what_its_forms_tell() -> None:
    data = {"messageSid": "SM1", "from": "+4915112345678", "to": "+4930123456"}
    received = {
        "specversion": "1.0",
        "type": "com.twilio.messaging.inbound-message.received",
        "data": {**data, "body": "Hello", "timestamp": "2026-03-02T09:19:59Z"},
    }
    sent = {"messageSid": "SM2", "from": "+4930123456", "to": "+4915112345678"}
    delivered = {"specversion": "1.0", "type": "com.twilio.messaging.message.delivered"}
    other = {"specversion": "1.0", "type": "com.twilio.voice.status-callback.call.completed"}
    events = [received, {**delivered, "data": {**sent, "messageStatus": "DELIVERED"}}, other]
    first, second = run("twilio_sms", events).events
    assert (first.interaction.text, first.envelope.time) == ("Hello", "2026-03-02T09:19:59Z")
    assert second.interaction.delivery_status is not None
    assert second.interaction.delivery_status.status == "delivered"
    assert first.interaction.conversation_id == second.interaction.conversation_id


def test_a_contact_that_contact_lens_analysed_afterwards() -> None:
    said = {"Id": "t1", "ParticipantId": "p1", "Content": "Hello", "BeginOffsetMillis": 0}
    answer = {"Id": "t2", "ParticipantId": "p2", "Content": "Good day", "BeginOffsetMillis": 900}
    people = [
        {"ParticipantId": "p1", "ParticipantRole": "CUSTOMER"},
        {"ParticipantId": "p2", "ParticipantRole": "AGENT"},
    ]
    summary = {"PostContactSummary": {"Content": "A greeting."}}
    file = {
        "Channel": "VOICE",
        "LanguageCode": "en-US",
        "CustomerMetadata": {"ContactId": "c1", "InstanceId": "i1"},
        "Participants": people,
        "Transcript": [said, answer],
        "ConversationCharacteristics": {"ContactSummary": summary},
    }
    events = [each.interaction for each in run("connect_contact_lens", file).events]
    assert [(each.text, each.author.role) for each in events] == [
        ("Hello", "customer"),
        ("Good day", "agent"),
        ("Summary: A greeting.", "system"),
    ]
    assert {each.conversation_key for each in events} == {"c1"}
    rule = {"detail-type": "Contact Lens Post Call Rules Matched", "detail": {"ruleName": "R"}}
    quiet(run("connect_contact_lens", rule))
