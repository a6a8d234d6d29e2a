"""Raw payloads read again through today's codecs, and dead letters replayed after a fix: over HTTP,
with the router and the SLA beside, on the embedded log and on Kafka."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
import pytest_asyncio

from services.channels.connectors.chat import whatsapp_examples
from services.channels.connectors.phone import webvtt
from services.channels.connectors.signatures import TwilioSignature
from services.cli.apply.client import Api
from services.cli.renormalising import renormalised
from shared.contracts import topics
from shared.contracts.envelope import from_record
from shared.contracts.instants import format_instant
from shared.testing.bus_reading import read_all

pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG_AGO = "2020-01-01T00:00:00Z"
PATIENCE_S = 15


class House:
    """A running system with one workspace, an administrator and the vendors."""

    def __init__(self, system, token):
        self.system, self.token = system, token
        self.open = httpx.AsyncClient(base_url=system.url, timeout=20)
        self.admin = httpx.AsyncClient(
            base_url=f"{system.url}/v1/workspaces/acme",
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )

    async def put(self, name, kind, secrets=None, **settings):
        body = {"kind": kind, "settings": settings, "secrets": secrets or {}}
        answer = await self.admin.put(f"/connectors/{name}", json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["inbound_url"].removeprefix("https://omni.example")

    async def send(self, path, body, headers):
        return await self.open.post(path, content=body, headers=list(headers))

    async def again(self, name, **body):
        """A whole run, its pieces' counts added."""
        asked, total = {"from": LONG_AGO, **body}, {}
        while True:
            answer = await self.admin.post(f"/connectors/{name}:renormalise", json=asked)
            assert answer.status_code == 200, answer.text
            piece = answer.json()
            for key, value in piece.items():
                if isinstance(value, (int, list)) and not isinstance(value, bool):
                    total[key] = total[key] + value if key in total else value
            if piece["next"] is None:
                return total
            asked = {"cursor": piece["next"]}

    async def events(self, channel, connector):
        """What lies on the channel's topic of this connector."""
        partition = (await self.system.parts.platform.workspace("acme")).partition
        records = await read_all(self.system.parts.bus, (topics.INTERACTIONS[channel], partition))
        found = [from_record(record.headers, record.value) for record in records]
        return [one for one in found if one.source == f"connectors/{connector}"]

    async def messages(self, connector, enough):
        async def look():
            found = (await self.admin.get("/conversations", params={"connector": connector})).json()
            held = found["conversations"]
            if not held:
                return None
            path = f"/conversations/{held[0]['conversation_id']}/messages"
            messages = (await self.admin.get(path)).json()["messages"]
            return messages if enough(messages) else None

        return await eventually(look)

    async def decided(self):
        """Everything that the router has told."""
        found, last = [], 0
        while page := (await self.admin.get("/events", params={"after": last})).json()["events"]:
            found, last = found + page, page[-1]["seq"]
        return found


async def eventually(look):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(0.03)
    raise AssertionError(f"not within {PATIENCE_S} s")


@asynccontextmanager
async def opened(start_system, target, **settings):
    async with start_system(target, public_url="https://omni.example", **settings) as system:
        await system.parts.platform.create_workspace("acme", 2, {"languages": ["en", "de"]})
        await system.parts.platform.create_workspace("other", 2, {})
        _, token = await system.parts.keys.create("acme", "admin", "admin")
        house = House(system, token)
        try:
            yield house
        finally:
            await house.open.aclose()
            await house.admin.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(start_system):
    async with opened(start_system, "all") as made:
        yield made


TOKEN = "example-twilio-token"


def spoken(path, track, said, number):
    form = {
        "CallSid": "CA1",
        "TranscriptionSid": "GT1",
        "TranscriptionEvent": "transcription-content",
        "TranscriptionData": json.dumps({"transcript": said}),
        "Final": "true",
        "Track": track,
        "SequenceId": str(number),
        "Timestamp": format_instant(time.time_ns() // 1000),
    }
    body = urlencode(form).encode()
    url = f"https://omni.example{path}"
    signature = TwilioSignature().sign(TOKEN, url, list(form.items()))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": signature,
    }
    return body, headers.items()


