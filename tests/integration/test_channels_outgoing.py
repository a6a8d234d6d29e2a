"""What vendors announce is fetched, what they never push is polled: on real PostgreSQL, against
vendors' APIs of ours, with processes that end in between."""

import asyncio
import base64
import ipaddress
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from services.channels.connectors import fetching
from services.channels.connectors.chat import slack
from services.channels.connectors.email import email_mime, gmail_push
from services.channels.connectors.port import Wanted
from services.channels.connectors.posting import signed
from services.channels.outgoing import performing
from services.channels.outgoing.store import LostPoll, OutgoingStore
from services.cli.doctor import passes_found
from services.cli.system import system
from shared.settings import Settings
from shared.testing.imap import mailbox
from shared.testing.postgres_fixtures import fresh_database
from shared.testing.vendor import Says, vendor

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PATIENCE_S = 20
MAIL = b"From: Kim <kim@example.org>\r\nTo: help@acme.example\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n\r\nHello, where is it?\r\n"


def mail(name):
    return MAIL % (name.encode(), name.encode())


async def eventually(look, patience_s=PATIENCE_S):
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {patience_s} s")


class House:
    """A running channels service with the workspace acme."""

    def __init__(self, running, token):
        self.running = running
        self.parts = running.parts
        self.http = httpx.AsyncClient(
            base_url=f"{running.url}/v1/workspaces/acme",
            headers={"Authorization": f"Bearer {token}"},
        )

    async def put(self, name, kind, settings, secrets):
        body = {"kind": kind, "settings": settings, "secrets": secrets}
        answer = await self.http.put(f"/connectors/{name}", json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def fetching(self, name):
        answer = await self.http.get(f"/connectors/{name}")
        return answer.json()["fetching"]

    async def sql(self, statement, **values):
        async with self.parts.engine.begin() as connection:
            found = await connection.execute(text(statement), values)
            return found.all() if found.returns_rows else []

    async def due(self, name):
        await self.sql(
            "UPDATE channels.poll SET next_at = now() WHERE connector = :name", name=name
        )
        self.running.app.state.channels.errands.due.set()

    async def texts(self, connector, count):
        """The texts of a connector's messages, once there are so many."""

        async def look():
            found = await self.sql(
                "SELECT coalesce(edit_text, text) AS text FROM channels.message"
                " JOIN channels.conversation USING (workspace, conversation_id)"
                " WHERE connector = :name AND message.time IS NOT NULL"
                " ORDER BY message.time, message_id",
                name=connector,
            )
            return [one.text for one in found] if len(found) >= count else None

        return await eventually(look)

    async def begun(self, name):
        """Once the connector's poller has made its first good pass, and noted it."""
        await eventually(lambda: self._last(name, None))

    async def passed(self, name, times=1, label=None):
        """Once the connector's poller has made so many more good passes."""
        for _ in range(times):
            before = await self._last(name, label)
            await self.due(name)

            async def look(before=before):
                last = await self._last(name, label)
                return True if last is not None and last != before else None

            await eventually(look)

    async def _last(self, name, label):
        passes = (await self.fetching(name))["passes"]
        return (
            max(
                (one["last_success_at"] or "" for one in passes if label in (None, one["name"])),
                default="",
            )
            or None
        )


@asynccontextmanager
async def house_on(url, folder, new=True):
    settings = Settings(
        data_dir=folder, database_url=url, port=0, partitions=2, fetch_allow=LOOPBACK
    )
    async with system(settings, "channels") as running:
        if new:
            await running.parts.platform.create_workspace("acme", 2, {})
        _, token = await running.parts.keys.create("acme", "admin", "admin")
        made = House(running, token)
        try:
            yield made
        finally:
            await made.http.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres_url, migrated_template, tmp_path_factory):
    async with fresh_database(postgres_url, migrated_template) as url:
        async with house_on(url, tmp_path_factory.mktemp("outgoing")) as made:
            yield made


NOW = datetime.now(UTC).replace(microsecond=0)


def iso(ago_s=0):
    return datetime.fromtimestamp(NOW.timestamp() - ago_s, UTC).isoformat().replace("+00:00", "Z")


# Gmail: a push, the history, the mails


def gmail_mails(there, names):
    for name in names:
        raw = base64.urlsafe_b64encode(mail(name)).decode()
        there.on(
            f"/gmail/v1/users/me/messages/{name}", Says({"id": name, "threadId": name, "raw": raw})
        )


