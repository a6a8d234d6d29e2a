"""What the social vendors' payloads mean, where their formats have traps."""

import base64
import json
from typing import Any

import pytest

from services.channels.connectors.handling import Handled
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.posting import encoded, posted
from services.channels.connectors.social import tiktok, x_events
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Identity
from tests.unit.vendor_payloads import codes, handled, only

NOW_US = parse_instant("2026-03-02T09:30:00Z")


def run(kind: str, payload: Any, **settings: Any) -> Handled:
    return handled(kind, posted(payload, NOW_US), {}, trial=True, **settings)


def types(found: Handled) -> list[str]:
    return [event.envelope.type for event in found.events]


# --- Instagram ----------------------------------------------------------------------------------


def instagram(field: str, value: Any) -> Handled:
    entry = {"id": "1", "time": NOW_US // 1_000_000, "changes": [{"field": field, "value": value}]}
    return run("instagram", {"object": "instagram", "entry": [entry]})


def test_replies_to_a_comment_are_its_conversation_and_our_own_are_echoes() -> None:
    person = {"id": "9", "username": "kim"}
    _, first = only(instagram("comments", {"id": "c1", "text": "Size?", "from": person}))
    ours = {"id": "c2", "parent_id": "c1", "text": "All", "from": {"id": "1", "username": "shop"}}
    _, answer = only(instagram("comments", ours))
    assert answer.conversation_id == first.conversation_id
    assert (answer.direction, answer.flags) == ("outbound", ["echo"])
    assert Identity("instagram_username", "kim") in first.identities


def test_a_mention_must_be_fetched() -> None:
    found = instagram("mentions", {"media_id": "m", "comment_id": "c"})
    assert found.events == [] and found.dead_letter is None
    assert [(w.purpose, w.ids) for w in found.wanted] == [
        ("message", {"account_id": "1", "media_id": "m", "comment_id": "c"})
    ]


# --- TikTok -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_s", "verdict"), [(0, "valid"), (301, "invalid"), (-301, "invalid")])
def test_tiktok_signs_its_time(late_s: int, verdict: str) -> None:
    request = tiktok.sign({"event": "im_receive_msg"}, NOW_US)
    late = InboundRequest(
        "POST", request.url, request.headers, request.body, NOW_US + late_s * 1_000_000
    )
    secrets = {"client_secret": ("example-client-secret",)}
    assert handled("tiktok", late, secrets).verdict == verdict
    for header in ("", "t=1", "s=abc", "t=x,s=y", f"t={NOW_US // 1_000_000},s="):
        forged = posted({"event": "im_receive_msg"}, NOW_US, ("TikTok-Signature", header))
        assert handled("tiktok", forged, secrets).verdict == "invalid"


def test_what_the_business_sends_on_tiktok_is_an_echo() -> None:
    content = {"conversation_id": "c", "message_id": "m", "type": "text", "text": {"body": "Hi"}}
    content["from_user"] = {"id": "biz"}
    payload = {"event": "im_receive_msg", "user_openid": "biz", "content": json.dumps(content)}
    assert only(run("tiktok", payload))[1].flags == ["echo"]


# --- X ------------------------------------------------------------------------------------------


def activity(kind: str, payload: Any, owner: str = "100") -> Handled:
    data = {"event_uuid": "u", "event_type": kind, "filter": {"user_id": owner}, "payload": payload}
    return run("x_activity", {"data": data})


POST = {"id": "5", "author_id": "200", "conversation_id": "1", "text": "@shop hi"}


def test_a_post_that_is_a_mention_and_a_reply_counts_once() -> None:
    first, second = (activity(f"post.{name}.create", POST) for name in ("mention", "reply"))
    assert first.events[0].envelope.id == second.events[0].envelope.id


def test_our_own_post_is_in_the_customers_conversation() -> None:
    _, said = only(activity("post.mention.create", POST))
    answer = {**POST, "id": "6", "author_id": "100", "in_reply_to_user_id": "200"}
    _, ours = only(activity("post.create", answer))
    assert ours.conversation_id == said.conversation_id
    assert (ours.direction, ours.author.role, ours.flags) == ("outbound", "agent", ["echo"])


def test_encrypted_chats_are_kept_as_dead_letters() -> None:
    found = activity("chat.received", {"encoded_event": "…"})
    assert codes(found) == ["encrypted"] and found.dead_letter is not None
    assert found.answer.status == 200


def test_crc_is_signed_with_the_newest_secret_and_needs_one() -> None:
    request = InboundRequest("GET", "https://a.example/?crc_token=abc", (), b"", NOW_US)
    found = handled("x_activity", request, {"consumer_secret": ("new", "old")})
    expected = x_events.SIGNATURE.sign("new", b"abc")
    assert json.loads(found.answer.body) == {"response_token": expected}
    assert not handled("x_activity", request, {}).accepted


def test_both_sides_of_a_direct_message_are_one_conversation() -> None:
    def message(sender: str, to: str) -> dict[str, Any]:
        create = {"sender_id": sender, "target": {"recipient_id": to}}
        create["message_data"] = {"text": "Hi"}  # type: ignore[assignment]
        return {"type": "message_create", "id": sender, "message_create": create}

    payload = {"for_user_id": "1", "direct_message_events": [message("2", "1"), message("1", "2")]}
    found = run("x_account_activity", payload)
    theirs, ours = (event.interaction for event in found.events)
    assert theirs.conversation_id == ours.conversation_id
    assert (theirs.flags, ours.flags) == ([], ["echo"])


def test_the_older_activities_that_say_nothing_are_notes() -> None:
    found = run("x_account_activity", {"for_user_id": "1", "favorite_events": [{"id": "1"}]})
    assert codes(found) == ["not_an_interaction"] and found.dead_letter is None


# --- Mastodon, Bluesky --------------------------------------------------------------------------

STATUS = {
    "id": "1",
    "uri": "https://m.example/1",
    "created_at": "2026-03-02T09:00:00Z",
    "content": "<p>Hi<br>there</p>",
    "account": {"acct": "kim@m.example", "username": "kim"},
}


def test_a_stream_of_mastodon_has_json_in_its_json() -> None:
    event = {"stream": ["user"], "event": "notification"}
    event["payload"] = json.dumps({"id": "9", "type": "mention", "status": STATUS})
    kind, data = only(run("mastodon", event))
    assert (kind, data.text) == (interactions.MESSAGE, "Hi\nthere")
    assert data.author.id == "kim@m.example" and data.vendor["notification_id"] == "9"
    assert only(run("mastodon", {"event": "delete", "payload": "1"}))[1].message_id == (
        data.message_id
    )
    own = run("mastodon", STATUS, account="kim@m.example")
    assert only(own)[1].flags == ["echo"]


def commit(record: Any, **more: Any) -> dict[str, Any]:
    fields = {"operation": "create", "collection": "app.bsky.feed.post", "rkey": "k", "rev": "1"}
    body = {**fields, "record": record, **more}
    return {"did": "did:plc:kim", "time_us": NOW_US, "kind": "commit", "commit": body}


def test_only_what_concerns_us_is_taken_from_the_firehose() -> None:
    mine = {"did": "did:plc:us", "only_mine": True}
    facet = {"features": [{"did": "did:plc:us"}]}
    root = {"uri": "at://did:plc:us/app.bsky.feed.post/1"}
    for record, taken in (
        ({"text": "hello"}, 0),
        ({"text": "@us hello", "facets": [facet]}, 1),
        ({"text": "answer", "reply": {"root": root, "parent": root}}, 1),
    ):
        assert len(run("bluesky_jetstream", commit(record), **mine).events) == taken
    assert types(run("bluesky_jetstream", commit(None, operation="delete"), **mine)) == [
        interactions.MESSAGE_DELETED
    ]


def test_a_like_opens_nothing() -> None:
    like = commit({"subject": {"uri": "at://x/y/z"}}, collection="app.bsky.feed.like")
    _, data = only(run("bluesky_jetstream", like))
    assert (data.text, data.flags) == (None, ["suppress"])
    assert data.in_reply_to == "at://x/y/z"


# --- polled: YouTube, Google, Reddit ------------------------------------------------------------


def test_an_edit_that_a_poller_sees_first_is_a_message_and_its_edit() -> None:
    snippet = {
        "textOriginal": "Which?",
        "publishedAt": "2026-03-02T09:00:00Z",
        "updatedAt": "2026-03-02T09:10:00Z",
    }
    comment = {"id": "c", "snippet": snippet}
    found = run("youtube_comments", comment)
    assert types(found) == [interactions.MESSAGE, interactions.MESSAGE_EDITED]
    message, edit = (event.interaction for event in found.events)
    assert edit.replaces_message_id == message.message_id == edit.message_id
    before = {"id": "c", "snippet": {**snippet, "updatedAt": snippet["publishedAt"]}}
    assert run("youtube_comments", before).events[0].envelope.id == found.events[0].envelope.id


def test_replies_below_a_video_are_its_threads_and_ours_are_echoes() -> None:
    def comment(number: str, who: str) -> dict[str, Any]:
        return {"id": number, "snippet": {"textOriginal": "Hi", "authorChannelId": {"value": who}}}

    thread = {"id": "t", "snippet": {"topLevelComment": comment("t", "UCkim")}}
    thread["replies"] = {"comments": [comment("t.1", "UCus")]}  # type: ignore[dict-item]
    found = run("youtube_comments", {"items": [thread]}, channel_id="UCus")
    theirs, ours = (event.interaction for event in found.events)
    assert theirs.conversation_id == ours.conversation_id and ours.flags == ["echo"]


def test_stars_without_words_are_readable() -> None:
    review = {"name": "accounts/1/locations/2/reviews/3", "starRating": "FOUR"}
    _, data = only(run("google_reviews", review))
    assert (data.text, data.attributes["rating"]) == ("Rated 4 of 5", 4)


def test_a_notice_of_google_names_a_review_to_fetch() -> None:
    notice = encoded(
        {"notificationType": "UPDATED_REVIEW", "reviewName": "accounts/1/locations/2/reviews/3"}
    )
    push = {"message": {"messageId": "1", "data": base64.b64encode(notice).decode()}}
    found = run("google_reviews", push)
    assert [want.ids for want in found.wanted] == [{"review": "accounts/1/locations/2/reviews/3"}]
    assert codes(run("google_reviews", {"message": {"data": "§"}})) == ["bad_notice"]


def test_reddit_private_messages_are_one_conversation_per_first_message() -> None:
    def private(name: str, author: str, dest: str, first: str | None) -> dict[str, Any]:
        data = {"name": name, "author": author, "dest": dest, "body": "Hi"}
        return {"kind": "t4", "data": {**data, "first_message_name": first}}

    listing = [private("t4_a", "kim", "shop", None), private("t4_b", "shop", "kim", "t4_a")]
    found = run("reddit", {"kind": "Listing", "data": {"children": listing}}, username="Shop")
    first, second = (event.interaction for event in found.events)
    assert first.conversation_id == second.conversation_id
    assert (first.flags, second.flags) == ([], ["echo"])


def test_pages_without_items_lose_nothing() -> None:
    for kind, page in (
        ("youtube_comments", {"items": []}),
        ("google_reviews", {"reviews": []}),
        ("reddit", {"kind": "Listing", "data": {"children": []}}),
        ("bluesky_jetstream", {"notifications": []}),
        ("mastodon", []),
    ):
        found = run(kind, page)
        assert found.events == [] and found.dead_letter is None, kind
