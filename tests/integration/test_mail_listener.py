"""Mail by LMTP and SMTP with real clients: what is acknowledged is durable, each recipient has its
answer, and what cannot be kept now stays with its sender."""

import asyncio
import dataclasses
import datetime
import smtplib
import ssl
import time
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.channels.intake import Intake, draining
from services.channels.mail.delivery import Deliveries
from services.channels.mail.listener import MailSettings, listening
from services.channels.mail.mailboxes import Mailboxes
from services.channels.spool_store import SpoolStore
from shared.bus.memory import MemoryBus
from shared.bus.port import BusUnavailable
from shared.contracts import topics
from shared.db.engine import create_engine
from shared.testing.postgres_fixtures import fresh_database

pytestmark = pytest.mark.asyncio(loop_scope="module")
EMAIL = topics.INTERACTIONS["email"]
PATIENCE_S = 10
FAST = {"send_timeout_s": 0.3, "poll_s": 0.05, "back_off_s": 0.05}


def mail(name="m1", text="Where is my parcel?", to="help@acme.example", **more):
    fields = {"From": "Kim <kim@example.org>", "To": to, "Subject": "Parcel", **more}
    head = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in fields.items())
    return f"{head}Message-ID: <{name}@example.org>\r\n\r\n{text}\r\n".encode()


class House:
    """A channels service that listens for mail, with three mailboxes in two workspaces."""

    def __init__(self, system):
        self.system = system
        self.channels = system.app.state.channels
        self.ports = system.app.state.mail
        self.clients = {}

    async def prepare(self):
        for workspace in ("acme", "other"):
            await self.system.parts.platform.create_workspace(workspace, 2, {})
            _, token = await self.system.parts.keys.create(workspace, "a", "admin", agent=None)
            self.clients[workspace] = httpx.AsyncClient(
                base_url=f"{self.system.url}/v1/workspaces/{workspace}",
                headers={"Authorization": f"Bearer {token}"},
            )
        await self.connector("acme", "mail", ["Help@acme.example", "sales@acme.example"])
        await self.connector("acme", "jobs", ["jobs@acme.example", "shared@acme.example"])
        await self.connector("other", "mail", ["help@other.example", "shared@acme.example"])
        return self

    async def connector(self, workspace, name, addresses):
        body = {"kind": "email_mime", "settings": {"addresses": addresses}}
        answer = await self.clients[workspace].put(f"/connectors/{name}", json=body)
        assert answer.status_code == 201, answer.text

    async def messages(self, workspace, wanted):
        """The texts of a workspace's messages, once `wanted` is among them."""
        ends = time.monotonic() + PATIENCE_S
        while True:
            found = []
            listed = (await self.clients[workspace].get("/conversations")).json()["conversations"]
            for one in listed:
                path = f"/conversations/{one['conversation_id']}/messages"
                found += (await self.clients[workspace].get(path)).json()["messages"]
            if any(one["text"] == wanted for one in found):
                return found
            assert time.monotonic() < ends, f"{wanted!r} not in {[one['text'] for one in found]}"
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(start_system):
    async with start_system(
        "channels", public_url="https://omni.example", lmtp_port=0, smtp_port=0,
        mail_bytes=50_000, mail_recipients=5,
    ) as system:  # fmt: skip
        made = await House(system).prepare()
        yield made
        for client in made.clients.values():
            await client.aclose()


def by_lmtp(port, recipients, content, sender="kim@example.org"):
    """(answers to the recipients' names, answers after the mail), as a mail server sees them."""
    with smtplib.LMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        client.mail(sender)
        named = [client.rcpt(each)[0] for each in recipients]
        taken = named.count(250)
        if not taken:
            return named, []
        client.putcmd("data")
        assert client.getreply()[0] == 354
        client.send(smtplib._quote_periods(content) + b".\r\n")
        return named, [client.getreply()[0] for _ in range(taken)]


async def lmtp(house, recipients, content, sender="kim@example.org"):
    return await asyncio.to_thread(by_lmtp, house.ports.lmtp_port, recipients, content, sender)