async def push(house, connector):
    payload = {"message": {"messageId": f"p{time.time_ns()}", "data": base64.b64encode(
        b'{"emailAddress": "help@acme.example", "historyId": 12}').decode()}}  # fmt: skip
    at_us = time.time_ns() // 1000
    url = (await house.http.get(f"/connectors/{connector}")).json()["inbound_url"]
    request = gmail_push.sign(payload, at_us, url=url)
    answer = await house.http.post(url, content=request.body, headers=dict(request.headers))
    assert answer.status_code == 200, answer.text


def gmail_secrets():
    example = gmail_push.examples()[0].secrets
    return {name: list(values) for name, values in example.items()} | {
        "client_id": "id",
        "client_secret": "word",
        "refresh_token": "again",
    }


async def test_a_push_of_gmail_becomes_the_mail_that_it_announced(house):
    async with vendor() as there:
        there.on("/token", Says({"access_token": "t-1", "expires_in": 3600}))
        there.on("/gmail/v1/users/me/profile", Says({"historyId": "10"}))
        there.on("/gmail/v1/users/me/messages", Says({"messages": [{"id": "a"}]}))
        added = [{"messagesAdded": [{"message": {"id": one}}]} for one in ("a", "b")]
        draft = {"messagesAdded": [{"message": {"id": "d", "labelIds": ["DRAFT"]}}]}
        there.on(
            "/gmail/v1/users/me/history",
            lambda asked: (
                Says({"history": [*added, draft], "historyId": "12"})
                if asked.query["startHistoryId"] == "10"
                else Says({"historyId": "12"})
            ),
        )
        gmail_mails(there, ("a", "b"))
        await house.put("gmail", "gmail_push", {"api_url": there.url}, gmail_secrets())
        await push(house, "gmail")
        assert await house.texts("gmail", 1)
        await push(house, "gmail")
        assert len(await house.texts("gmail", 2)) == 2
        assert (
            there.asked_of("/gmail/v1/users/me/messages/a")[0].headers["authorization"]
            == "Bearer t-1"
        )
        assert there.asked_of("/gmail/v1/users/me/messages/a")[0].query == {"format": "raw"}
        assert there.asked_of("/gmail/v1/users/me/messages/d") == []
        assert len(there.asked_of("/token")) == 1
        status = await house.fetching("gmail")
        assert status["owed"] == 0 and status["passes"][0]["cursor"] == "12"


async def test_a_history_that_the_vendor_forgot_is_looked_up_anew_and_a_token_renewed(house):
    async with vendor() as there:
        there.on("/token", Says({"access_token": "old"}), Says({"access_token": "new"}))

        def profile(asked):
            good = asked.headers["authorization"] == "Bearer new"
            return Says({"historyId": "90"}) if good else Says({}, 401)

        there.on("/gmail/v1/users/me/profile", profile)
        there.on("/gmail/v1/users/me/history", Says({"error": "too old"}, 404))
        there.on("/gmail/v1/users/me/messages", Says({"messages": [{"id": "n"}]}))
        gmail_mails(there, ("n",))
        await house.put("gmail2", "gmail_push", {"api_url": there.url}, gmail_secrets())
        await house.passed("gmail2")
        assert len(await house.texts("gmail2", 1)) == 1
        await house.passed("gmail2")
        assert len(there.asked_of("/gmail/v1/users/me/history")) >= 1
        assert (await house.fetching("gmail2"))["passes"][0]["cursor"] == "90"
        assert len(await house.texts("gmail2", 1)) == 1


# What goes wrong


async def graph(house, name, there, **settings):
    secrets = {"client_state": "state", "api_token": "t"}
    await house.put(name, "msgraph_mail", {"api_url": there.url, **settings}, secrets)


async def notice(house, name, message):
    body = {"value": [{"clientState": "state", "subscriptionId": "s", "changeType": "created",
                       "resource": f"users/u/messages/{message}",
                       "resourceData": {"id": message}}]}  # fmt: skip
    answer = await house.http.post(f"/connectors/{name}/inbound", json=body)
    assert answer.status_code == 202, answer.text


def graph_mail(name):
    return {
        "id": name,
        "internetMessageId": f"<{name}@x>",
        "subject": name,
        "receivedDateTime": iso(),
        "body": {"contentType": "text", "content": f"words of {name}"},
        "from": {"emailAddress": {"address": "kim@example.org"}},
    }


