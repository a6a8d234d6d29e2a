"""Raw payloads as records, and connectors that are opened once."""

import base64
from hashlib import sha256
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.channels import vendors
from services.channels.connectors.chat import whatsapp_examples
from services.channels.connectors.port import InboundRequest
from services.channels.context import Channels
from services.channels.directory import Directory
from services.channels.raw import raw_record, raw_request
from services.channels.store import StoredConnector
from shared.bus.port import MAX_RECORD_BYTES, Outgoing
from shared.contracts import ids, topics
from shared.contracts.problems import Refused
from shared.db.secrets import SecretBox

URL = "https://a.example/v1/workspaces/acme/connectors/main/inbound"


def record(headers: tuple[tuple[str, str], ...], body: bytes, url: str = URL) -> Outgoing:
    request = InboundRequest("POST", url, headers, body, 1_772_442_000_000_000)
    return raw_record(raw_request(request, "main", None), "acme", 0)


@given(st.lists(st.tuples(st.just("x-one"), st.text())), st.binary(max_size=64))
@example([("x-one", "it's"), ("x-one", 'a "quoted" one')], b"{}")
@example([("x-one", "\\"), ("x-one", "\x7f"), ("x-one", "ü"), ("x-one", "\x00")], b"")
def test_a_raw_records_id_is_the_hash_of_its_parts(
    headers: list[tuple[str, str]], body: bytes
) -> None:
    made = record(tuple(headers), body)
    wanted = ids.derive("raw", "acme", "main", made.value)
    assert dict(made.headers)["ce_id"] == wanted.encode()
    assert base64.b64decode(msgspec.json.decode(made.value or b"")["body_base64"]) == body


def test_a_raw_records_id_stays_what_it_was() -> None:
    made = record((("content-type", "application/json"),), b'{"a": 1}')
    assert dict(made.headers)["ce_id"] == b"raw_3c03ae27a477f0d960ba65e764d31af4"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (URL, URL),
        (f"{URL}/abc?x=1", f"{URL}/…?x=1"),
        (f"{URL}?token=abc&x=1", f"{URL}?token=…&x=1"),
    ],
)
def test_credentials_of_an_address_are_not_kept(sent: str, kept: str) -> None:
    assert msgspec.json.decode(record((), b"", sent).value or b"")["url"] == kept


class Source:
    async def facts(self, workspace: str) -> tuple[int, dict[str, Any]] | None:
        return 0, {}


class Taking:
    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    async def publish(self, records: list[Outgoing]) -> None:
        self.records += records


class Keeping:
    async def keep(self, content: bytes) -> str:
        return sha256(content).hexdigest()

    async def keep_payload(self, content: bytes, received_at_us: int, kind: str) -> str:
        return sha256(content).hexdigest()


class NothingOwed:
    async def owe(self, *_: object) -> None:
        pass


class Counting(SecretBox):
    opened = 0

    def decrypt(self, sealed: bytes, place: str = "") -> bytes:
        self.opened += 1
        return super().decrypt(sealed, place)


def service(box: SecretBox) -> Channels:
    nothing = cast("Any", None)
    return Channels(
        store=nothing,
        directory=Directory(Source()),
        intake=cast("Any", Taking()),
        blobs=cast("Any", Keeping()),
        secrets=box,
        replies=nothing,
        bus=nothing,
        revisions=nothing,
        chat_waits=nothing,
        chat_rates=nothing,
        public_url="",
        errands=cast("Any", NothingOwed()),
        archive_reached=nothing,
    )


def stored(box: SecretBox, secret: str, **changes: Any) -> StoredConnector:
    sealed = box.encrypt(msgspec.json.encode({"app_secret": [secret]}), "connector\nacme\nmain")
    one = StoredConnector("acme", "main", "whatsapp_cloud", True, {}, sealed, "t", 1)
    return msgspec.structs.replace(one, **changes)


async def test_a_connector_is_opened_once_and_anew_when_it_is_another() -> None:
    box = Counting(b"k" * 32)
    channels, first = service(box), stored(box, whatsapp_examples.APP_SECRET)
    request = whatsapp_examples.examples()[0].request
    for _ in range(3):
        assert (await vendors.receive(channels, first, request)).answer.status == 200
    assert box.opened == 1
    rotated = stored(box, "another", version=2)
    assert (await vendors.receive(channels, rotated, request)).answer.status == 401
    assert (await vendors.receive(channels, first, request)).answer.status == 200
    assert box.opened == 3


async def test_what_was_fetched_needs_no_secret_and_opens_no_door() -> None:
    box = Counting(b"k" * 32)
    channels, sealed = service(box), stored(SecretBox(b"x" * 32), "unreadable here")
    request = whatsapp_examples.examples()[0].request
    assert (await vendors.deliver(channels, sealed, request)).events
    with pytest.raises(Refused):
        await vendors.receive(channels, sealed, request)
    assert box.opened == 1


async def test_opened_secrets_are_not_shown() -> None:
    box = SecretBox(b"k" * 32)
    channels, one = service(box), stored(box, "hidden-word")
    await vendors.receive(channels, one, whatsapp_examples.examples()[0].request)
    kept = channels.opened.get(one)
    assert kept is not None and "hidden-word" not in repr(kept)


async def test_an_event_too_large_for_a_record_becomes_a_dead_letter() -> None:
    box = SecretBox(b"k" * 32)
    channels, one = service(box), stored(box, whatsapp_examples.APP_SECRET)
    products = [{"product_retailer_id": "x" * 2000, "quantity": "1"} for _ in range(600)]
    raw = whatsapp_examples.message("wamid.1", "order", {"product_items": products}, 1)
    request = whatsapp_examples.sign(
        whatsapp_examples.payload_of("messages", raw), 1_772_442_000_000_000
    )
    handled = await vendors.deliver(channels, one, request)
    assert len(handled.events[0].envelope.data) > MAX_RECORD_BYTES
    sent = cast("Any", channels.intake).records
    assert [each.topic for each in sent] == [topics.RAW, topics.DEADLETTER]