async def call(house, name):
    path = await house.put(name, "twilio_transcription", {"auth_token": TOKEN})
    for number, track in enumerate(("inbound_track", "outbound_track"), 1):
        body, headers = spoken(path, track, f"said on {track}", number)
        assert (await house.send(path, body, headers)).status_code == 200
        # The same again: one revision all the same.
        assert (await house.send(path, body, headers)).status_code == 200
    return path


async def test_a_span_is_published_again_as_revisions_that_only_update(house):
    await call(house, "calls")
    heard = await house.messages("calls", lambda some: len(some) == 2)
    assert [one["author"]["role"] for one in heard] == ["customer", "agent"]
    await eventually(lambda: tasks_of(house, 1))
    before = await house.decided()
    first = {one.id for one in await house.events("phone", "calls")}

    dry = await house.again("calls", dry_run=True)
    assert (dry["requests"], dry["events"], dry["published"], dry["unchanged"]) == (4, 2, 0, 2)
    assert {one.id for one in await house.events("phone", "calls")} == first

    await house.put("calls", "twilio_transcription", customer_track="outbound_track")
    dry = await house.again("calls", dry_run=True)
    assert (dry["changed"], dry["published"]) == (2, 0)
    assert all({"author", "direction"} <= set(one["fields"]) for one in dry["changes"])
    done = await house.again("calls")
    assert (done["published"], done["changed"], done["unusable"]) == (2, 2, 0)

    heard = await house.messages(
        "calls", lambda some: [one["author"]["role"] for one in some] == ["agent", "customer"]
    )
    assert len(heard) == 2, "updated, not added"
    again = [one for one in await house.events("phone", "calls") if one.id not in first]
    data = [msgspec.json.decode(one.data) for one in again]
    assert [one["revision"] for one in data] == [1, 1]
    assert {one["replay_of"] for one in data} == first
    assert await house.decided() == before, "nothing opens, reopens or notifies"

    await house.again("calls")
    third = [msgspec.json.decode(one.data) for one in await house.events("phone", "calls")][-2:]
    assert [one["revision"] for one in third] == [2, 2]
    assert {one["replay_of"] for one in third} == first
    assert await house.decided() == before


async def tasks_of(house, count):
    created = [one for one in await house.decided() if one["type"] == "routing.task.created.v1"]
    return created if len(created) >= count else None