async def test_a_busy_vendor_is_asked_again_when_it_says(house):
    async with vendor() as there:
        busy = Says({}, 429, {"Retry-After": "1"})
        there.on("/v1.0/users/u/messages/m1", busy, Says({}, 503), Says(graph_mail("m1")))
        await graph(house, "graph", there)
        await notice(house, "graph", "m1")
        await notice(house, "graph", "m1")  # told twice, owed once
        assert await house.texts("graph", 1) == ["words of m1"]
        assert len(there.asked) == 3
        assert (await house.fetching("graph"))["owed"] == 0


async def test_what_cannot_be_had_is_a_dead_letter_with_a_reason_and_can_be_replayed(house):
    async with vendor() as there:
        there.on("/v1.0/users/u/messages/m2", Says({}, 400), Says(graph_mail("m2")))
        await graph(house, "graph2", there)
        await notice(house, "graph2", "m2")

        async def letters():
            found = (await house.http.get("/dead-letters")).json()["dead_letters"]
            mine = [one for one in found if one["connector"] == "graph2"]
            return mine or None

        letter = (await eventually(letters))[0]
        assert letter["reason"] == "fetch_failed" and "answered 400" in letter["detail"]
        assert (await house.fetching("graph2"))["owed"] == 0
        answer = await house.http.post(f"/dead-letters/{letter['id']}:replay")
        assert answer.status_code == 202
        assert await house.texts("graph2", 1) == ["words of m2"]


async def test_an_answer_that_is_no_mail_is_kept_as_a_dead_letter_and_blocks_nothing(house):
    async with vendor() as there:
        there.on("/v1.0/users/u/messages/bad", Says(b"\x00 not JSON"))
        there.on("/v1.0/users/u/messages/good", Says(graph_mail("good")))
        await graph(house, "graph3", there)
        await notice(house, "graph3", "bad")
        await notice(house, "graph3", "good")
        assert await house.texts("graph3", 1) == ["words of good"]

        async def letters():
            found = (await house.http.get("/dead-letters")).json()["dead_letters"]
            return [one["reason"] for one in found if one["connector"] == "graph3"] or None

        assert await eventually(letters) == ["invalid_json"]


async def test_without_leave_no_address_inside_is_called(
    house, postgres_url, migrated_template, tmp_path
):
    async with fresh_database(postgres_url, migrated_template) as url, vendor() as there:
        settings = Settings(data_dir=tmp_path, database_url=url, port=0, partitions=2)
        async with system(settings, "channels") as running:
            await running.parts.platform.create_workspace("acme", 2, {})
            _, token = await running.parts.keys.create("acme", "admin", "admin")
            closed = House(running, token)
            await graph(closed, "graph", there)
            await notice(closed, "graph", "m1")

            async def letters():
                found = (await closed.http.get("/dead-letters")).json()["dead_letters"]
                return [one["detail"] for one in found] or None

            said = await eventually(letters)
            assert "is not called" in said[0] and there.asked == []
            await closed.http.aclose()


async def test_a_fetch_that_was_owed_survives_the_process_that_owed_it(
    postgres_url, migrated_template, tmp_path
):
    async with fresh_database(postgres_url, migrated_template) as url, vendor() as there:
        there.on("/v1.0/users/u/messages/m1", Says(graph_mail("m1"), delay_s=30))
        async with house_on(url, tmp_path) as first:
            await graph(first, "graph", there)
            await notice(first, "graph", "m1")

            async def asked():
                return there.asked or None

            await eventually(asked)
        # It ended in the middle of the fetch. Its lease has to run out.
        there.on("/v1.0/users/u/messages/m1", Says(graph_mail("m1")))
        async with house_on(url, tmp_path, new=False) as second:
            assert (await second.fetching("graph"))["owed"] == 1
            await second.sql("UPDATE channels.fetch SET next_at = now()")
            assert await second.texts("graph", 1) == ["words of m1"]


# Pollers


def comment(name, words, ago_s, changed=None):
    at = iso(ago_s)
    snippet = {"textOriginal": words, "publishedAt": at, "updatedAt": changed or at,
               "authorChannelId": {"value": "UCkim"}}  # fmt: skip
    return {"id": name, "snippet": {"topLevelComment": {"id": name, "snippet": snippet}}}


