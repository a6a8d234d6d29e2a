"""Each kind's fetches against a vendor's API of ours: what is asked, with which secret, and that the
events are those that the webhook would have brought, by the same ids."""

import base64
import ipaddress
import json
from urllib.parse import parse_qs

import pytest

from services.channels.connectors import aws_signature, registry
from services.channels.connectors.fetching import Row, fresh, moved
from services.channels.connectors.handling import handle
from services.channels.connectors.port import InboundRequest
from services.channels.outgoing.errands import fetch_for, media_of, off, passes_of, sorted_out
from services.channels.outgoing.performing import Errand, Performer
from services.channels.outgoing.poller import next_pass_s
from services.channels.outgoing.tokens import Tokens
from services.channels.store import StoredConnector
from shared.contracts.instants import parse_instant
from shared.fetching.ask import Ask
from shared.fetching.client import Client, FetchFailed
from shared.fetching.guard import Guard
from shared.testing.vendor import Says, vendor

pytestmark = pytest.mark.asyncio

AT_US = parse_instant("2026-03-02T09:30:00Z")
AT_S = AT_US // 1_000_000
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
BASIC = "Basic " + base64.b64encode(b"AC1:t").decode()


class Pass:
    """What one pass of a fetch brought."""

    def __init__(self):
        self.events, self.wanted, self.cursor, self.content = [], [], None, None
        self.problems = []

    @property
    def ids(self):
        return [event.envelope.id for event in self.events]

    @property
    def texts(self):
        return [event.interaction.text for event in self.events]


def handled(kind, request, settings, secrets=None):
    connector = registry.load()[kind]
    return handle(
        connector, connector.settings(**settings), secrets or {}, request, connector_id="main",
        workspace="acme", trial=True,
    )  # fmt: skip


async def run(there, kind, purpose, ids=None, cursor=None, secrets=None, **settings):
    """One pass, its payloads handled as the shell handles them."""
    connector, settings = registry.load()[kind], {"api_url": there.url, **settings}
    stored = StoredConnector("acme", "main", kind, True, settings, None, "token", 1)
    secrets = {name: (word,) for name, word in (secrets or {}).items()}
    client, found = Client(Guard(LOOPBACK)), Pass()
    fetch = fetch_for(connector, purpose)
    errand = Errand(
        stored, connector.settings(**settings), secrets, fetch, ids or {}, cursor, AT_US
    )
    try:
        async for page in Performer(client, Tokens(client)).pages(errand):
            assert page.lost is None, page.lost
            for body in page.payloads:
                url = f"https://omniroute.example/inbound?{page.query}"
                headers = (("Content-Type", page.content_type),)
                done = handled(kind, InboundRequest("POST", url, headers, body, AT_US), settings)
                found.events += done.events
                found.wanted += done.wanted
                found.problems += [one for one in done.problems if one.lost]
            found.wanted += page.wanted
            found.cursor = page.cursor if page.cursor is not None else found.cursor
            found.content = page.content if page.content is not None else found.content
    finally:
        await client.aclose()
    return found


def example(kind, name):
    """(the events' ids and texts of an example of a webhook, its payload)."""
    one = next(each for each in registry.load()[kind].examples() if each.name == name)
    events = handled(kind, one.request, {}).events
    return [event.envelope.id for event in events], events, one.request.body


# Reconcilers