async def test_a_mail_by_lmtp_becomes_a_message(house):
    assert await lmtp(house, ["help@acme.example"], mail("first", "Hello\r\n..dots")) == (
        [250],
        [250],
    )
    (found,) = await house.messages("acme", "Hello\n..dots")
    assert found["direction"] == "inbound"


async def test_smtplibs_own_client_is_served(house):
    def send():
        with smtplib.LMTP("127.0.0.1", house.ports.lmtp_port, timeout=20) as client:
            client.sendmail("kim@example.org", ["help@acme.example"], mail("own", "By smtplib"))
            client.sendmail("kim@example.org", ["help@acme.example"], mail("own2", "Once more"))

    await asyncio.to_thread(send)
    await house.messages("acme", "By smtplib")
    await house.messages("acme", "Once more")


async def test_unknown_recipients_are_refused_by_name(house):
    names = ["nobody@acme.example", "HELP@ACME.example", "help+abc@acme.example", "x@y.example"]
    assert await lmtp(house, names, mail("names", "By name")) == ([550, 250, 250, 550], [250, 250])
    found = await house.messages("acme", "By name")
    assert [one["text"] for one in found].count("By name") == 1, "one mailbox, one message"


async def test_each_mailbox_has_its_own_answer_and_message(house):
    names = ["help@acme.example", "jobs@acme.example", "help@other.example"]
    assert await lmtp(house, names, mail("several", "To all")) == ([250] * 3, [250] * 3)
    for workspace, count in (("acme", 2), ("other", 1)):
        found = await house.messages(workspace, "To all")
        ends = time.monotonic() + PATIENCE_S
        while [one["text"] for one in found].count("To all") != count:
            assert time.monotonic() < ends
            found = await house.messages(workspace, "To all")


async def test_an_address_that_two_workspaces_claim_goes_to_neither(house):
    assert (await lmtp(house, ["shared@acme.example"], mail("both")))[0] == [451]


async def test_a_mail_that_is_too_large_is_refused_for_each_recipient(house):
    names = ["help@acme.example", "jobs@acme.example"]
    large = mail("large", "words\r\n" * 20_000)
    assert await lmtp(house, names, large) == ([250, 250], [552, 552])
    assert await lmtp(house, names, mail("line", "x" * 30_000)) == ([250, 250], [250, 250])


async def test_recipients_beyond_the_limit_are_to_be_sent_later(house):
    names = [f"help+{n}@acme.example" for n in range(7)]
    named, answers = await lmtp(house, names, mail("many", "To many"))
    assert (named, answers) == ([250] * 5 + [452] * 2, [250] * 5)


async def test_the_null_sender_is_a_machine(house):
    assert await lmtp(house, ["help@acme.example"], mail("null", "Away"), "") == ([250], [250])
    (found,) = [m for m in await house.messages("acme", "Away") if m["text"] == "Away"]
    assert "auto_reply" in found["flags"]


async def test_the_same_mail_by_another_way_is_the_same_message(house):
    content = mail("twice", "Only once")
    assert await lmtp(house, ["help@acme.example"], content) == ([250], [250])
    assert await lmtp(house, ["sales@acme.example"], content) == ([250], [250])
    shown = (await house.clients["acme"].get("/connectors/mail")).json()
    path = shown["inbound_url"].removeprefix("https://omni.example")
    answer = await house.clients["acme"].post(f"{house.system.url}{path}", content=content)
    assert answer.status_code == 200
    await lmtp(house, ["help@acme.example"], mail("after", "After it"))
    found = await house.messages("acme", "After it")
    assert [one["text"] for one in found].count("Only once") == 1


async def conversation_of(house, text):
    """The conversation that ends with a text."""
    await house.messages("acme", text)
    listed = (await house.clients["acme"].get("/conversations")).json()["conversations"]
    for one in listed:
        path = f"/conversations/{one['conversation_id']}/messages"
        found = (await house.clients["acme"].get(path)).json()["messages"]
        if any(each["text"] == text for each in found):
            return one["conversation_id"]
    raise AssertionError(text)