async def test_comments_are_polled_once_each_page_by_page_and_their_edits_seen(house):
    async with vendor() as there:
        path = "/youtube/v3/commentThreads"
        old = comment("c0", "last week", 700_000)
        there.on(path, Says({"items": [comment("c1", "first", 300), old], "nextPageToken": "2"}))
        settings = {"api_url": there.url, "channel_id": "UCown", "poll_every_s": 900}
        await house.put("tube", "youtube_comments", settings, {"api_key": "k"})
        assert await house.texts("tube", 1) == ["first"], "history is not imported"
        assert there.asked[0].query["key"] == "k" and len(there.asked) == 1
        page1 = {"items": [comment("c4", "fourth", 60), comment("c3", "third", 100)],
                 "nextPageToken": "older"}  # fmt: skip
        edited = comment("c1", "first, better", 300, iso(50))
        page2 = {"items": [comment("c2", "second", 200), edited, old], "nextPageToken": "oldest"}
        there.on(path, lambda asked: Says(page2 if "pageToken" in asked.query else page1))
        await house.passed("tube")
        found = await house.texts("tube", 4)
        assert found == ["first, better", "second", "third", "fourth"]
        assert there.asked[-1].query["pageToken"] == "older"
        records = await count(house, "tube")
        await house.passed("tube", 2)
        assert await count(house, "tube") == records, "what was seen is not published again"


def pages_of(items, size, refused=()):
    """A list of the newest first, page by page; tokens in `refused` are too old."""

    def answer(asked):
        token = asked.query.get("pageToken", "0")
        if token in refused:
            return Says({"error": "pageToken"}, 400)
        at = int(token)
        more = {"nextPageToken": str(at + size)} if at + size < len(items) else {}
        return Says({"items": items[at : at + size], **more})

    return answer


