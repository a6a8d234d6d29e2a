"""The web chat of browsers over HTTP: a visitor's token, his words, the answers, and nobody else's."""

import asyncio
import json
import time

import httpx
import pytest
import pytest_asyncio

from services.channels.connectors.bearer import sign_hs256
from shared.contracts import topics
from shared.contracts.envelope import from_record
from shared.testing.bus_reading import read_all

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = "a-browser-key-of-at-least-32-characters"
SHOP = {"Origin": "https://shop.example"}
CHAT = "/v1/workspaces/acme/connectors/chat/chat/messages"


class House:
    def __init__(self, system):
        self.system = system
        self.clients = {}
        self.page = httpx.AsyncClient(base_url=system.url, timeout=40)

    async def prepare(self):
        platform = self.system.parts.platform
        await platform.create_workspace("acme", 2, {"languages": ["en", "de"]})
        for role in ("platform", "admin", "ops"):
            _, token = await self.system.parts.keys.create("acme", role, role)
            self.clients[role] = httpx.AsyncClient(
                base_url=f"{self.system.url}/v1/workspaces/acme",
                headers={"Authorization": f"Bearer {token}"},
            )
        secrets = {"browser_key": [KEY, "an-older-browser-key-of-32-characters"]}
        settings = {"origins": ["https://shop.example"]}
        for name in ("chat", "second"):
            body = {"kind": "web_chat", "settings": settings, "secrets": secrets}
            answer = await self.admin.put(f"/connectors/{name}", json=body)
            assert answer.status_code == 201, answer.text
        return self

    def __getattr__(self, name):
        return self.clients[name]

    async def close(self):
        for client in (*self.clients.values(), self.page):
            await client.aclose()

    async def token(self, conversation, visitor="v-1", connector="chat", **more):
        known = [{"scheme": "email", "value": "kim@example.org"}]
        who = {"id": visitor, "name": "Kim", "identities": known}
        body = {"conversation": conversation, "visitor": who, **more}
        answer = await self.platform.post(f"/connectors/{connector}/chat-tokens", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def say(self, token, **said):
        return await self.page.post(CHAT, json=said, headers=bearer(token))

    async def hear(self, token, **query):
        return await self.page.get(CHAT, params=query, headers=bearer(token))

    async def answer(self, conversation, text):
        answer = await self.admin.post(
            f"/conversations/{conversation}/messages", json={"text": text, "agent_id": "ana"}
        )
        assert answer.status_code == 201, answer.text


def bearer(token, **more):
    return {"Authorization": f"Bearer {token}", **SHOP, **more}


def json_of(token):
    return bearer(token, **{"Content-Type": "application/json"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(start_system):
    async with start_system("channels", public_url="https://omni.example") as system:
        made = await House(system).prepare()
        try:
            yield made
        finally:
            await made.close()


async def test_a_visitor_speaks_and_reads_the_answer(house):
    made = await house.token("c-1")
    token, conversation = made["token"], made["conversation_id"]
    assert made["messages_url"] == f"https://omni.example{CHAT}"
    first = await house.say(token, id="m-1", sequence=1, text="Do you deliver to Graz?")
    again = await house.say(token, id="m-1", sequence=1, text="Do you deliver to Graz?")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json(), "the page may repeat what it does not know to have arrived"
    assert first.json()["conversation_id"] == conversation

    heard = (await house.hear(token, wait=10)).json()
    (own,) = heard["messages"]
    assert (own["id"], own["sequence"], own["text"]) == ("m-1", 1, "Do you deliver to Graz?")
    assert own["message_id"] == first.json()["message_id"]

    began = time.monotonic()
    waiting = asyncio.create_task(house.hear(token, after=heard["next"], wait=20))
    await asyncio.sleep(0.6)
    assert not waiting.done()
    await house.answer(conversation, "Yes, we do")
    answered = (await waiting).json()
    assert time.monotonic() - began < 10, "as soon as it is there"
    (reply,) = answered["messages"]
    assert (reply["sequence"], reply["text"], reply["direction"]) == (2, "Yes, we do", "outbound")
    assert reply["author"] == {"role": "agent", "name": None}, "an agent's id stays inside"
    whole = (await house.hear(token)).json()
    assert [one["sequence"] for one in whole["messages"]] == [1, 2]
    assert (await house.hear(token, after=2, wait=0.3)).json() == {"messages": [], "next": 2}

    shown = (await house.admin.get(f"/conversations/{conversation}")).json()
    assert shown["customer"]["name"] == "Kim"
    assert {"scheme": "email", "value": "kim@example.org"} in shown["customer"]["identities"]


STREAM = "/v1/workspaces/acme/connectors/chat/chat/stream"


async def heard_on(house, conversation, several, *, headers=SHOP, **query):
    """So many messages of a stream, each as (its id, what it says)."""
    found = []
    async with house.page.stream("GET", STREAM, params=query, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        name = None
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                name = line[4:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
                if len(found) == several:
                    return found
    return found


async def test_answers_come_by_stream_and_a_broken_one_goes_on(house):
    made = await house.token("s-1")
    token, conversation = made["token"], made["conversation_id"]
    assert made["stream_url"] == f"https://omni.example{STREAM}"
    await house.say(token, id="m-1", text="Hello?")
    both = asyncio.create_task(heard_on(house, conversation, 2, headers=bearer(token)))
    await house.hear(token, wait=10)
    await house.answer(conversation, "Good morning")
    (own, said), (answer, reply) = await asyncio.wait_for(both, 15)
    assert (own, said["id"], said["text"]) == ("1", "m-1", "Hello?")
    assert (answer, reply["sequence"], reply["text"]) == ("2", 2, "Good morning")
    assert reply["author"] == {"role": "agent", "name": None}
    assert reply == (await house.hear(token, after=1)).json()["messages"][0]
    await house.answer(conversation, "How can we help?")
    resumed = await asyncio.wait_for(
        heard_on(house, conversation, 1, headers=bearer(token, **{"Last-Event-ID": "2"})), 15
    )
    assert [(name, one["text"]) for name, one in resumed] == [("3", "How can we help?")]


async def ticket(house, token):
    answer = await house.page.post(f"{STREAM}-tickets", headers=bearer(token))
    assert answer.status_code == 201, answer.text
    return answer.json()["ticket"]


async def test_a_ticket_opens_the_stream_of_one_conversation_and_nothing_else(house):
    token = (await house.token("s-2"))["token"]
    other = (await house.token("s-3", visitor="v-2"))["token"]
    await house.say(token, id="m-1", text="Mine")
    await house.say(other, id="m-2", text="Another's")
    opened = await ticket(house, token)
    found = await asyncio.wait_for(heard_on(house, None, 1, ticket=opened, after=0), 15)
    assert [one["text"] for _, one in found] == ["Mine"]
    assert (await house.hear(opened)).status_code == 401, "it reads by stream only"
    assert (await house.say(opened, id="m-3", text="x")).status_code == 401
    elsewhere = STREAM.replace("/chat/chat/", "/second/chat/")
    for path, query in ((elsewhere, opened), (STREAM, token), (STREAM, "x"), (STREAM, "")):
        answer = await house.page.get(path, params={"ticket": query}, headers=SHOP)
        assert answer.status_code == 401, path
    for header in ({"Origin": "https://evil.example"}, {**SHOP, "Last-Event-ID": "x"}):
        answer = await house.page.get(STREAM, params={"ticket": opened}, headers=header)
        assert answer.status_code in (403, 400), answer.text


async def test_a_stream_ends_with_the_visitors_token(house):
    now = int(time.time())
    claims = {"sub": "v-9", "conversation": "s-9", "iat": now - 60, "exp": now + 2}
    token = sign_hs256(claims, KEY)
    began = time.monotonic()
    assert await asyncio.wait_for(heard_on(house, None, 1, headers=bearer(token)), 15) == []
    assert time.monotonic() - began < 10


async def test_a_page_edits_and_ends(house):
    made = await house.token("c-2")
    token = made["token"]
    await house.say(token, id="m-1", text="Where is it")
    changed = await house.say(token, id="m-2", type="edit", replaces="m-1", text="Where is it?")
    assert changed.status_code == 202, changed.text
    await house.say(token, id="m-3", type="end")

    async def edited():
        found = (await house.hear(token)).json()["messages"]
        return found if found and found[0]["edited"] else None

    (message,) = await eventually(edited)
    assert (message["text"], message["deleted"]) == ("Where is it?", False)

    async def ended():
        shown = (await house.admin.get(f"/conversations/{made['conversation_id']}")).json()
        return shown.get("ended_at")

    assert await eventually(ended)


async def eventually(look):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(0.03)
    raise AssertionError("not within 10 s")


async def test_a_visitor_reads_no_other_conversation(house):
    mine, theirs = await house.token("c-3", "v-3"), await house.token("c-4", "v-4")
    await house.say(mine["token"], id="m-1", text="My account number is 7")
    await house.hear(mine["token"], wait=10)
    assert (await house.hear(theirs["token"])).json()["messages"] == []
    await house.say(theirs["token"], id="m-1", text="Hello")
    (own,) = (await house.hear(theirs["token"], wait=10)).json()["messages"]
    assert own["text"] == "Hello", "the same client id in another conversation is another message"


def claims(**changes):
    now = int(time.time())
    return {"sub": "v", "conversation": "c-9", "iat": now, "exp": now + 300, **changes}


async def test_no_id_reaches_into_the_conversation_of_another(house):
    """The key of one conversation may be the beginning of another's."""
    theirs, mine = await house.token("order:1", "v-2"), await house.token("order", "v-3")
    said = await house.say(theirs["token"], id="m-1", text="my own words")
    same = await house.say(mine["token"], id="1:m-1", text="not theirs")
    assert same.json()["message_id"] != said.json()["message_id"]
    for number, what in enumerate(("edit", "delete")):
        changed = {"id": f"e-{number}", "type": what, "replaces": "1:m-1", "text": "not theirs"}
        assert (await house.say(mine["token"], **changed)).status_code == 202
    assert (await house.say(theirs["token"], id="m-2", text="last")).status_code == 202
    heard, after = [], 0
    while len(heard) < 2:
        news = (await house.hear(theirs["token"], after=after, wait=10)).json()
        heard, after = [*heard, *news["messages"]], news["next"]
    assert [(one["text"], one["edited"], one["deleted"]) for one in heard] == [
        ("my own words", False, False),
        ("last", False, False),
    ]
    one = (await house.hear(mine["token"], wait=10)).json()["messages"]
    assert [(each["id"], each["deleted"]) for each in one] == [("1:m-1", True)]


async def test_a_streams_ticket_lets_nobody_speak(house):
    token = (await house.token("c-ticket"))["token"]
    address = "/v1/workspaces/acme/connectors/chat"
    made = await house.page.post(f"{address}/chat/stream-tickets", headers=bearer(token))
    said = {"id": "m-1", "conversation": "c-ticket", "text": "hello"}
    for one, status in ((made.json()["ticket"], (401, 403)), (token, (200, 202))):
        answer = await house.page.post(f"{address}/inbound", json=said, headers=bearer(one))
        assert answer.status_code in status, answer.text


async def test_only_a_good_token_opens(house):
    now = int(time.time())
    good = sign_hs256(claims(), KEY)
    assert (await house.hear(good)).status_code == 200, "your server may sign tokens itself"
    older = sign_hs256(claims(), "an-older-browser-key-of-32-characters")
    assert (await house.hear(older)).status_code == 200, "during rotation"
    elsewhere = (await house.token("c-9", connector="second"))["token"]
    platform = house.platform.headers["authorization"].removeprefix("Bearer ")
    for token in (
        "x",
        sign_hs256(claims(), "another key"),
        sign_hs256(claims(iat=now - 900, exp=now - 300), KEY),
        sign_hs256(claims(exp=now + 86_400), KEY),
        sign_hs256(claims(iat=now + 3000, exp=now + 3300), KEY),
        sign_hs256(claims(sub=""), KEY),
        sign_hs256(claims(conversation=None), KEY),
        good.rpartition(".")[0] + ".",
        elsewhere,
        platform,
    ):
        for answer in (await house.hear(token), await house.say(token, id="m", text="x")):
            assert answer.status_code == 401, token
            assert answer.headers["access-control-allow-origin"] == SHOP["Origin"]
            assert answer.json()["type"] == "/problems/unauthenticated"
    bare = await house.page.get(CHAT)
    assert bare.status_code == 401


async def test_only_configured_origins_may_call(house):
    token = (await house.token("c-5"))["token"]
    ask = {"Access-Control-Request-Method": "POST", **SHOP}
    allowed = await house.page.options(CHAT, headers=ask)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == SHOP["Origin"]
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    assert allowed.headers["vary"] == "Origin"
    for origin in ("https://evil.example", "https://shop.example.evil.example", "null"):
        foreign = {**bearer(token), "Origin": origin}
        for answer in (
            await house.page.options(CHAT, headers={**ask, "Origin": origin}),
            await house.page.get(CHAT, headers=foreign),
            await house.page.post(CHAT, json={"id": "m", "text": "x"}, headers=foreign),
        ):
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    own = {**bearer(token), "Origin": "https://omni.example"}
    assert (await house.page.get(CHAT, headers=own)).status_code == 200
    native = {"Authorization": f"Bearer {token}"}
    assert (await house.page.get(CHAT, headers=native)).status_code == 200, "no page at all"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"text": "x"}, "/id"),
        ({"id": "m", "text": "x" * 10_001}, "/text"),
        ({"id": "m", "text": "x", "author": {"role": "agent"}}, "/author"),
        ({"id": "m", "text": "x", "conversation": "c-1"}, "/conversation"),
        ({"id": "m", "type": "status"}, "/type"),
        ({"id": "m" * 129, "text": "x"}, "/id"),
    ],
)
async def test_a_page_says_only_what_a_visitor_may(house, body, pointer):
    token = (await house.token("c-6"))["token"]
    answer = await house.say(token, **body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_bounds_are_kept(house):
    token = (await house.token("c-7", "v-7"))["token"]
    empty = await house.say(token, id="m")
    assert (empty.status_code, empty.json()["type"]) == (400, "/problems/validation")
    large = await house.page.post(CHAT, content=b" " * 70_000, headers=json_of(token))
    assert large.status_code == 413
    assert (await house.hear(token, wait=26)).status_code == 400
    answers = [await house.hear(token) for _ in range(60)]
    limited = [one for one in answers if one.status_code == 429]
    assert limited and limited[0].headers["retry-after"], "one visitor does not fill the house"
    other = (await house.token("c-8", "v-8"))["token"]
    assert (await house.hear(other)).status_code == 200


async def test_tokens_are_made_by_the_platform_for_web_chats_with_a_key(house):
    body = {"conversation": "c", "visitor": {"id": "v"}}
    assert (await house.ops.post("/connectors/chat/chat-tokens", json=body)).status_code == 403
    assert (await house.page.post("/v1/workspaces/acme/connectors/chat/chat-tokens", json=body)).status_code == 401  # fmt: skip
    await house.admin.put("/connectors/keyless", json={"kind": "web_chat"})
    missing = await house.platform.post("/connectors/keyless/chat-tokens", json=body)
    assert (missing.status_code, "browser_key" in missing.json()["detail"]) == (409, True)
    await house.admin.put("/connectors/mail", json={"kind": "email_mime"})
    assert (await house.platform.post("/connectors/mail/chat-tokens", json=body)).status_code == 404
    long = await house.platform.post("/connectors/chat/chat-tokens", json={**body, "ttl_s": 4000})
    assert long.json()["errors"][0]["pointer"] == "/ttl_s"
    page = {"kind": "web_chat", "settings": {"origins": ["*"]}}
    assert (await house.admin.put("/connectors/any", json=page)).status_code == 400


async def test_no_token_is_kept(house):
    made = await house.token("c-10")
    await house.say(made["token"], id="m-1", text="Hello")
    partition = (await house.system.parts.platform.workspace("acme")).partition
    for topic in (topics.RAW, topics.INTERACTIONS["chat"]):
        records = await read_all(house.system.parts.bus, (topic, partition))
        assert records
        for record in records:
            assert made["token"][-20:].encode() not in record.value
            json.loads(from_record(record.headers, record.value).data)