async def test_slack_lists_what_its_events_missed():
    ids, events, body = example("slack", "text")
    said = json.loads(body)["event"]
    async with vendor() as there:
        there.on("/api/users.conversations", Says({"ok": True, "channels": [
            {"id": "C1", "context_team_id": "T1"}], "response_metadata": {"next_cursor": ""}}))  # fmt: skip
        old, ts = {"type": "message", "user": "U1", "text": "more", "ts": "1.2"}, said["ts"]
        message = {"type": "message", "user": "U1", "text": said["text"], "ts": ts,
                   "reply_count": 1, "latest_reply": str(AT_S)}  # fmt: skip
        there.on("/api/conversations.history", Says({"ok": True, "messages": [message]}))
        there.on("/api/conversations.replies", Says({"ok": True, "messages": [
            message, {**old, "ts": f"{AT_S}.5", "thread_ts": ts}]}))  # fmt: skip
        listed = await run(
            there, "slack", "reconcile", cursor=str(AT_S - 300), secrets={"bot_token": "t"}
        )
        assert listed.cursor == str(AT_S - 60) and listed.events == []
        (item,) = listed.wanted
        found = await run(there, "slack", "item", item.ids, secrets={"bot_token": "t"})
        assert found.ids == ids and found.texts == [said["text"]]
        assert found.events[0].interaction.conversation_id == events[0].interaction.conversation_id
        assert there.asked[1].query["oldest"] == str(AT_S - 300)
        assert there.asked[1].headers["authorization"] == "Bearer t"
        (thread,) = found.wanted
        replies = await run(there, "slack", "item", thread.ids, secrets={"bot_token": "t"})
        assert replies.texts == [said["text"], "more"] and replies.wanted == []
        conversations = {event.interaction.conversation_id for event in replies.events}
        assert conversations == {events[0].interaction.conversation_id}
        there.on("/api/conversations.history", Says({"ok": False, "error": "not_in_channel"}))
        with pytest.raises(FetchFailed, match="not_in_channel"):
            await run(there, "slack", "item", item.ids, secrets={"bot_token": "t"})


async def test_twilio_lists_messages_by_day_and_keeps_those_that_are_new():
    ids, events, body = example("twilio_sms", "text")
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    listed = {"sid": form["MessageSid"], "account_sid": form["AccountSid"], "from": form["From"],
              "to": form["To"], "body": form["Body"], "direction": "inbound", "num_media": "0",
              "messaging_service_sid": form["MessagingServiceSid"],
              "date_sent": "Mon, 02 Mar 2026 09:20:00 +0000"}  # fmt: skip
    ours = {**listed, "sid": "SMours", "direction": "outbound-api"}
    older = {**listed, "sid": "SMold", "date_sent": "Mon, 02 Mar 2026 08:00:00 +0000"}
    path = "/2010-04-01/Accounts/AC1/Messages.json"
    async with vendor() as there:
        there.on(path, Says({"messages": [ours, listed, older], "next_page_uri": None}))
        more = {"secrets": {"auth_token": "t"}, "account_sid": "AC1"}
        found = await run(
            there, "twilio_sms", "reconcile", cursor="2026-03-02T08:00:00Z|SMold", **more
        )
        assert found.ids == ids and found.texts == ["Is my parcel there?"]
        assert found.events[0].interaction.conversation_id == events[0].interaction.conversation_id
        assert found.events[0].envelope.time.startswith("2026-03-02T09:20:00")
        assert there.asked[0].query["DateSent>"] == "2026-03-02"
        assert there.asked[0].headers["authorization"] == BASIC
        assert found.cursor.startswith("2026-03-02T09:20:00") and "SMtext" in found.cursor
        again = await run(there, "twilio_sms", "reconcile", cursor=found.cursor, **more)
        assert again.events == [] and again.cursor == found.cursor
        photo = {**listed, "sid": "SMphoto", "body": "", "num_media": "1",
                 "date_sent": "Mon, 02 Mar 2026 09:25:00 +0000"}  # fmt: skip
        there.on(path, Says({"messages": [photo]}))
        found = await run(there, "twilio_sms", "reconcile", cursor=found.cursor, **more)
        (item,) = found.wanted
        uri = "/2010-04-01/Accounts/ACexample/Messages/SMphoto/Media"
        there.on(f"{uri}.json", Says({"media_list": [
            {"sid": "ME1", "content_type": "image/png", "uri": f"{uri}/ME1.json"}]}))  # fmt: skip
        found = await run(there, "twilio_sms", "item", item.ids, **more)
        (file,) = found.events[0].interaction.attachments
        assert (file.content_type, file.vendor_id) == ("image/png", "ME1")


async def test_twilio_conversations_lists_each_conversation_back_to_the_last_pass():
    ids, events, _ = example("twilio_conversations", "text")
    said = {"sid": "IM1", "conversation_sid": "CHexample", "account_sid": "ACexample", "index": 4,
            "author": "+4915112345678", "body": "Still no parcel",
            "date_created": "2026-03-02T09:19:59.500Z"}  # fmt: skip
    old = {**said, "sid": "IM0", "date_created": "2026-03-02T07:00:00Z"}
    async with vendor() as there:
        there.on("/v1/Conversations", Says({"conversations": [{"sid": "CHexample"}]}))
        there.on("/v1/Conversations/CHexample/Messages", Says({"messages": [said, old],
            "meta": {"next_page_url": f"{there.url}/v1/never"}}))  # fmt: skip
        more = {"secrets": {"auth_token": "t"}, "account_sid": "AC1"}
        (item,) = (await run(there, "twilio_conversations", "reconcile", **more)).wanted
        found = await run(there, "twilio_conversations", "item", item.ids, **more)
        assert found.ids == ids
        assert found.events[0].interaction.conversation_id == events[0].interaction.conversation_id