async def test_more_than_a_pass_takes_is_read_on_by_the_next(house, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_PAGES", 3)
    async with vendor() as there:
        path = "/youtube/v3/commentThreads"
        there.on(path, pages_of([comment("n0", "n0", 9000)], 2))
        settings = {"api_url": there.url, "channel_id": "UCown", "poll_every_s": 900}
        await house.put("burst", "youtube_comments", settings, {"api_key": "k"})
        assert await house.texts("burst", 1) == ["n0"]
        items = [comment(f"n{n}", f"n{n}", 9000 - n * 100) for n in range(14, -1, -1)]
        there.on(path, pages_of(items, 2))
        await house.passed("burst")
        found = await house.texts("burst", 15)
        assert sorted(found) == sorted(f"n{n}" for n in range(15))

        async def whole():
            shown = (await house.fetching("burst"))["passes"][0]
            return None if "\n" in shown["cursor"] else shown

        shown = await eventually(whole)
        assert shown["cursor"].startswith(iso(9000 - 1400)[:16]) and shown["last_error"] is None


async def test_a_list_that_the_vendor_does_not_go_on_with_is_told_and_stops_nothing(
    house, monkeypatch
):
    monkeypatch.setattr(fetching, "MAX_PAGES", 2)
    async with vendor() as there:
        path = "/youtube/v3/commentThreads"
        there.on(path, pages_of([comment("n0", "n0", 9000)], 2))
        settings = {"api_url": there.url, "channel_id": "UCown", "poll_every_s": 900}
        await house.put("gap", "youtube_comments", settings, {"api_key": "k"})
        assert await house.texts("gap", 1) == ["n0"]
        await house.begun("gap")
        items = [comment(f"n{n}", f"n{n}", 9000 - n * 100) for n in range(8, -1, -1)]
        there.on(path, pages_of(items, 2, refused={"4"}))
        await house.passed("gap")

        async def told():
            shown = (await house.fetching("gap"))["passes"][0]
            return shown if shown["last_error"] else None

        shown = await eventually(told)
        assert "may be missing" in shown["last_error"] and shown["failures"] == 0
        assert "\n" not in shown["cursor"]
        there.on(path, pages_of([comment("n9", "n9", 60), *items], 2, refused={"4"}))
        await house.passed("gap")
        assert "n9" in await house.texts("gap", 6)


async def test_a_reconciler_that_finds_more_than_a_pass_takes_says_so(house, monkeypatch):
    monkeypatch.setattr(performing, "MAX_PAGES", 2)
    async with vendor() as there:
        page = {"conversations": [], "pages": {"next": {"starting_after": "more"}}}
        there.on("/conversations/search", Says(page))
        settings = {"api_url": there.url, "poll_every_s": 900}
        secrets = {"client_secret": "s", "access_token": "t"}
        await house.put("much", "intercom", settings, secrets)

        async def told():
            passes = (await house.fetching("much"))["passes"]
            return passes[0] if passes and passes[0]["last_error"] else None

        shown = await eventually(told)
        assert "may be missing" in shown["last_error"] and shown["failures"] == 0
        assert shown["cursor"] and len(there.asked) == 2


async def count(house, connector):
    found = await house.sql(
        "SELECT count(*) AS many FROM bus.record WHERE convert_from(value, 'UTF8') LIKE :of",
        of=f'%"connector":"{connector}"%',
    )
    return found[0].many


async def test_a_pass_that_fails_moves_no_cursor_and_is_shown(house):
    async with vendor() as there:
        path = "/v4/accounts/1/locations/2/reviews"
        review = {"name": "accounts/1/locations/2/reviews/r1", "reviewId": "r1", "comment": "Cold",
                  "createTime": iso(60), "updateTime": iso(60)}  # fmt: skip
        there.on(path, Says({}, 500), Says({"reviews": [review]}))
        settings = {"api_url": there.url, "location": "accounts/1/locations/2"}
        await house.put("reviews", "google_reviews", settings, {"access_token": "t"})

        async def failed():
            found = (await house.fetching("reviews"))["passes"]
            return found[0] if found and found[0]["failures"] else None

        shown = await eventually(failed)
        assert "answered 500" in shown["last_error"] and shown["cursor"] is None
        await house.passed("reviews")
        assert await house.texts("reviews", 1) == ["Cold"]
        shown = (await house.fetching("reviews"))["passes"][0]
        assert shown["failures"] == 0 and shown["cursor"].startswith(iso(60))


async def test_a_subscription_is_renewed_and_its_failing_is_seen_before_it_ends(house):
    ends = iso(-86_400)
    async with vendor() as there:
        kept = Says({"id": "s1", "expirationDateTime": ends})

        def subscriptions(asked):
            return Says({"value": []}) if asked.method == "GET" else kept

        there.on("/v1.0/subscriptions", subscriptions)
        await graph(house, "renewed", there, mailbox="u")
        await house.passed("renewed", label="renewal")
        asked = there.asked_of("/v1.0/subscriptions")
        created = json.loads(next(one.body for one in asked if one.method == "POST"))
        assert created["notificationUrl"].endswith("/workspaces/acme/connectors/renewed/inbound")
        assert created["clientState"] == "state"
        shown = {one["name"]: one for one in (await house.fetching("renewed"))["passes"]}
        assert (shown["renewal"]["cursor"], shown["renewal"]["every_s"]) == (ends, 43_200)

        there.on("/v1.0/subscriptions", Says({}, 403))
        await house.due("renewed")

        async def refused():
            found = {one["name"]: one for one in (await house.fetching("renewed"))["passes"]}
            return found["renewal"] if found["renewal"]["failures"] else None

        failed = await eventually(refused)
        assert failed["cursor"] == ends and "answered 403" in failed["last_error"]
        assert "state" not in failed["last_error"]

        async def measured():
            house.running.app.state.channels.errands.changed.set()
            said = (await house.http.get(f"{house.running.url}/metrics")).text
            place = '{connector="renewed",name="renewal",workspace="acme"}'
            rows = dict(line.rsplit(" ", 1) for line in said.splitlines() if place in line)
            return rows if len(rows) == 2 else None

        left, behind = sorted(map(float, (await eventually(measured)).values()), reverse=True)
        assert 80_000 < left <= 86_400 and 0 <= behind < 60
        async with house.parts.engine.connect() as connection:
            findings = [one for one in await passes_found(connection) if "renewed" in one.subject]
        assert any(f"The subscription ends at {ends}." in one.said for one in findings)


async def test_mentions_are_polled_from_the_oldest_that_is_new(house):
    def status(number, words):
        account = {"acct": "kim@social.example"}
        return {"id": str(number), "type": "mention", "created_at": iso(100 - number),
                "status": {"id": f"s{number}", "uri": f"urn:{number}", "created_at": iso(100 - number),
                           "content": words, "account": account}}  # fmt: skip

    async with vendor() as there:
        every = [status(number, f"toot {number}") for number in range(1, 8)]

        def listed(asked):
            after = int(asked.query.get("min_id", "0"))
            return Says([one for one in every if int(one["id"]) > after][:3][::-1])

        there.on("/api/v1/notifications", listed)
        settings = {"base_url": there.url, "account": "shop"}
        await house.put("toots", "mastodon", settings, {"access_token": "t", "webhook_secret": "w"})
        assert len(await house.texts("toots", 3)) == 3
        await house.passed("toots")
        assert await house.texts("toots", 7) == [f"toot {number}" for number in range(1, 8)]
        assert (await house.fetching("toots"))["passes"][0]["cursor"] == "7"


async def test_reddit_and_bluesky_are_polled_with_tokens_of_their_own(house):
    async with vendor() as there:
        there.on("/api/v1/access_token", Says({"access_token": "r-1", "expires_in": 3600}))
        thing = {"kind": "t4", "data": {"name": "t4_a", "author": "kim", "body": "Hi reddit",
                 "created_utc": NOW.timestamp() - 5, "subject": "s", "dest": "shop"}}  # fmt: skip
        there.on("/message/inbox", Says({"kind": "Listing", "data": {"children": [thing]}}))
        secrets = {"client_id": "me", "client_secret": "word", "refresh_token": "again"}
        await house.put("reddit", "reddit", {"api_url": there.url}, secrets)
        assert await house.texts("reddit", 1) == ["Hi reddit"]
        asked = there.asked_of("/api/v1/access_token")[0]
        assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"me:word").decode()
        there.on("/xrpc/com.atproto.server.createSession", Says({"accessJwt": "b-1"}))
        record = {"$type": "app.bsky.feed.post", "text": "Hi sky", "createdAt": iso(5)}
        note = {"uri": "at://did:plc:kim/app.bsky.feed.post/1", "indexedAt": iso(5), "record": record,
                "author": {"did": "did:plc:kim"}, "reason": "mention"}  # fmt: skip
        there.on("/xrpc/app.bsky.notification.listNotifications", Says({"notifications": [note]}))
        secrets = {"app_password": "shop.example:word"}
        await house.put("sky", "bluesky_jetstream", {"api_url": there.url}, secrets)
        assert await house.texts("sky", 1) == ["Hi sky"]
        asked = there.asked_of("/xrpc/com.atproto.server.createSession")[0]
        assert json.loads(asked.body) == {"identifier": "shop.example", "password": "word"}