async def test_threads_go_across_the_connectors_of_a_workspace(house):
    ids = []
    await lmtp(house, ["help@acme.example"], mail("t1", "Thread begins"))
    ids.append(await conversation_of(house, "Thread begins"))
    answer = mail("t2", "By reference", References="<t0@example.org> <t1@example.org>", Subject="x")
    await lmtp(house, ["jobs@acme.example"], answer)
    ids.append(await conversation_of(house, "By reference"))
    await lmtp(house, [f"jobs+{ids[0]}@acme.example"], mail("t3", "By token", Subject="y"))
    ids.append(await conversation_of(house, "By token"))
    tagged = mail("t4", "Has a tag", In_Reply_To="<t3@example.org>", Subject="Re: [Ticket#77] y")
    await lmtp(house, ["help@acme.example"], tagged)
    ids.append(await conversation_of(house, "Has a tag"))
    await lmtp(house, ["jobs@acme.example"], mail("t5", "By tag", Subject="[Ticket#77] z"))
    ids.append(await conversation_of(house, "By tag"))
    assert len(set(ids)) == 1
    stranger = mail("t6", "Not his", Subject="[Ticket#77] z", From="eve@example.net")
    await lmtp(house, ["help@acme.example"], stranger)
    unknown = mail("t7", "No such token", Subject="w")
    await lmtp(house, [f"help+cnv_{'0' * 32}@acme.example"], unknown)
    for text in ("Not his", "No such token"):
        assert await conversation_of(house, text) not in ids


async def test_a_mail_by_smtp(house):
    def send():
        with smtplib.SMTP("127.0.0.1", house.ports.smtp_port, timeout=20) as client:
            assert (
                not client.has_extn("starttls") and client.ehlo() and client.has_extn("pipelining")
            )
            refused = client.sendmail(
                "kim@example.org", ["help@acme.example", "no@acme.example"], mail("smtp", "By SMTP")
            )
            assert refused["no@acme.example"][0] == 550

    await asyncio.to_thread(send)
    await house.messages("acme", "By SMTP")


@pytest.mark.parametrize(
    "lines",
    [b"\xff\xfe\r\n", b"MAIL FROM:<a@b>\r\n", b"LHLO x\r\nMAIL FROM:<\r\n", b"LHLO x\r\nDATA\r\n",
     b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<\xff@x>\r\n", b"x" * 3000 + b"\r\n",
     b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<help@acme.example>\r\nDATA\r\nhalf a ma"],
)  # fmt: skip
async def test_odd_clients_end_nothing(house, lines):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.ports.lmtp_port)
    writer.write(lines)
    await writer.drain()
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"220")
    writer.close()
    assert await lmtp(house, ["help@acme.example"], mail("still", "Still here")) == ([250], [250])


async def test_pipelined_commands_are_answered_in_order(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.ports.lmtp_port)
    writer.write(b"LHLO x\r\n")
    while (await reader.readline())[:4] != b"250 ":
        pass
    writer.write(
        b"MAIL FROM:<kim@example.org>\r\nRCPT TO:<help@acme.example>\r\nRCPT TO:<no@acme.example>\r\n"
        b"RCPT TO:<jobs@acme.example>\r\nDATA\r\n"
    )
    codes = [(await reader.readline())[:3] for _ in range(5)]
    assert codes == [b"250", b"250", b"550", b"250", b"354"]
    writer.write(mail("piped", "Piped") + b".\r\nQUIT\r\n")
    assert [(await reader.readline())[:3] for _ in range(3)] == [b"250", b"250", b"221"]
    writer.close()


# --- the bus, refused in the middle -------------------------------------------------------------


