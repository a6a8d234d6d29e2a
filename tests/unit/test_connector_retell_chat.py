"""Retell's chats, and what its calls carry beside the turns."""

from typing import Any

from services.channels.connectors import registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.posting import posted
from shared.contracts import ids, interactions
from shared.contracts.instants import format_instant, parse_instant

AT = parse_instant("2026-03-02T09:20:00Z")
MS = AT // 1000


def run(payload: dict[str, Any]) -> Handled:
    connector = registry.get("retell")
    return handle(
        connector,
        connector.settings(),
        {},
        posted(payload, AT),
        connector_id="main",
        workspace="acme",
        trial=True,
    )


def chat(event: str, **more: Any) -> Handled:
    return run(
        {"event": event, "chat": {"chat_id": "chat_1", "start_timestamp": MS - 9000, **more}}
    )


WRITTEN = [
    {"role": "user", "message_id": "m1", "created_timestamp": MS - 8000, "content": "Hola 👋"},
    {"role": "tool_call_invocation", "tool_call_id": "t", "name": "look_up", "arguments": "{}"},
    {"role": "tool_call_result", "tool_call_id": "t", "content": "[]"},
    {"role": "node_transition", "new_node_name": "b"},
    {"role": "injected", "content": "internal"},
    {"role": "agent", "message_id": "m2", "created_timestamp": MS - 7000, "content": "¡Hola!"},
]


def test_a_chat_becomes_messages_of_the_channel_chat() -> None:
    handled = chat("chat_ended", message_with_tool_calls=WRITTEN, end_timestamp=MS - 1000)
    found = [
        (e.envelope.type, e.interaction.author.role, e.interaction.text) for e in handled.events
    ]
    assert found == [
        (interactions.MESSAGE, "customer", "Hola 👋"),
        (interactions.MESSAGE, "bot", "¡Hola!"),
        (interactions.CONVERSATION_ENDED, "system", None),
    ]
    conversation = ids.conversation_id("acme", "main", "chat", "chat_1")
    for event in handled.events:
        assert event.interaction.channel == "chat"
        assert event.interaction.conversation_id == conversation
    assert handled.events[0].envelope.time == format_instant(AT - 8_000_000)
    assert [e.interaction.direction for e in handled.events] == ["inbound", "outbound", "inbound"]
    assert handled.problems == []


def test_what_the_analysis_tells_again_is_the_same() -> None:
    ended = chat("chat_ended", message_with_tool_calls=WRITTEN)
    analysis = {
        "chat_summary": "A greeting.",
        "user_sentiment": "Neutral",
        "custom_analysis_data": {},
    }
    analyzed = chat("chat_analyzed", message_with_tool_calls=WRITTEN, chat_analysis=analysis)
    again = [event.envelope.id for event in analyzed.events]
    assert again[:2] == [event.envelope.id for event in ended.events[:2]]
    remark = analyzed.events[2].interaction
    assert (remark.text, remark.flags) == ("Summary: A greeting.", ["suppress"])


def test_a_chat_of_which_only_the_plain_transcript_is_known_is_read_line_by_line() -> None:
    handled = chat("chat_ended", transcript="Agent: Hi\nUser: First line\nsecond line\n")
    texts = [event.interaction.text for event in handled.events]
    assert texts == ["Hi", "First line\nsecond line", None]


def test_a_chat_without_content_or_id_loses_nothing_silently() -> None:
    for empty in ({}, {"message_with_tool_calls": None}, {"message_with_tool_calls": []}):
        assert [e.envelope.type for e in chat("chat_ended", **empty).events] == [
            interactions.CONVERSATION_ENDED
        ]
    lost = run({"event": "chat_ended", "chat": {}})
    assert [(one.code, one.lost) for one in lost.problems] == [("missing_chat", True)]
    note = chat("chat_paused")
    assert [(one.code, one.lost) for one in note.problems] == [("not_an_interaction", False)]


def test_what_was_said_is_taken_from_the_analysis_of_a_call_too() -> None:
    turns = [{"role": "agent", "content": "Hi"}, {"role": "user", "content": "Help"}]
    told = {"call_id": "c", "start_timestamp": MS - 9000, "transcript_object": turns}
    ended = run({"event": "call_ended", "call": told})
    analysis = {"call_summary": "Help wanted."}
    analyzed = run({"event": "call_analyzed", "call": {**told, "call_analysis": analysis}})
    first, second = ([e.envelope.id for e in each.events] for each in (ended, analyzed))
    assert (
        first[:2] == second[:2] and analyzed.events[2].interaction.text == "Summary: Help wanted."
    )


def test_an_sms_during_a_call_is_the_customers_message() -> None:
    sms = {
        "role": "sms",
        "message_id": "s1",
        "content": "12 Main St",
        "created_timestamp": MS - 500,
        "multimedia": [{"url": "https://example.org/a.png", "summary": "A house"}],
    }
    turns = [{"role": "user", "content": "I text you"}, sms]
    told = {
        "call_id": "c",
        "from_number": "+14155550100",
        "transcript_object": turns[:1],
        "transcript_with_tool_calls": turns,
    }
    handled = run({"event": "call_ended", "call": told})
    kinds = [event.envelope.type for event in handled.events]
    assert kinds == [
        interactions.TRANSCRIPT_SEGMENT,
        interactions.MESSAGE,
        interactions.CONVERSATION_ENDED,
    ]
    written = handled.events[1].interaction
    assert (written.text, written.author.role, written.channel) == (
        "12 Main St",
        "customer",
        "phone",
    )
    assert [file.url for file in written.attachments] == ["https://example.org/a.png"]