async def test_a_connector_without_its_secret_is_not_polled_and_says_what_it_needs(house):
    await house.put("idle", "youtube_comments", {}, {})
    await asyncio.sleep(0.3)
    status = await house.fetching("idle")
    assert status["passes"] == []
    assert status["off"] == [
        {"name": "poll", "purpose": "poll", "needs": ["channel_id", "api_key"]}
    ]


# Mailboxes


async def test_a_mailbox_is_read_once_and_left_as_it_is(house):
    async with mailbox() as box:
        box.add(mail("old"), "\\Seen")
        for name in ("one", "two"):
            box.add(mail(name))
        settings = {"host": "127.0.0.1", "port": box.port, "security": "none", "username": "help"}
        await house.put("imap", "email_imap", settings, {"password": "word"})
        assert len(await house.texts("imap", 2)) == 2, "the first pass takes what is unread"
        box.add(mail("three"))
        await house.passed("imap")
        assert len(await house.texts("imap", 3)) == 3

        async def noted():  # a pass's messages are there before the pass is
            (found,) = (await house.fetching("imap"))["passes"]
            return found["cursor"].startswith("1:4:") or None

        await eventually(noted)
        records = await count(house, "imap")
        await house.passed("imap")
        assert await count(house, "imap") == records
        assert all(one.flags == ({"\\Seen"} if one.uid == 1 else set()) for one in box.mails)
        assert any(one.startswith("EXAMINE") for one in box.commands)
        # All UIDs are new: everything recent is read again, and is known.
        box.renumber(2)
        box.add(mail("four"))
        await house.passed("imap")
        assert len(await house.texts("imap", 5)) == 5, (
            "the one seen before the first pass comes too"
        )
        assert (await house.fetching("imap"))["passes"][0]["cursor"].startswith("2:5:")