class FlakyBus(MemoryBus):
    """A bus that can be away."""

    def __init__(self):
        super().__init__(lambda: time.time_ns() // 1_000_000)
        self.away = False

    async def send(self, records):
        if self.away:
            raise BusUnavailable("away")
        return await super().send(records)

    async def bounds(self, partitions):
        if self.away:
            raise BusUnavailable("away")
        return await super().bounds(partitions)


@pytest.fixture
def beside(house, bus, postgres_url, migrated_template):
    """`async with beside(spool_records) as (ports, intake):` another listener on the same workspaces,
    with a bus and a spool of the test's own. Further arguments are settings."""

    @asynccontextmanager
    async def start(spool_records, **settings):
        async with fresh_database(postgres_url, migrated_template) as url:
            engine = create_engine(url)
            intake = Intake(bus, SpoolStore(engine, spool_records), **FAST)
            channels = dataclasses.replace(house.channels, intake=intake)
            deliveries = Deliveries(channels, Mailboxes(channels.store))
            chosen = MailSettings(lmtp_port=0, smtp_port=0, **settings)
            async with draining(intake), listening(deliveries, chosen) as ports:
                yield ports, intake
            await engine.dispose()

    return start


async def subjects(bus, partitions):
    """The subjects of the mails on the bus."""
    reader = bus.reader()
    places = [(EMAIL, partition) for partition in range(partitions)]
    await reader.assign(dict.fromkeys(places, 0))
    found = []
    while more := await reader.poll(1000, 100):
        found += [record.value for record in more]
    await reader.stop()
    return [data.split(b'"subject":"')[1].split(b'"')[0].decode() for data in found]


@pytest_asyncio.fixture(loop_scope="module")
async def bus():
    made = FlakyBus()
    await made.start()
    await made.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 2))
    return made


async def test_no_acknowledged_mail_is_lost_while_the_bus_comes_and_goes(beside, bus):
    """The spool is small, so that mails are kept, then refused, then kept again."""
    async with beside(6) as (ports, intake):
        kept, codes = [], []

        async def send(number):
            name = f"flaky-{number}"
            content = mail(name, f"Mail {number}", Subject=name)
            names = ["help@acme.example"] + ["help@other.example"] * (number % 2)
            _, answers = await asyncio.to_thread(by_lmtp, ports.lmtp_port, names, content)
            codes.extend(answers)
            if answers[0] == 250:
                kept.append(name)

        for number in range(24):
            bus.away = 6 <= number < 16
            if number == 16:
                await asyncio.sleep(0.5)
            await send(number)
        assert set(codes) == {250, 451}
        bus.away = False
        ends = time.monotonic() + PATIENCE_S
        while intake.spooling or intake.bus_away:
            assert time.monotonic() < ends
            await asyncio.sleep(0.05)
        assert set(kept) <= set(await subjects(bus, 2))
        for number in range(24):  # as a mail server does with what was not taken
            if f"flaky-{number}" not in kept:
                await send(number)
        assert {f"flaky-{number}" for number in range(24)} == set(kept)
        assert set(kept) <= set(await subjects(bus, 2))


async def test_neither_bus_nor_spool_is_451_by_both_protocols(beside, bus):
    async with beside(0) as (ports, _):
        bus.away = True
        names = ["help@acme.example", "jobs@acme.example"]
        answer = await asyncio.to_thread(by_lmtp, ports.lmtp_port, names, mail("not-now"))
        assert answer == ([250, 250], [451, 451])

        def send():
            with smtplib.SMTP("127.0.0.1", ports.smtp_port, timeout=20) as client:
                with pytest.raises(smtplib.SMTPDataError) as refused:
                    client.sendmail("kim@example.org", names, mail("not-now"))
                assert refused.value.smtp_code == 451

        await asyncio.to_thread(send)
        bus.away = False


def certificate(folder):
    """A key and a certificate for localhost, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, none))
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    return folder / "cert.pem", folder / "key.pem"


async def test_starttls(beside, bus, tmp_path):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate(tmp_path))
    async with beside(10, tls=tls) as (ports, _):

        def send():
            trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
            trusting.check_hostname = False
            with smtplib.SMTP("127.0.0.1", ports.smtp_port, timeout=20) as client:
                client.starttls(context=trusting)
                client.sendmail(
                    "kim@example.org", ["help@acme.example"], mail("tls", Subject="TLS")
                )

        await asyncio.to_thread(send)
        assert "TLS" in await subjects(bus, 2)


async def test_a_silent_client_is_hung_up_on(beside):
    async with beside(10, timeout_s=0.2) as (ports, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", ports.lmtp_port)
        assert (await reader.readline()).startswith(b"220")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
