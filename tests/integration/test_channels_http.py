"""The channels service over real HTTP, on real PostgreSQL: from what platforms and vendors send to
what is readable, with the real runtime behind the archive."""

import asyncio
import base64
import gzip
import json
import time
from hashlib import sha256

import httpx
import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import text

from services.channels.connectors import registry
from services.channels.connectors.chat import whatsapp_examples
from services.channels.connectors.phone import twilio_transcription
from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.contracts.envelope import Envelope, from_record, to_headers
from shared.contracts.instants import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOUDEVENT = {"Content-Type": "application/cloudevents+json"}
PATIENCE_S = 10


class House:
    """A running channels service with one workspace, and a client for each role."""

    def __init__(self, system):
        self.system = system
        self.bus = system.parts.bus
        self.clients = {}
        self.open = httpx.AsyncClient(base_url=system.url)

    async def prepare(self):
        await self.system.parts.platform.create_workspace("acme", 2, {"languages": ["en", "de"]})
        await self.system.parts.platform.create_workspace("other", 2, {})
        for role, agent in (
            ("platform", None),
            ("admin", None),
            ("ops", None),
            ("agent", "ana"),
            ("agent", "ben"),
        ):
            _, token = await self.system.parts.keys.create("acme", role, role, agent=agent)
            self.clients[agent or role] = httpx.AsyncClient(
                base_url=f"{self.system.url}/v1/workspaces/acme",
                headers={"Authorization": f"Bearer {token}"},
            )
        return self

    def __getattr__(self, name):
        return self.clients[name]

    async def close(self):
        for client in (*self.clients.values(), self.open):
            await client.aclose()

    async def partition(self):
        return (await self.system.parts.platform.workspace("acme")).partition

    async def post(self, **changes):
        answer = await self.clients["platform"].post(
            "/events", content=json.dumps(event(**changes)), headers=CLOUDEVENT
        )
        assert answer.status_code == 202, answer.text
        return answer.json()["results"][0]

    async def messages(self, conversation, enough, client="admin"):
        """The messages once `enough` of them says so."""
        path = f"/conversations/{conversation}/messages"

        async def look():
            answer = await self.clients[client].get(path)
            found = answer.json()["messages"] if answer.status_code == 200 else []
            return found if enough(found) else None

        return await eventually(look)

    async def records(self, topic):
        """Everything on a topic's partition of the workspace."""
        place = (topic, await self.partition())
        reader = self.bus.reader()
        try:
            await reader.assign({place: (await self.bus.bounds([place]))[place][0]})
            found = []
            while more := await reader.poll(1000, 50):
                found += more
            return found
        finally:
            await reader.stop()

    async def say(self, event_type, topic, data, event_id):
        """An event of another service."""
        envelope = Envelope(
            id=event_id,
            source="router",
            type=event_type,
            time=format_instant(time.time_ns() // 1000),
            workspace="acme",
            data=msgspec.json.encode(data),
        )
        await self.bus.send(
            [Outgoing(topic, await self.partition(), None, envelope.data, to_headers(envelope))]
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(start_system):
    async with start_system("channels", public_url="https://omni.example") as system:
        made = await House(system).prepare()
        try:
            yield made
        finally:
            await made.close()


async def eventually(look):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(0.03)
    raise AssertionError(f"not within {PATIENCE_S} s")


def event(key="thread", name="m-1", kind="message", time="2026-11-22T09:00:00Z", **data):
    content = {
        "channel": "chat",
        "conversation_key": key,
        "direction": "inbound",
        "author": {"role": "customer", "name": "Kim"},
        "text": "Meine Rechnung ist leider falsch",
        **data,
    }
    return {
        "specversion": "1.0",
        "id": name,
        "source": "crm",
        "type": f"interaction.{kind}.v1",
        "time": time,
        "data": {name: value for name, value in content.items() if value is not ...},
    }


async def test_a_posted_message_becomes_readable(house):
    row = await house.post(key="first")
    (message,) = await house.messages(row["conversation_id"], len)
    assert message["text"] == "Meine Rechnung ist leider falsch"
    assert message["time"] == "2026-11-22T09:00:00Z"
    assert (message["direction"], message["author"]["name"]) == ("inbound", "Kim")
    assert message["language"] == "de"
    shown = (await house.admin.get(f"/conversations/{row['conversation_id']}")).json()
    assert shown["conversation_key"] == "first"
    assert shown["customer"]["name"] == "Kim"
    assert shown["last_text"] == message["text"]


async def test_sent_again_it_is_accepted_and_changes_nothing(house):
    first = await house.post(key="again", name="again-1")
    assert await house.post(key="again", name="again-1") == first
    await house.post(key="again", name="again-2", text="later", time="2026-11-22T09:05:00Z")
    found = await house.messages(first["conversation_id"], lambda some: len(some) == 2)
    assert [one["text"] for one in found][1] == "later"


async def test_an_edit_may_come_before_its_message_and_a_deletion_too(house):
    edit = {"kind": "message_edited", "replaces": "e-1", "text": "corrected"}
    await house.post(key="edits", name="e-2", time="2026-11-22T09:01:00Z", **edit)
    gone = {"kind": "message_deleted", "replaces": "e-3", "text": ...}
    await house.post(key="edits", name="e-4", time="2026-11-22T09:03:00Z", **gone)
    await house.post(key="edits", name="e-1", text="wrong")
    row = await house.post(key="edits", name="e-3", text="secret", time="2026-11-22T09:02:00Z")
    found = await house.messages(row["conversation_id"], lambda some: len(some) == 2)
    assert [(one["text"], one["flags"]) for one in found] == [
        ("corrected", ["edited"]),
        (None, ["deleted"]),
    ]
    shown = (await house.admin.get(f"/conversations/{row['conversation_id']}")).json()
    assert shown["last_text"] == "corrected", "a deleted text is shown nowhere"


async def test_an_older_edit_does_not_undo_a_newer_one(house):
    row = await house.post(key="two-edits", name="t-1")
    for name, text_, at in (("t-3", "second", "09:04"), ("t-2", "first", "09:03")):
        await house.post(
            key="two-edits",
            name=name,
            kind="message_edited",
            replaces="t-1",
            text=text_,
            time=f"2026-11-22T{at}:00Z",
        )
    await house.post(key="two-edits", name="t-4", text="end", time="2026-11-22T10:00:00Z")
    found = await house.messages(row["conversation_id"], lambda some: len(some) == 2)
    assert found[0]["text"] == "second"


async def test_status_and_feedback_are_readable(house):
    row = await house.post(key="told", name="t-out", direction="outbound", author={"role": "agent"})
    for status, error in (("read", None), ("sent", None), ("delivered", None)):
        await house.post(
            key="told",
            name=f"t-{status}",
            kind="delivery_status",
            text=...,
            delivery_status={"message_id": "t-out", "status": status, "error": error},
        )
    await house.post(key="told", name="t-fb", kind="feedback", text=..., survey="csat", score=4)

    def complete(found):
        return found and (found[0]["delivery"] or {}).get("status") == "read"

    await house.messages(row["conversation_id"], complete)

    async def feedback():
        answer = await house.admin.get(f"/conversations/{row['conversation_id']}")
        return answer.json()["feedback"]

    assert (await eventually(feedback))["score"] == 4


async def test_forms_other_than_the_four_are_refused(house):
    body = json.dumps(event())
    for kind in ("application/json", "text/plain", ""):
        answer = await house.platform.post("/events", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 415, kind
        assert answer.headers["content-type"] == "application/problem+json"
    packed = {"Content-Type": "application/cloudevents+json", "Content-Encoding": "gzip"}
    answer = await house.platform.post(
        "/events", content=gzip.compress(body.encode()), headers=packed
    )
    assert answer.status_code == 415 and "uncompressed" in answer.json()["detail"]


async def test_an_empty_batch_is_one(house):
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    answer = await house.platform.post("/events", content="[]", headers=kind)
    assert (answer.status_code, answer.json()) == (202, {"results": []})


async def test_batches_ndjson_and_binary_mode(house):
    rows = [event(name="b-1"), event(name="b-2", channel="fax")]
    answer = await house.platform.post(
        "/events",
        content=json.dumps(rows),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    assert answer.status_code == 202
    good, bad = answer.json()["results"]
    assert (good["status"], bad["status"]) == ("accepted", "rejected")
    assert bad["problem"]["errors"][0]["pointer"] == "/1/data/channel"
    answer = await house.platform.post(
        "/events",
        content="\n".join(json.dumps(one) for one in rows),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.json()["results"][0] == good
    single = event(name="b-1")
    headers = {f"ce-{n}": single[n] for n in ("specversion", "id", "source", "type", "time")}
    answer = await house.platform.post("/events", json=single["data"], headers=headers)
    assert answer.json()["results"][0] == good


async def test_in_binary_mode_a_key_is_for_one_event(house):
    """The data alone do not say which one it is."""
    told = {"ce-specversion": "1.0", "ce-source": "crm", "ce-type": "interaction.message.v1"}
    data, key = event()["data"], {"Idempotency-Key": "binary-1"}
    answers = [
        await house.platform.post("/events", json=data, headers={**told, **key, "ce-id": name})
        for name in ("one", "one", "two")
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 422]
    assert answers[0].content == answers[1].content


async def test_all_bad_is_refused_as_a_whole(house):
    answer = await house.platform.post(
        "/events",
        content=json.dumps([event(channel="fax"), {}]),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    assert answer.status_code == 400
    pointers = [one["pointer"] for one in answer.json()["errors"]]
    assert pointers == ["/0/data/channel", "/1/specversion"]


async def test_too_much_is_refused(house):
    big = b" " * (10 * 1024 * 1024 + 1)
    answer = await house.platform.post("/events", content=big, headers=CLOUDEVENT)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
    rows = ("{}\n" * 5001).encode()
    answer = await house.platform.post(
        "/events", content=rows, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 413


async def test_attachments_are_kept_by_their_hash(house):
    content = b"PDF" * 100_000
    given = [{"name": "a.pdf", "content_base64": base64.b64encode(content).decode()}]
    row = await house.post(key="files", name="f-1", attachments=given)
    (message,) = await house.messages(row["conversation_id"], len)
    (kept,) = message["attachments"]
    assert (kept["sha256"], kept["size"]) == (sha256(content).hexdigest(), len(content))
    assert "content_base64" not in kept
    blobs = house.system.parts.settings.data_dir / "blobs"
    assert (blobs / kept["sha256"][:2] / kept["sha256"]).read_bytes() == content


async def test_agents_see_only_what_was_offered_to_them(house):
    row = await house.post(key="private", name="p-1")
    conversation = row["conversation_id"]
    await house.messages(conversation, len)
    for path in (f"/conversations/{conversation}", f"/conversations/{conversation}/messages"):
        assert (await house.ana.get(path)).status_code == 404
    offer = {"workspace": "acme", "agent_id": "ana", "conversation_id": conversation}
    await house.say("routing.offer.created.v1", topics.ROUTING_EVENTS, offer, "evt_" + "1" * 32)
    assert await house.messages(conversation, len, client="ana")
    mine = (await house.ana.get("/conversations")).json()["conversations"]
    assert [one["conversation_id"] for one in mine] == [conversation]
    assert (await house.ben.get("/conversations")).json()["conversations"] == []
    assert (await house.ben.get(f"/conversations/{conversation}/messages")).status_code == 404
    refused = await house.ben.post(f"/conversations/{conversation}/messages", json={"text": "x"})
    assert refused.status_code == 404

    said = {"text": "Ich sehe es mir an", "task_id": "tsk_1"}
    path, key = f"/conversations/{conversation}/messages", {"Idempotency-Key": "reply-1"}
    first = await house.ana.post(path, json=said, headers=key)
    again = await house.ana.post(path, json=said, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await house.ana.post(path, json={"text": "other"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")
    async with house.system.parts.engine.begin() as connection:
        await connection.execute(text("DELETE FROM platform.idempotency"))  # a day later
    later = await house.ana.post(path, json={"text": "other"}, headers=key)
    assert later.json()["message_id"] != first.json()["message_id"]
    forged = await house.ana.post(path, json={"text": "x", "agent_id": "ben"})
    assert (forged.status_code, forged.json()["errors"][0]["pointer"]) == (400, "/agent_id")
    found = await house.messages(conversation, lambda some: len(some) == 3, client="ana")
    reply = found[1]
    assert (reply["text"], reply["direction"], reply["author"]["id"]) == (
        said["text"],
        "outbound",
        "ana",
    )
    assert reply["message_id"] == first.json()["message_id"]


async def test_pages_follow_each_other(house):
    rows = [
        await house.post(key="pages", name=f"pg-{n}", text=str(n), time=f"2026-11-22T09:0{n}:00Z")
        for n in range(5)
    ]
    conversation = rows[0]["conversation_id"]
    await house.messages(conversation, lambda some: len(some) == 5)
    seen, cursor = [], {}
    while True:
        page = (
            await house.admin.get(
                f"/conversations/{conversation}/messages", params={"limit": 2, **cursor}
            )
        ).json()
        seen += [one["text"] for one in page["messages"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == ["0", "1", "2", "3", "4"]


async def test_pages_of_conversations_follow_each_other(house):
    posted = [await house.post(key=f"page-{n}", name=f"page-{n}", text=str(n)) for n in range(5)]
    for row in posted:
        await house.messages(row["conversation_id"], lambda some: len(some) == 1)
    everything, cursor = [], {}
    while True:
        page = (await house.admin.get("/conversations", params={"limit": 3, **cursor})).json()
        everything += [one["conversation_id"] for one in page["conversations"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(everything) == len(set(everything))
    assert {row["conversation_id"] for row in posted} <= set(everything)
    for bad in ("x", "bnVsbA", page["next"] or "WyJhIiwiYiJd"):
        answer = await house.admin.get("/conversations", params={"cursor": bad})
        assert answer.status_code == 400, bad


async def put(house, name, body, **headers):
    return await house.admin.put(f"/connectors/{name}", json=body, headers=headers)


async def test_secrets_go_in_and_never_come_out(house):
    body = {
        "kind": "whatsapp_cloud",
        "secrets": {"app_secret": ["new-secret-1", "old-secret-1"], "verify_token": "verify-1"},
    }
    made = await put(house, "sealed", body)
    assert made.status_code == 201
    shown = await house.admin.get("/connectors/sealed")
    listed = await house.ops.get("/connectors")
    for answer in (made, shown, listed):
        assert not any(word in answer.text for word in ("secret-1", "verify-1"))
    assert shown.json()["secrets"] == ["app_secret", "verify_token"]
    assert shown.json()["inbound_url"] == (
        "https://omni.example/v1/workspaces/acme/connectors/sealed/inbound"
    )
    async with house.system.parts.engine.connect() as connection:
        kept = (await connection.execute(text("SELECT * FROM channels.connector"))).all()
    assert b"secret-1" not in repr(kept).encode()
    changed = await put(house, "sealed", {"kind": "whatsapp_cloud", "enabled": False})
    assert changed.status_code == 200
    assert changed.json()["secrets"] == ["app_secret", "verify_token"], "those stored stay"
    cleared = await put(house, "sealed", {"kind": "whatsapp_cloud", "secrets": {}})
    assert cleared.json()["secrets"] == []


async def test_a_connector_is_changed_only_as_it_was_read(house):
    body = {"kind": "email_mime"}
    first = await put(house, "tagged", body)
    tag = first.headers["etag"]
    assert (await put(house, "tagged", body, **{"If-Match": '"99"'})).status_code == 412
    assert (await put(house, "tagged", body, **{"If-None-Match": "*"})).status_code == 412
    assert (await put(house, "tagged", body, **{"If-Match": tag})).status_code == 200
    stale = await house.admin.delete("/connectors/tagged", headers={"If-Match": tag})
    assert stale.status_code == 412
    assert (await house.admin.delete("/connectors/tagged")).status_code == 204
    assert (await house.admin.delete("/connectors/tagged")).status_code == 404
    assert (await house.admin.get("/connectors/tagged")).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "whatsap_cloud"}, "/kind"),
        ({"kind": "email_mime", "enabeld": True}, "/enabeld"),
        ({"kind": "email_mime", "settings": {"x": 1}}, "/settings/x"),
        ({"kind": "email_mime", "secrets": {"x": "y"}}, "/secrets/x"),
        ({"kind": "email_mime", "id": "other"}, "/id"),
        ({"kind": "whatsapp_cloud", "settings": {"public_url": "a\x00"}}, "/settings/public_url"),
    ],
)
async def test_a_faulty_connector_is_refused_with_its_place(house, body, pointer):
    answer = await put(house, "faulty", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def send(house, connector, request):
    url = f"/v1/workspaces/acme/connectors/{connector}/inbound"
    query = request.url.partition("?")[2]
    return await house.open.request(
        request.method,
        url + (f"?{query}" if query else ""),
        content=request.body,
        headers=list(request.headers),
    )


async def test_whatsapp_signed_forged_and_handshaken(house):
    secrets = {"app_secret": whatsapp_examples.APP_SECRET, "verify_token": "hello"}
    await put(house, "wa", {"kind": "whatsapp_cloud", "secrets": secrets})
    now_us = time.time_ns() // 1000
    payload = whatsapp_examples.payload_of(
        "messages", whatsapp_examples.message("wamid.A", "text", {"body": "Hallo"}, now_us)
    )
    request = whatsapp_examples.sign(payload, now_us)
    assert (await send(house, "wa", request)).status_code == 200
    assert (await send(house, "wa", request)).status_code == 200
    forged = msgspec.structs.replace(request, body=request.body + b" ")
    refused = await send(house, "wa", forged)
    assert refused.status_code == 401 and "app_secret" in refused.text

    async def conversation():
        found = (await house.admin.get("/conversations", params={"connector": "wa"})).json()
        return found["conversations"] or None

    (held,) = await eventually(conversation)
    found = await house.messages(held["conversation_id"], len)
    assert [one["text"] for one in found] == ["Hallo"]

    answer = await house.open.get(
        "/v1/workspaces/acme/connectors/wa/inbound",
        params={"hub.mode": "subscribe", "hub.verify_token": "hello", "hub.challenge": "42"},
    )
    assert (answer.status_code, answer.text) == (200, "42")
    wrong = await house.open.get(
        "/v1/workspaces/acme/connectors/wa/inbound",
        params={"hub.mode": "subscribe", "hub.verify_token": "no", "hub.challenge": "42"},
    )
    assert wrong.status_code == 403
    raw = [from_record(one.headers, one.value) for one in await house.records(topics.RAW)]
    assert [one.source for one in raw].count("connectors/wa") == 2
    assert b"signature" not in b"".join(one.data for one in raw).lower()


async def test_rotation_takes_both_secrets(house):
    secrets = {"app_secret": ["a-new-one", whatsapp_examples.APP_SECRET]}
    await put(house, "rot", {"kind": "whatsapp_cloud", "secrets": secrets})
    now_us = time.time_ns() // 1000
    payload = whatsapp_examples.payload_of(
        "messages", whatsapp_examples.message("wamid.R", "text", {"body": "Hi"}, now_us)
    )
    for secret, status in (("a-new-one", 200), (whatsapp_examples.APP_SECRET, 200), ("x", 401)):
        request = whatsapp_examples.sign(payload, now_us, secret=secret)
        assert (await send(house, "rot", request)).status_code == status


async def test_without_its_secrets_a_signing_kind_accepts_nothing(house):
    await put(house, "bare", {"kind": "whatsapp_cloud"})
    now_us = time.time_ns() // 1000
    payload = whatsapp_examples.payload_of(
        "messages", whatsapp_examples.message("wamid.B", "text", {"body": "Hi"}, now_us)
    )
    request = whatsapp_examples.sign(payload, now_us)
    refused = await send(house, "bare", request)
    assert refused.status_code == 401 and "has no secret (app_secret" in refused.text


@pytest.mark.parametrize(
    "kind", ["twilio_transcription", "email_mime", "whatsapp_cloud", "messenger"]
)
async def test_a_kinds_own_examples_come_through(house, kind):
    """One kind per channel, whose signatures do not age: the examples are of days gone by."""
    connector = registry.load()[kind]
    for example in connector.examples():
        name = f"ex-{kind.replace('_', '-')}"
        body = {"kind": kind, "secrets": {n: list(v) for n, v in example.secrets.items()}}
        body["settings"] = {"public_url": example.request.url.partition("?")[0]}
        shown = (await put(house, name, body)).json()
        path = httpx.URL(shown["inbound_url"]).path
        query = example.request.url.partition("?")[2]
        answer = await house.open.request(
            example.request.method,
            path + (f"?{query}" if query else ""),
            content=example.request.body,
            headers=list(example.request.headers),
        )
        assert answer.status_code < 300, (kind, example.name, answer.text)


async def test_the_url_that_twilio_signs_is_the_public_one(house):
    for example in twilio_transcription.CONNECTOR.examples():
        secrets = {n: list(v) for n, v in example.secrets.items()}
        await put(house, "tw", {"kind": "twilio_transcription", "secrets": secrets})
        wrong = await send(house, "tw", example.request)
        assert wrong.status_code in (401, 403), "signed for another address"


async def test_a_kind_that_cannot_sign_has_an_unguessable_address(house):
    shown = (await put(house, "mail", {"kind": "email_mime"})).json()
    path = httpx.URL(shown["inbound_url"]).path
    assert len(path.rpartition("/")[2]) >= 32
    again = (await put(house, "mail", {"kind": "email_mime"})).json()
    assert again["inbound_url"] == shown["inbound_url"], "writing it again moves nothing"
    mail = b"From: kim@example.org\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nhello there\r\n"
    open_path = "/v1/workspaces/acme/connectors/mail/inbound"
    headers = {"Content-Type": "message/rfc822"}
    for wrong in (open_path, open_path + "/guess", path[:-1]):
        assert (await house.open.post(wrong, content=mail, headers=headers)).status_code == 404
    assert (await house.open.post(path, content=mail, headers=headers)).status_code < 300


async def test_head_says_whether_the_address_is_there(house):
    """Intercom takes an address only once it has answered a HEAD."""
    await put(house, "desk", {"kind": "intercom", "secrets": {"client_secret": "x"}})
    base = "/v1/workspaces/acme/connectors"
    found = await house.open.head(f"{base}/desk/inbound")
    assert (found.status_code, found.content) == (200, b"")
    assert (await house.open.head(f"{base}/nobody/inbound")).status_code == 404
    shown = (await put(house, "box", {"kind": "email_mime"})).json()
    path = httpx.URL(shown["inbound_url"]).path
    assert (await house.open.head(path)).status_code == 200
    for wrong in (f"{base}/box/inbound", f"{base}/box/inbound/guess"):
        assert (await house.open.head(wrong)).status_code == 404
    await put(house, "desk", {"kind": "intercom", "enabled": False})
    assert (await house.open.head(f"{base}/desk/inbound")).status_code == 404


def mail_of(name, refers=(), text="hello there"):
    lines = [
        "From: Kim <kim@example.org>",
        "To: help@acme.example",
        "Subject: Re: invoice",
        f"Message-ID: <{name}@x.example>",
        "Date: Sun, 22 Nov 2026 09:00:00 +0000",
    ]
    if refers:
        lines.append("References: " + " ".join(f"<{one}@x.example>" for one in refers))
        lines.append(f"In-Reply-To: <{refers[-1]}@x.example>")
    return ("\r\n".join([*lines, "", text, ""])).encode()


async def test_mails_of_a_thread_meet_in_one_conversation_in_any_order(house):
    shown = (await put(house, "threads", {"kind": "email_mime"})).json()
    path = httpx.URL(shown["inbound_url"]).path
    headers = {"Content-Type": "message/rfc822"}
    for mail in (
        mail_of("c", ("a", "b")),
        mail_of("a"),
        mail_of("z"),
        mail_of("b", ("a",)),
        mail_of("d", ("c",)),
    ):
        assert (await house.open.post(path, content=mail, headers=headers)).status_code < 300

    async def settled():
        found = (await house.admin.get("/conversations", params={"connector": "threads"})).json()
        sizes = []
        for one in found["conversations"]:
            answer = await house.admin.get(f"/conversations/{one['conversation_id']}/messages")
            sizes.append(len(answer.json()["messages"]))
        return sorted(sizes) if sum(sizes) == 5 else None

    assert await eventually(settled) == [1, 4]


async def letters(house):
    return (await house.ops.get("/dead-letters")).json()["dead_letters"]


async def test_a_payload_that_cannot_be_used_is_kept_and_replayed(house, monkeypatch):
    secrets = {"app_secret": whatsapp_examples.APP_SECRET}
    await put(house, "dead", {"kind": "whatsapp_cloud", "secrets": secrets})
    now_us = time.time_ns() // 1000
    request = whatsapp_examples.sign({"object": "whatsapp_business_account", "entry": 7}, now_us)
    assert (await send(house, "dead", request)).status_code == 200, "or the vendor would repeat it"

    async def letter():
        return next((one for one in await letters(house) if one["connector"] == "dead"), None)

    kept = await eventually(letter)
    assert kept["failed_in"] == "channels"
    for wanted, some in (
        (f"reason={kept['reason']}&connector=dead&failed_in=channels&replayed=false", True),
        ("connector=dead&replayed=true", False),
        ("connector=dead&failed_in=sla", False),
    ):
        shown = (await house.ops.get(f"/dead-letters?{wanted}")).json()["dead_letters"]
        assert bool(shown) == some, wanted
    refused = await house.admin.post(f"/dead-letters/{kept['id']}:replay")
    assert refused.status_code == 409, "the codec is as it was"
    assert (await house.ops.post(f"/dead-letters/{kept['id']}:replay")).status_code == 403
    assert (await house.admin.post("/dead-letters/dlt_0:replay")).status_code == 404


async def test_a_poison_record_becomes_a_dead_letter_and_can_be_replayed(house):
    before = await house.post(key="poison", name="q-0")
    poison = {"workspace": "acme", "connector": "x", "channel": "no such channel"}
    await house.say(
        "interaction.message.v1", topics.INTERACTIONS["chat"], poison, "evt_" + "9" * 32
    )
    after = await house.post(key="poison", name="q-1", time="2026-11-22T09:10:00Z")
    await house.messages(after["conversation_id"], lambda some: len(some) == 2)
    assert before["conversation_id"] == after["conversation_id"]

    async def letter():
        found = [one for one in await letters(house) if one["event_id"] == "evt_" + "9" * 32]
        return found or None

    (kept,) = await eventually(letter)
    assert (kept["failed_in"], kept["topic"]) == ("archive", "interactions.chat")
    answer = await house.admin.post(f"/dead-letters/{kept['id']}:replay")
    assert (answer.status_code, answer.json()["events"]) == (202, 1)
    last = (await house.records(topics.INTERACTIONS["chat"]))[-1]
    assert from_record(last.headers, last.value).id == "evt_" + "9" * 32, "with its first id"


async def test_what_was_written_as_text_is_read_as_text(house):
    """Odd characters survive the whole way; PostgreSQL never sees a NUL."""
    odd = "emoji 🎉 rtl \u202e quote ' \" \\ \u2028 end"
    row = await house.post(key="odd", name="o-1", text=odd, attributes={"a'\"": "\u0001"})
    (message,) = await house.messages(row["conversation_id"], len)
    assert message["text"] == odd


async def test_another_workspaces_connector_is_unknown_here(house):
    await put(house, "mine", {"kind": "whatsapp_cloud"})
    answer = await house.open.post("/v1/workspaces/other/connectors/mine/inbound", content=b"{}")
    assert answer.status_code == 404
    answer = await house.open.post("/v1/workspaces/nowhere/connectors/mine/inbound", content=b"{}")
    assert answer.status_code == 404


async def test_preview_publishes_nothing(house):
    before = len(await house.records(topics.RAW))
    example = next(iter(registry.load()["whatsapp_cloud"].examples()))
    body = {
        "kind": "whatsapp_cloud",
        "secrets": {n: list(v) for n, v in example.secrets.items()},
        "url": example.request.url,
        "headers": [list(one) for one in example.request.headers],
        "body_base64": base64.b64encode(example.request.body).decode(),
        "received_at": format_instant(example.request.received_at_us),
    }
    answer = await house.ops.post("/connectors:preview", json=body)
    assert answer.status_code == 200
    assert answer.json()["verdict"] == "valid"
    assert [one["type"] for one in answer.json()["events"]] == list(example.events)
    assert len(await house.records(topics.RAW)) == before


async def test_large_payloads_are_taken_beside_other_calls(house):
    """By a connector's address, in a preview and posted: read elsewhere, and what they become is the same."""
    shown = (await put(house, "large", {"kind": "email_mime"})).json()
    head = b"From: kim@example.org\r\nMessage-ID: <large@x>\r\nContent-Type: text/html\r\n\r\n"
    mail = head + b"<p>hello <b>there</b></p>\n" * 4_000
    path, headers = httpx.URL(shown["inbound_url"]).path, {"Content-Type": "message/rfc822"}
    body = {
        "kind": "email_mime",
        "headers": [["Content-Type", "message/rfc822"]],
        "body_base64": base64.b64encode(mail).decode(),
    }
    rows = [event(key="large", name=f"l-{number}", text="word " * 100) for number in range(600)]
    taken, tried, posted, told = await asyncio.gather(
        house.open.post(path, content=mail, headers=headers, timeout=60),
        house.ops.post("/connectors:preview", json=body, timeout=60),
        house.admin.post(
            "/events",
            content=b"\n".join(json.dumps(row).encode() for row in rows),
            headers={"Content-Type": "application/x-ndjson"},
            timeout=60,
        ),
        house.admin.get("/connectors/large"),
    )
    assert taken.status_code < 300, taken.text
    assert told.status_code == 200
    assert tried.json()["events"][0]["data"]["text"].startswith("hello there")
    assert [one["status"] for one in posted.json()["results"]] == ["accepted"] * 600
    bad = await house.ops.post(
        "/connectors:preview", json={**body, "kind": "email_mim"}, timeout=60
    )
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (400, "/kind")


async def test_a_conversation_is_exported_as_a_vcon_that_can_be_imported(house):
    """Through the archive and back: the same words at the same times under the same id."""
    first = await house.post(key="export", name="x-1", kind="conversation_started", text=...)
    await house.post(key="export", name="x-2", text="My invoice is wrong")
    agent = {"role": "agent", "id": "ana", "name": "Ana"}
    picture = {
        "name": "a.txt",
        "content_type": "text/plain",
        "content_base64": base64.b64encode(b"hello").decode(),
    }
    await house.post(
        key="export",
        name="x-3",
        direction="outbound",
        author=agent,
        attachments=[picture],
        time="2026-11-22T09:01:00Z",
    )
    conversation = first["conversation_id"]
    await house.messages(conversation, lambda some: len(some) == 2)
    answer = await house.platform.get(f"/conversations/{conversation}/vcon")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vcon+json"
    document = answer.json()
    assert (document["vcon"], len(document["dialog"])) == ("0.0.2", 2)
    assert (await house.platform.get(f"/conversations/{conversation}/vcon")).content == (
        answer.content
    )
    assert (await house.ben.get(f"/conversations/{conversation}/vcon")).status_code == 404
    assert (await house.admin.get("/conversations/cnv_0/vcon")).status_code == 404

    made = await put(house, "vcons", {"kind": "vcon"})
    path = made.json()["inbound_url"].removeprefix("https://omni.example")
    sent = await house.open.post(
        path, content=answer.content, headers={"Content-Type": "application/vcon+json"}
    )
    assert sent.status_code == 200, sent.text

    async def again():
        found = (await house.admin.get("/conversations", params={"connector": "vcons"})).json()
        held = found["conversations"]
        if not held or held[0]["conversation_key"] != document["uuid"]:
            return None
        back = (await house.admin.get(f"/conversations/{held[0]['id']}/vcon")).json()
        return back if len(back["attachments"]) == 1 else None

    back = await eventually(again)
    assert back["uuid"] == document["uuid"]
    assert [(one["start"], one["body"]) for one in back["dialog"]] == [
        (one["start"], one["body"]) for one in document["dialog"]
    ]
    assert back["attachments"][0]["body"] == document["attachments"][0]["body"]