async def test_chatwoot_lists_conversations_by_activity_and_their_new_messages():
    ids, events, body = example("chatwoot", "text")
    said = json.loads(body)
    base = "/api/v1/accounts/1/conversations"
    async with vendor() as there:
        live = {"id": 12, "inbox_id": 3, "last_activity_at": AT_S - 30}
        there.on(base, Says({"data": {"payload": [live, {"id": 9, "last_activity_at": 1}]}}))
        message = {"id": 70, "content": said["content"], "message_type": 0, "created_at": AT_S - 60,
                   "sender": said["sender"]}  # fmt: skip
        there.on(
            f"{base}/12/messages",
            Says({"payload": [{**message, "id": 60, "created_at": 5}, message]}),
        )
        more = {"secrets": {"api_access_token": "t"}, "base_url": there.url, "account_id": 1}
        listed = await run(there, "chatwoot", "reconcile", cursor=str(AT_S - 300), **more)
        (item,) = listed.wanted
        found = await run(there, "chatwoot", "item", item.ids, **more)
        assert found.ids == ids
        assert found.events[0].interaction.conversation_id == events[0].interaction.conversation_id
        assert {one.headers["api_access_token"] for one in there.asked} == {"t"}


async def test_intercom_searches_conversations_and_leaves_old_parts_out():
    _, events, body = example("intercom", registry.load()["intercom"].examples()[0].name)
    item = json.loads(body)["data"]["item"]
    async with vendor() as there:
        there.on(
            "/conversations/search", Says({"conversations": [{"id": item["id"]}], "pages": {}})
        )
        parts = [{"id": "old", "body": "old words", "created_at": 5, "author": {"type": "user"}},
                 {"id": "new", "body": "new words", "created_at": AT_S - 9, "author": {"type": "user"}}]  # fmt: skip
        shown = {**item, "created_at": 5, "conversation_parts": {"conversation_parts": parts}}
        there.on(f"/conversations/{item['id']}", Says(shown))
        more = {"secrets": {"access_token": "t"}}
        (wanted,) = (
            await run(there, "intercom", "reconcile", cursor=str(AT_S - 300), **more)
        ).wanted
        asked = json.loads(there.asked[0].body)
        assert asked["query"] == {"field": "updated_at", "operator": ">", "value": AT_S - 300}
        found = await run(there, "intercom", "item", wanted.ids, **more)
        assert found.texts == ["new words"]
        assert found.events[0].interaction.conversation_id == events[0].interaction.conversation_id
        whole = {**item, "created_at": AT_S - 30}
        there.on(f"/conversations/{item['id']}", Says(whole))
        found = await run(there, "intercom", "item", wanted.ids, **more)
        assert set(found.ids) >= {events[0].envelope.id}


async def test_messagebird_lists_conversations_and_their_messages():
    names = [one.name for one in registry.load()["messagebird"].examples()]
    name = next(one for one in names if b'"message.created"' in example("messagebird", one)[2])
    ids, events, body = example("messagebird", name)
    message = {**json.loads(body)["message"], "createdDatetime": "2026-03-02T09:20:00Z"}
    number = message.get("conversationId") or json.loads(body)["conversation"]["id"]
    async with vendor() as there:
        listed = {"id": number, "lastReceivedDatetime": "2026-03-02T09:20:00Z"}
        old = {"id": "gone", "lastReceivedDatetime": "2026-03-01T09:20:00Z"}
        there.on("/v1/conversations", Says({"items": [listed, old]}))
        there.on(f"/v1/conversations/{number}/messages", Says({"items": [message]}))
        more = {"secrets": {"access_key": "k"}}
        (item,) = (await run(there, "messagebird", "reconcile", **more)).wanted
        found = await run(there, "messagebird", "item", item.ids, **more)
        assert found.ids == ids
        assert there.asked[0].headers["authorization"] == "AccessKey k"