async def test_only_the_span_and_only_the_connector_are_read(house):
    path = await house.put("span", "whatsapp_cloud", {"app_secret": whatsapp_examples.APP_SECRET})
    marks = [format_instant(time.time_ns() // 1000)]
    for name in ("wamid.1", "wamid.2", "wamid.3"):
        now_us = time.time_ns() // 1000
        message = whatsapp_examples.message(name, "text", {"body": name}, now_us)
        request = whatsapp_examples.sign(whatsapp_examples.payload_of("messages", message), now_us)
        assert (await house.send(path, request.body, request.headers)).status_code == 200
        marks.append(format_instant(time.time_ns() // 1000))
    whole = await house.again("span", dry_run=True)
    assert whole["requests"] == 3, "not the other connector's"
    middle = await house.again("span", **{"from": marks[1], "to": marks[2], "dry_run": True})
    assert middle["requests"] == 1
    later = await house.again("span", **{"from": marks[3], "dry_run": True})
    assert later["requests"] == 0


async def test_a_large_payload_comes_from_the_store_of_blobs_with_what_its_address_said(house):
    path = await house.put("captions", "webvtt")
    cues = "".join(
        f"00:{n // 60:02}:{n % 60:02}.000 --> 00:{n // 60:02}:{n % 60:02}.900\n<v Kim>word {n}\n\n"
        + "NOTE " + "x" * 300 + "\n\n"
        for n in range(900)
    )  # fmt: skip
    body = f"WEBVTT\n\n{cues}".encode()
    assert len(body) > 256 * 1024
    url = f"{path}?conversation_key=call-77"
    answer = await house.send(url, body, {"Content-Type": "text/vtt"}.items())
    assert answer.status_code == 200, answer.text
    partition = (await house.system.parts.platform.workspace("acme")).partition
    kept = (await read_all(house.system.parts.bus, (topics.RAW, partition)))[-1].value
    assert len(kept) < 2000 and path.rpartition("/")[2].encode() not in kept, "no secret address"
    await house.messages("captions", len)
    again = await house.again("captions")
    assert (again["events"], again["unchanged"], again["unusable"]) == (900, 900, 0)
    keys = {msgspec.json.decode(one.data)["conversation_key"] for one in await house.events("phone", "captions")}  # fmt: skip
    assert keys == {"call-77"}
    assert webvtt.CONNECTOR.kind == "webvtt"


async def letters(house, connector):
    found = (await house.admin.get("/dead-letters")).json()["dead_letters"]
    return [one for one in found if one["connector"] == connector] or None


async def test_what_cannot_be_parsed_is_kept_and_parsed_after_the_fix(house):
    """Verified, answered as the vendor needs, kept with the reason, replayed with its first id."""
    rules = {"id": "body.id", "conversation_key": "body.thred", "text": "body.words"}
    path = await house.put("mapped", "mapping", fields=rules)
    told = {"id": "7", "thread": "t", "words": "Please call me"}
    before = await house.decided()
    answer = await house.send(path, json.dumps(told).encode(), JSON.items())
    assert answer.status_code == 200, "a refusal would only bring it again"
    (letter,) = await eventually(lambda: letters(house, "mapped"))
    assert letter["failed_in"] == "channels" and letter["reason"] and letter["detail"]
    early = await house.admin.post(f"/dead-letters/{letter['id']}:replay")
    assert (early.status_code, early.json()["reason"]) == (409, "state")
    assert (await house.again("mapped"))["unusable"] == 1

    await house.put("mapped", "mapping", fields={**rules, "conversation_key": "body.thread"})
    done = await house.admin.post(f"/dead-letters/{letter['id']}:replay")
    assert (done.status_code, done.json()["events"]) == (202, 1)
    (message,) = await house.messages("mapped", len)
    assert message["text"] == "Please call me"
    (event,) = await house.events("chat", "mapped")
    assert "replay_of" not in msgspec.json.decode(event.data), "it is heard for the first time"

    async def opened_one():
        new = (await house.decided())[len(before) :]
        return [one for one in new if one["type"] == "routing.task.created.v1"] or None

    assert len(await eventually(opened_one)) == 1
    (letter,) = await letters(house, "mapped")
    assert letter["replayed_at"] is not None


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/from"),
        ({"from": "yesterday"}, "/from"),
        ({"from": LONG_AGO, "to": LONG_AGO}, "/to"),
        ({"from": LONG_AGO, "too": LONG_AGO}, "/too"),
        ({"cursor": "abc"}, "/query/cursor"),
        ({"cursor": "abc", "from": LONG_AGO}, "/from"),
    ],
)
async def test_bad_input_is_named(house, body, pointer):
    await house.put("named", "email_mime")
    answer = await house.admin.post("/connectors/named:renormalise", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await house.admin.post("/connectors/none:renormalise", json=body)).status_code in (
        400,
        404,
    )


async def test_the_command_goes_over_all_pieces(house, monkeypatch, capsys):
    from rich.console import Console

    from services.channels import renormalise

    monkeypatch.setattr(renormalise, "MAX_RECORDS", 3)
    monkeypatch.setattr(renormalise, "BATCH_RECORDS", 2)
    await call(house, "pieces")
    async with Api(house.system.url, house.token, "acme") as api:
        report = await renormalised(api, "pieces", LONG_AGO, None, True, Console())
        assert (report.requests, report.published) == (4, 0)
        report = await renormalised(api, "pieces", LONG_AGO, None, False, None)
    assert (report.requests, report.unusable) == (4, 0)
    new = [msgspec.json.decode(one.data) for one in await house.events("phone", "pieces")][4:]
    assert {(one["message_id"], one["revision"]) for one in new} == {
        (one["message_id"], 1) for one in new
    }, "in pieces a repetition is still the same revision"
    assert "4 payloads" in capsys.readouterr().out


@pytest.mark.kafka
async def test_it_works_on_kafka(start_system, kafka_broker):
    async with opened(start_system, "channels", kafka=kafka_broker.bootstrap) as house:
        await call(house, "calls")
        await house.messages("calls", lambda some: len(some) == 2)
        done = await house.again("calls")
        assert (done["requests"], done["published"], done["unchanged"]) == (4, 2, 2)
        later = format_instant(time.time_ns() // 1000)
        assert (await house.again("calls", **{"from": later}))["requests"] == 0