async def test_mails_are_settled_only_once_they_are_durable(house):
    async with mailbox() as box:
        for name in ("seen-1", "seen-2"):
            box.add(mail(name))
        settings = {"host": "127.0.0.1", "port": box.port, "security": "none", "username": "help"}
        await house.put("imap2", "email_imap", {**settings, "then": "seen"}, {"password": "word"})
        assert len(await house.texts("imap2", 2)) == 2

        async def flagged():
            return True if all("\\Seen" in one.flags for one in box.mails) else None

        await eventually(flagged)
        await house.put(
            "imap2", "email_imap", {**settings, "move_to": "Done"}, {"password": "word"}
        )
        box.add(mail("seen-3"))
        await house.passed("imap2")
        assert [uid for uid, _ in box.moved] == [3] and len(box.mails) == 2


async def test_a_mailbox_that_refuses_says_so_without_the_password(house):
    async with mailbox() as box:
        settings = {"host": "127.0.0.1", "port": box.port, "security": "none", "username": "help"}
        await house.put("imap3", "email_imap", settings, {"password": "wrong-word"})

        async def failed():
            found = (await house.fetching("imap3"))["passes"]
            return found[0]["last_error"] if found and found[0]["failures"] else None

        said = await eventually(failed)
        assert "Login failed" in said and "wrong-word" not in said


# Files