async def test_graph_lists_the_inbox_for_what_no_notice_told():
    async with vendor() as there:
        path = "/v1.0/users/help@acme.example/mailFolders/inbox/messages"
        page = [{"id": "m1", "receivedDateTime": "2026-03-02T09:00:00Z"},
                {"id": "m2", "receivedDateTime": "2026-03-02T09:10:00Z"}]  # fmt: skip
        there.on(path, Says({"value": page}))
        more = {"secrets": {"api_token": "t"}, "mailbox": "help@acme.example"}
        cursor = "2026-03-02T09:00:00Z|m1"
        found = await run(there, "msgraph_mail", "reconcile", cursor=cursor, **more)
        assert [one.ids["resource"].rpartition("/")[2] for one in found.wanted] == ["m2"]
        assert found.cursor == "2026-03-02T09:10:00Z|m2"
        assert there.asked[0].query["$filter"] == "receivedDateTime ge 2026-03-02T09:00:00Z"


INBOUND = "https://omniroute.example/v1/workspaces/acme/connectors/main/inbound"
GRAPH_ENDS = "2026-03-08T09:30:00Z"  # six days after AT_US


async def graph_renewal(there):
    ids = {"inbound_url": INBOUND, "client_state": "word"}
    more = {"secrets": {"api_token": "t", "client_state": "word"}, "mailbox": "help@acme.example"}
    return await run(there, "msgraph_mail", "renewal", ids, **more)


def graph_ends(_):
    return Says({"id": "s1", "expirationDateTime": GRAPH_ENDS})


async def test_graph_prolongs_the_subscription_to_this_address():
    other = {"id": "s0", "notificationUrl": "https://elsewhere.example/"}
    async with vendor() as there:
        following = f"{there.url}/v1.0/subscriptions?$skiptoken=2"
        pages = [Says({"value": [other], "@odata.nextLink": following}),
                 Says({"value": [{"id": "s1", "notificationUrl": INBOUND}]})]  # fmt: skip
        there.on("/v1.0/subscriptions", *pages)
        there.on("/v1.0/subscriptions/s1", graph_ends)
        assert (await graph_renewal(there)).cursor == GRAPH_ENDS
        last = there.asked[-1]
        assert (last.method, json.loads(last.body)) == ("PATCH", {"expirationDateTime": GRAPH_ENDS})
        assert {one.headers["authorization"] for one in there.asked} == {"Bearer t"}


@pytest.mark.parametrize("gone", [False, True], ids=["never was", "ended meanwhile"])
async def test_graph_is_subscribed_to_where_no_subscription_is_left(gone):
    listed = [{"id": "s1", "notificationUrl": INBOUND}] if gone else []

    def answer(asked):
        return Says({"value": listed}) if asked.method == "GET" else graph_ends(asked)

    async with vendor() as there:
        there.on("/v1.0/subscriptions", answer)
        there.on("/v1.0/subscriptions/s1", Says({}, 404))
        assert (await graph_renewal(there)).cursor == GRAPH_ENDS
        assert there.asked[-1].method == "POST"
        assert json.loads(there.asked[-1].body) == {
            "changeType": "created",
            "notificationUrl": INBOUND,
            "lifecycleNotificationUrl": INBOUND,
            "resource": "/users/help@acme.example/mailFolders('inbox')/messages",
            "expirationDateTime": GRAPH_ENDS,
            "clientState": "word",
        }


async def test_gmail_is_asked_to_watch_and_says_until_when():
    topic = "projects/acme/topics/mail"
    async with vendor() as there:
        ends_ms = (AT_S + 7 * 86_400) * 1000
        path = "/gmail/v1/users/me/watch"
        there.on(path, Says({"historyId": "1", "expiration": str(ends_ms)}), Says({}))
        found = await run(there, "gmail_push", "renewal", secrets={"api_token": "t"}, topic=topic)
        assert found.cursor == "2026-03-09T09:30:00Z"
        assert json.loads(there.asked[0].body)["topicName"] == topic
        with pytest.raises(AssertionError, match="does not say when"):
            await run(there, "gmail_push", "renewal", secrets={"api_token": "t"}, topic=topic)


