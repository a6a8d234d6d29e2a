"""Events about calls and posts that vendors send every day, and what becomes of them."""

import json
from typing import Any

import pytest

from tests.unit.test_connector_rare_messages import SECONDS, only, run


def test_a_diarised_recording_without_utterances_is_told_by_speaker() -> None:
    words = [
        {"word": "hello", "punctuated_word": "Hello.", "start": 0.1, "end": 0.4, "speaker": 0},
        {"word": "good", "punctuated_word": "Good", "start": 0.6, "end": 0.8, "speaker": 1},
        {"word": "day", "punctuated_word": "day.", "start": 0.8, "end": 1.0, "speaker": 1},
    ]
    best = {"transcript": "Hello. Good day.", "words": words}
    told = {
        "metadata": {"request_id": "q", "created": "2026-03-02T09:10:00Z"},
        "results": {"channels": [{"alternatives": [best]}]},
    }
    handled = run("deepgram", told, customer_speaker=1)
    said = [(each.interaction.text, each.interaction.author.role) for each in handled.events]
    assert said == [("Hello.", "agent"), ("Good day.", "customer")]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("retell", {"event": "call_inbound", "call_inbound": {"from_number": "+1"}}),
        ("genesys_audiohook", {"version": "2", "type": "dtmf", "id": "s", "parameters": {}}),
        ("genesys_audiohook", {"version": "2", "type": "playback_started", "id": "s"}),
    ],
)
def test_what_nobody_says_is_no_dead_letter(kind: str, payload: dict[str, Any]) -> None:
    handled = run(kind, payload)
    assert handled.events == [] and handled.dead_letter is None


def test_a_channels_post_that_telegram_copies_into_its_group_opens_nothing() -> None:
    message = {
        "message_id": 1,
        "date": SECONDS,
        "chat": {"id": -5, "type": "supergroup"},
        "sender_chat": {"id": -9, "type": "channel", "title": "Our news"},
        "is_automatic_forward": True,
        "text": "We have moved",
    }
    _, data = only(run("telegram", {"update_id": 1, "message": message}))
    assert data.flags == ["suppress"]


def telegram(kind: str, **more: Any) -> Any:
    chat = {"id": 7, "type": "private"}
    message = {"message_id": 1, "date": SECONDS, "chat": chat, "from": {"id": 7}, **more}
    return run("telegram", {"update_id": 1, kind: message})


def test_what_telegram_has_added_of_late() -> None:
    _, data = only(telegram("guest_message", text="Please help me here"))
    assert (data.text, data.author.role) == ("Please help me here", "customer")
    _, data = only(telegram("message", live_photo={"file_id": "L1", "mime_type": "video/mp4"}))
    assert [each.vendor_id for each in data.attachments] == ["L1"]
    for quiet in (telegram("managed_bot"), telegram("message", chat_owner_left={})):
        assert quiet.events == [] and quiet.dead_letter is None


def test_a_whatsapp_calls_other_events_are_no_dead_letters() -> None:
    call = {"id": "c1", "from": "4915112345678", "event": "media_update", "timestamp": "1"}
    value = {"metadata": {"phone_number_id": "7"}, "calls": [call]}
    payload = {"entry": [{"id": "W", "changes": [{"field": "calls", "value": value}]}]}
    handled = run("whatsapp_cloud", payload)
    assert handled.events == [] and handled.dead_letter is None


def test_tiktoks_stickers_are_pictures() -> None:
    content = {"message_id": "m", "conversation_id": "c", "type": "emoji"}
    content |= {"from_user": {"id": "u"}, "emoji": {"url": "https://t.example/e.png"}}
    _, data = only(run("tiktok", {"event": "im_receive_msg", "content": content}))
    assert data.attachments[0].url == "https://t.example/e.png" and data.flags == []


def test_the_owner_of_a_youtube_channel_is_known_by_the_thread() -> None:
    def comment(number: str, who: str) -> dict[str, Any]:
        snippet = {"textOriginal": "Hi", "authorChannelId": {"value": who}}
        return {"id": number, "snippet": snippet}

    thread = {
        "id": "t",
        "snippet": {"channelId": "UCown", "topLevelComment": comment("t", "UCkim")},
        "replies": {"comments": [comment("t.1", "UCown")]},
    }
    first, answer = run("youtube_comments", {"items": [thread]}).events
    assert (first.interaction.author.role, first.interaction.flags) == ("customer", [])
    assert (answer.interaction.author.role, answer.interaction.flags) == ("agent", ["echo"])


@pytest.mark.parametrize(
    "comment",
    [
        "(Translated by Google) Bad\n\n(Original)\nSchlecht",
        "Schlecht\n\n(Translated by Google)\nBad",
    ],
)
def test_a_translated_review_keeps_the_words_as_written(comment: str) -> None:
    review = {"reviewId": "r", "name": "accounts/1/locations/2/reviews/r", "comment": comment}
    reply = {"comment": "Sorry", "updateTime": "2026-03-02T09:00:00Z"}
    said, answer = run("google_reviews", {**review, "reviewReply": reply}).events
    assert (said.interaction.text, said.interaction.reply_text) == (comment, "Schlecht")
    assert (answer.interaction.text, answer.interaction.reply_text) == ("Sorry", None)


def test_a_transcript_in_the_world_transcription_format_is_read_from_a_vcon() -> None:
    wtf = {"transcript": {"text": "Hello. Good day.", "language": "en"}, "segments": []}
    vcon = {
        "vcon": "0.0.2",
        "uuid": "0195544a-0000-8000-8000-000000000001",
        "created_at": "2026-03-02T09:00:00Z",
        "parties": [{"tel": "+4915112345678"}],
        "dialog": [],
        "analysis": [
            {"type": "wtf-transcription", "dialog": 0, "encoding": "json", "body": wtf},
            {"type": "transcript", "encoding": "json", "body": json.dumps({"text": "Bye."})},
        ],
    }
    texts = [each.interaction.text for each in run("vcon", vcon).events]
    assert texts == ["Wtf-transcription: Hello. Good day.", "Transcript: Bye."]