async def slack_file(house, connector, url, name, ts):
    example = slack.examples()[0]
    event = {"type": "message", "channel": "C1", "user": "U1", "ts": ts, "subtype": "file_share",
             "text": f"see {name}", "files": [{"id": "F1", "name": name, "mimetype": "image/png",
             "url_private_download": url}]}  # fmt: skip
    payload = {"type": "event_callback", "team_id": "T1", "event_id": f"Ev{ts}", "event": event}
    secret = example.secrets["signing_secret"][0]
    request = signed(slack.CONNECTOR.signature, secret, payload, time.time_ns() // 1000)
    answer = await house.http.post(
        f"/connectors/{connector}/inbound", content=request.body, headers=dict(request.headers)
    )
    assert answer.status_code == 200, answer.text


async def stored_file(house, connector, enough):
    async def look():
        listed = await house.http.get(f"/conversations?connector={connector}")
        for one in listed.json()["conversations"]:
            path = f"/conversations/{one['id']}/messages"
            for message in (await house.http.get(path)).json()["messages"]:
                for index, file in enumerate(message["attachments"]):
                    if enough(file):
                        return f"{path}/{message['message_id']}/attachments/{index}", file
        return None

    return await eventually(look)


async def test_a_file_is_fetched_kept_by_its_hash_and_read_by_those_who_may(house):
    content = b"\x89PNG not really"
    async with vendor() as there:
        there.on("/files/fire.png", Says(b"{}", headers={"Content-Type": "text/html"}),
                 Says(content, headers={"Content-Type": "image/png"}))  # fmt: skip
        secrets = {"signing_secret": "example-signing-secret", "bot_token": "xoxb"}
        await house.put("slack", "slack", {"api_url": there.url}, secrets)
        now = f"{time.time():.4f}"
        await slack_file(house, "slack", f"{there.url}/files/fire.png", "fire brigade.png", now)
        path, file = await stored_file(house, "slack", lambda one: "sha256" in one)
        assert (file["sha256"], file["size"]) == (sha256(content).hexdigest(), len(content))
        assert file["name"] == "fire brigade.png"
        assert len(there.asked_of("/files/fire.png")) == 2, "a page of login is no picture"
        answer = await house.http.get(path)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"].endswith("fire%20brigade.png")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        known = {"If-None-Match": answer.headers["etag"]}
        assert (await house.http.get(path, headers=known)).status_code == 304
        assert (await house.http.get(path[:-1] + "7")).status_code == 404
        assert (await house.http.get(path.replace("msg_", "msg_0"))).status_code == 404
        _, token = await house.parts.keys.create("acme", "ben", "agent", agent="ben")
        theirs = {"Authorization": f"Bearer {token}"}
        assert (await house.http.get(path, headers=theirs)).status_code == 404, "not ben's"
        await house.sql(
            "INSERT INTO channels.conversation_agent VALUES ('acme', :name, 'ben', now())",
            name=path.split("/")[2],
        )
        assert (await house.http.get(path, headers=theirs)).content == content


async def test_a_file_that_cannot_be_had_says_why(house):
    async with vendor() as there:
        there.on("/files/gone.png", Says({}, 410))
        secrets = {"signing_secret": "example-signing-secret", "bot_token": "xoxb"}
        await house.put("slack2", "slack", {"api_url": there.url}, secrets)
        await slack_file(
            house, "slack2", f"{there.url}/files/gone.png", "gone.png", f"{time.time():.4f}"
        )
        path, file = await stored_file(house, "slack2", lambda one: "fetch_error" in one)
        assert "answered 410" in file["fetch_error"] and "sha256" not in file
        answer = await house.http.get(path)
        assert answer.status_code == 404 and "answered 410" in answer.json()["detail"]


async def test_files_of_events_and_of_mails_are_read_the_same_way(house):
    script = b"<script>alert(1)</script>"
    file = {"name": "x.html", "content_type": "text/html",
            "content_base64": base64.b64encode(script).decode()}  # fmt: skip
    data = {"channel": "chat", "conversation_key": "files", "direction": "inbound",
            "author": {"role": "customer"}, "attachments": [file]}  # fmt: skip
    event = {"specversion": "1.0", "id": "f-1", "source": "crm", "type": "interaction.message.v1",
             "time": iso(), "data": data}  # fmt: skip
    kind = {"Content-Type": "application/cloudevents+json"}
    answer = await house.http.post("/events", content=json.dumps(event), headers=kind)
    assert answer.status_code == 202
    path, shown = await stored_file(house, "events", lambda one: one["name"] == "x.html")
    assert shown["sha256"] == sha256(script).hexdigest() and "content_base64" not in shown
    answer = await house.http.get(path)
    assert answer.content == script
    assert answer.headers["content-type"] == "application/octet-stream", "it must not run here"
    made = await house.put("mime", "email_mime", {}, {})
    example = email_mime.examples()[0].request
    sent = await house.http.post(made["inbound_url"], content=example.body)
    assert sent.status_code == 200
    path, shown = await stored_file(house, "mime", lambda one: True)
    assert (await house.http.get(path)).content == b"4711" and shown["name"] == "invoice.txt"


# Leases


async def test_two_replicas_share_a_poller_and_only_its_holder_moves_the_cursor(engine):
    store = OutgoingStore(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO channels.connector (workspace, id, kind, settings, secrets,"
                " inbound_token, version, updated_at)"
                " VALUES ('w', 'c', 'reddit', '{}', '', 't', 1, now())"
            )
        )
    await store.set_polls({("w", "c"): {"inbox": 60}})
    takes = await asyncio.gather(*(store.take_polls(f"r{number}", 5) for number in range(6)))
    holders = [number for number, found in enumerate(takes) if found]
    assert len(holders) == 1
    holder, one = f"r{holders[0]}", takes[holders[0]][0]
    with pytest.raises(LostPoll):
        await store.polled(one, "another", "cursor", 60, [Wanted("item", "k", {})])
    assert (await store.owed("w", "c")).fetches == 0, "nothing of a lost pass happens"
    await store.hurry("w", "c", "inbox", 60)
    await store.polled(one, holder, "7", 60, [Wanted("item", "k", {})])
    assert (await store.owed("w", "c")).fetches == 1
    (again,) = await store.take_polls("r9", 5)
    assert again.cursor == "7", "told in the middle of a pass: another follows at once"
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE channels.poll SET taken_until = now(), next_at = now()")
        )
    (stolen,) = await store.take_polls("r10", 5)
    with pytest.raises(LostPoll):
        await store.polled(again, "r9", "8", 60)
    await store.poll_failed(stolen, "r10", 60, "no")
    assert [one.cursor for one in await store.polls("w", "c")] == ["7"]
    await store.set_polls({})
    assert await store.polls("w", "c") == []


async def test_two_replicas_never_hold_the_same_fetch(engine):
    store = OutgoingStore(engine)
    wanted = [Wanted("item", f"k{number}", {"id": str(number)}) for number in range(40)]
    await store.owe("w", "c", wanted)
    await store.owe("w", "c", wanted)
    takes = await asyncio.gather(*(store.take(8) for _ in range(6)))
    held = [one.key for found in takes for one in found]
    assert len(held) == len(set(held)) == 40
    assert await store.take(8) == []