async def test_a_lifecycle_notice_hurries_what_it_asks_for():
    connector = registry.load()["msgraph_mail"]
    secrets = {"client_state": ("word",), "api_token": ("t",)}

    def hurried(lifecycle, **settings):
        body = json.dumps({"value": [{"clientState": "word", "subscriptionId": "s",
                                      "lifecycleEvent": lifecycle}]}).encode()  # fmt: skip
        given = connector.settings(**settings)
        wanted = handled(
            "msgraph_mail", InboundRequest("POST", INBOUND, (), body, AT_US), {}
        ).wanted
        owed, passes = sorted_out(connector, given, secrets, wanted, [])
        assert owed == []
        return [one.purpose for one in passes]

    assert hurried("reauthorizationRequired", mailbox="m@x") == ["renewal"]
    assert hurried("subscriptionRemoved", mailbox="m@x") == ["renewal"]
    assert hurried("missed", mailbox="m@x") == ["reconcile"]
    assert hurried("subscriptionRemoved") == []  # without a mailbox it is not ours to renew


async def test_renewals_keep_their_own_pace_and_failures_are_tried_again_soon():
    connector = registry.load()["msgraph_mail"]
    settings = connector.settings(mailbox="m@x", poll_every_s=15)
    secrets = {"client_state": ("word",), "api_token": ("t",)}
    passes = passes_of(connector, settings, secrets)
    assert passes == {"reconcile": 15, "renewal": 43_200}
    assert passes_of(connector, settings, {"api_token": ("t",)}) == {"reconcile": 15}
    waits = [next_pass_s(43_200, failures, None, 0.5) for failures in range(6)]
    assert waits == [43_200, 600, 1200, 2400, 3600, 3600]
    assert next_pass_s(60, 1, None, 0.5) == 120 and next_pass_s(60, 1, 900, 0.5) == 900


async def test_x_is_asked_to_replay_what_the_webhook_missed():
    async with vendor() as there:
        there.on("/2/webhooks/replay", Says({"data": {}}))
        found = await run(
            there, "x_activity", "reconcile", cursor="202603020800", secrets={"bearer_token": "t"}
        )
        assert found.cursor == "202603020930" and found.events == []
        assert there.asked[0].method == "POST"
        assert there.asked[0].query == {"from_date": "202603020800", "to_date": "202603020930"}


# What is announced


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
async def test_amazon_s_own_examples_of_its_signature(query, signature):
    ask = Ask(f"https://examplebucket.s3.amazonaws.com/?{query}")
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    at_us = parse_instant("2013-05-24T00:00:00Z")
    made = aws_signature.signed(ask, "AKIAIOSFODNN7EXAMPLE", key, "us-east-1", "s3", at_us)
    assert made.headers[-1][1].endswith(f"Signature={signature}")


async def test_a_mail_that_ses_put_into_a_bucket_is_fetched_with_a_signature():
    _, _, body = example("ses_sns", "stored in S3")
    (wanted,) = handled("ses_sns", InboundRequest("POST", INBOUND, (), body, AT_US), {}).wanted
    more = {"secrets": {"secret_access_key": "word"}}
    settings = {"region": "eu-central-1", "access_key_id": "AKIA1"}
    raw = b"From: kim@example.org\r\nSubject: Invoice\r\nMessage-ID: <s@x>\r\n\r\nToo much.\r\n"
    async with vendor() as there:
        there.on("/mail/in/ses2", Says(raw))
        ids = {**wanted.ids, "key": wanted.key}
        found = await run(there, "ses_sns", "message", ids, **more, **settings)
        assert found.texts == ["Too much."] and found.events[0].vendor_id == "ses:ses2"
        said = there.asked[0].headers["authorization"]
        assert said.startswith("AWS4-HMAC-SHA256 Credential=AKIA1/20260302/eu-central-1/s3/")
        assert "word" not in said
        with pytest.raises(FetchFailed, match="needs the setting 'region'"):
            await run(there, "ses_sns", "message", ids, **more)
        there.on("/mail/in/ses2", Says({}, 404))
        with pytest.raises(FetchFailed, match="answered 404"):
            await run(there, "ses_sns", "message", ids, **more, **settings)


async def test_transcripts_are_fetched_page_by_page():
    async with vendor() as there:
        path = "/v2/Transcripts/GT1/Sentences"
        one = {"media_channel": 1, "sentence_index": 0, "transcript": "Hello", "start_time": 0.5}
        two = {**one, "sentence_index": 1, "transcript": "World"}
        there.on(path, lambda asked: Says({"sentences": [two]}) if "Page" in asked.query else Says(
            {"sentences": [one], "meta": {"next_page_url": f"{there.url}{path}?Page=1"}}))  # fmt: skip
        ids = {"key": "GT1", "call": "CA1"}
        found = await run(there, "twilio_intelligence", "transcript", ids,
                          secrets={"auth_token": "t"}, account_sid="AC1")  # fmt: skip
        assert found.texts == ["Hello", "World"] and found.problems == []
        assert {event.interaction.conversation_key for event in found.events} == {"CA1"}
        assert there.asked[0].headers["authorization"] == BASIC
        whole = {"id": "a1", "status": "completed", "utterances": [
            {"speaker": "A", "text": "Good day", "start": 0, "end": 900}]}  # fmt: skip
        there.on("/v2/transcript/a1", Says(whole))
        found = await run(there, "assemblyai", "transcript", {"transcript_id": "a1"},
                          secrets={"api_key": "k"})  # fmt: skip
        assert found.texts == ["Good day"] and there.asked[-1].headers["authorization"] == "k"


async def test_a_mention_a_comment_and_a_review_are_fetched_with_their_words():
    async with vendor() as there:
        there.on("/v23.0/178", Says({"mentioned_comment": {"id": "c1", "text": "@shop hello",
            "timestamp": "2026-03-02T09:00:00+0000", "from": {"id": "5", "username": "kim"}}}))  # fmt: skip
        ids = {"account_id": "178", "media_id": "m", "comment_id": "c1"}
        found = await run(there, "instagram", "message", ids, secrets={"access_token": "t"})
        assert found.texts == ["@shop hello"]
        assert "mentioned_comment.comment_id(c1){id,text" in there.asked[0].query["fields"]
        there.on("/open_api/v1.3/business/comment/list/", Says({"code": 0, "data": {"comments": [
            {"comment_id": "77", "text": "Nice", "create_time": AT_S, "unique_identifier": "kim"}]}}))  # fmt: skip
        ids = {"key": "comment:77", "video_id": "v", "business_id": "b"}
        found = await run(there, "tiktok", "message", ids, secrets={"access_token": "t"})
        assert found.texts == ["Nice"] and there.asked[-1].headers["access-token"] == "t"
        review = {"name": "accounts/1/locations/2/reviews/3", "comment": "Fine soup"}
        there.on("/v4/accounts/1/locations/2/reviews/3", Says(review))
        ids = {"review": "accounts/1/locations/2/reviews/3"}
        found = await run(there, "google_reviews", "message", ids, secrets={"access_token": "t"})
        assert found.texts == ["Fine soup"]


async def test_an_id_from_a_payload_cannot_lead_elsewhere_in_the_vendors_api():
    async with vendor() as there:
        for review in ("../../v1/secrets", "a/../../x"):
            with pytest.raises(FetchFailed) as caught:
                await run(there, "google_reviews", "message", {"review": review},
                          secrets={"access_token": "t"})  # fmt: skip
            assert caught.value.permanent
        assert there.asked == []


# Files


async def test_files_are_fetched_as_each_vendor_gives_them():
    async with vendor() as there:
        there.on("/v23.0/55", Says({"url": f"{there.url}/cdn/55", "mime_type": "image/png"}))
        for path in ("/cdn/55", "/file/botB:1/photos/a.jpg", "/v2/bot/message/7/content", "/tmp/1"):
            there.on(path, Says(b"content of " + path.encode()))
        secrets = {"access_token": "w"}
        found = await run(there, "whatsapp_cloud", "media", {"vendor_id": "55"}, secrets=secrets)
        assert found.content == b"content of /cdn/55"
        assert [one.headers["authorization"] for one in there.asked] == ["Bearer w", "Bearer w"]
        there.on("/botB:1/getFile", Says({"ok": True, "result": {"file_path": "photos/a.jpg"}}))
        found = await run(
            there, "telegram", "media", {"vendor_id": "f"}, secrets={"bot_token": "B:1"}
        )
        assert found.content == b"content of /file/botB:1/photos/a.jpg"
        secrets = {"channel_access_token": "l"}
        found = await run(there, "line", "media", {"vendor_id": "7"}, secrets=secrets)
        assert found.content == b"content of /v2/bot/message/7/content"
        there.on("/v2/bot/message/7/content", Says({}, 202))
        with pytest.raises(FetchFailed, match="still prepares") as caught:
            await run(there, "line", "media", {"vendor_id": "7"}, secrets=secrets)
        assert not caught.value.permanent
        there.on("/v1/Services/IS1/Media/ME1",
                 Says({"links": {"content_direct_temporary": f"{there.url}/tmp/1"}}))  # fmt: skip
        ids = {"ChatServiceSid": "IS1", "AccountSid": "AC1", "vendor_id": "ME1"}
        found = await run(there, "twilio_conversations", "media", ids, secrets={"auth_token": "t"})
        assert found.content == b"content of /tmp/1"
        assert "authorization" not in there.asked[-1].headers, "the address itself is the leave"
        there.on("/xrpc/com.atproto.sync.getBlob", Says(b"sky"))
        found = await run(there, "bluesky_jetstream", "media", {"vendor_id": "did:plc:kim/bafy"})
        assert found.content == b"sky"
        assert there.asked[-1].query == {"did": "did:plc:kim", "cid": "bafy"}


async def test_a_secret_goes_to_the_vendors_own_hosts_only():
    """A file's address is of the payload: whoever writes one must not get our token."""
    async with vendor() as there:
        there.on("/stolen", Says(b"x"))
        for kind, secret in (("slack", "bot_token"), ("twilio_sms", "auth_token"),
                             ("teams", "bot_token"), ("mailgun", "api_key")):  # fmt: skip
            ids = {"url": f"http://127.0.0.1:{there.port}/stolen", "AccountSid": "AC1"}
            await run(there, kind, "media", ids, secrets={secret: "word"}, api_url=None)
        assert len(there.asked) == 4
        assert not any("authorization" in one.headers for one in there.asked)


async def test_a_message_names_its_files_once_and_stored_ones_not_at_all():
    _, events, _ = example("slack", "file")
    assert media_of(events[0]) == media_of(events[0]) and len(media_of(events[0])) == 1
    (one,) = media_of(events[0])
    assert one.ids["message"] == events[0].interaction.message_id
    assert one.ids["vendor_id"] == "F1" and one.ids["attachment_index"] == "0"
    _, events, _ = example("email_mime", "first")
    assert events[0].interaction.attachments and media_of(events[0]) == []


# What all kinds keep


@pytest.mark.parametrize("kind", sorted(registry.load()))
async def test_every_declared_fetch_can_be_made(kind):
    connector = registry.load()[kind]
    labels = [one.label for one in connector.fetches]
    assert len(set(labels)) == len(labels)
    for one in connector.fetches:
        assert one.secret is None or one.secret in connector.secrets
        assert set(one.needs) <= connector.settings.model_fields.keys()
        assert one.request.startswith(("GET ", "POST ", "imap:"))
        assert one.purpose not in ("poll", "reconcile") or one.every_s
    stored = StoredConnector("acme", "main", kind, True, {}, None, "token", 1)
    bare = {one["name"] for one in off(stored, {})}
    assert {one.label for one in connector.fetches if one.every_s} <= bare, "nothing runs unasked"


def rows(*stamps):
    return [Row(stamp, f"id-{index}-{stamp}", {}) for index, stamp in enumerate(stamps)]


async def test_a_cursor_lets_nothing_through_twice_and_nothing_slip_at_one_stamp():
    first = rows("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z", "2026-02-02T09:00:00Z")
    assert fresh(first, None, AT_US) == first[:2], "the first pass takes a day"
    cursor = moved(first, None)
    late = Row("2026-03-02T09:00:00Z", "another", {})
    newer = Row("2026-03-02T09:05:00Z", "newer", {})
    assert fresh([newer, late, *first], cursor, AT_US) == [newer, late]
    assert moved([late, *first], cursor).count(",") == 2
    cursor = moved([newer, late, *first], cursor)
    assert fresh([newer, late, *first], cursor, AT_US) == []
    assert moved(first, cursor) is None
    assert fresh(rows("9", "10", "11"), "10|x", AT_US) == rows("9", "10", "11")[1:], "by size"
