"""The guard of outgoing requests: where nothing of ours may be made to go."""

import asyncio
import contextlib
import ipaddress

import pytest

from shared.fetching.ask import Ask
from shared.fetching.client import MAX_REDIRECTS, Client, FetchFailed, retry_after
from shared.fetching.guard import AddressRefused, Guard, is_public
from shared.testing.vendor import Says, vendor

pytestmark = pytest.mark.asyncio

INSIDE = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255", "192.0.0.1",
    "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "::10.0.0.1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1",
    "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1", "2001::1",
    "100::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "172.32.0.1", "192.167.255.255", "100.128.0.1",
           "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8"]  # fmt: skip
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def answering(*addresses):
    """A resolver that answers so; several answers in turn, where given as lists."""
    turns = [list(one) if isinstance(one, list | tuple) else [one] for one in addresses]

    async def resolve(host, port):
        return turns.pop(0) if len(turns) > 1 else turns[0]

    return resolve


@pytest.mark.parametrize("address", INSIDE)
async def test_an_address_inside_is_refused_however_it_is_written(address):
    assert not is_public(ipaddress.ip_address(address))
    guard = Guard(resolve=answering(address))
    with pytest.raises(AddressRefused):
        await guard.address_of("https://vendor.example/x")
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused):
        await guard.address_of(f"https://{literal}/x")


@pytest.mark.parametrize("address", OUTSIDE)
async def test_a_public_address_is_called(address):
    assert is_public(ipaddress.ip_address(address))
    found = await Guard(resolve=answering(address)).address_of("https://vendor.example/x")
    assert ipaddress.ip_address(found) == ipaddress.ip_address(address)


async def test_one_inside_address_among_several_is_one_too_many():
    guard = Guard(resolve=answering(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        await guard.address_of("https://vendor.example/")


@pytest.mark.parametrize(
    "url",
    [
        "http://vendor.example/",
        "ftp://vendor.example/",
        "file:///etc/passwd",
        "gopher://vendor.example/",
        "https://vendor.example:22/",
        "https://vendor.example:80/",
        "https://user:word@vendor.example/",
        "https://vendor.example:99999/",
        "https:///x",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "//vendor.example/",
        "not a url",
        "https://[::1/",
    ],
)
async def test_other_schemes_ports_and_spellings_are_refused(url):
    """A resolver turns odd spellings of an address into what they mean."""
    host = url.partition("//")[2].partition("/")[0]
    odd = host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1")
    guard = Guard(resolve=answering("127.0.0.1" if odd else "8.8.8.8"))
    with pytest.raises(AddressRefused):
        await guard.address_of(url)


async def test_networks_of_the_operator_are_exempt_and_no_others():
    guard = Guard(LOOPBACK, resolve=answering("127.0.0.1"))
    assert await guard.address_of("http://inside.example:8123/x") == "127.0.0.1"
    mixed = Guard(LOOPBACK, resolve=answering(["127.0.0.1", "10.0.0.1"]))
    with pytest.raises(AddressRefused):
        await mixed.address_of("https://inside.example/x")
    with pytest.raises(AddressRefused):
        await Guard(LOOPBACK).address_of("http://10.0.0.1/")


async def test_the_connection_goes_to_the_address_that_was_checked():
    """The name would resolve to nothing, or to something else, a second time."""
    looked = []

    async def resolve(host, port):
        looked.append(host)
        return ["127.0.0.1"] if len(looked) == 1 else ["10.0.0.1"]

    async with vendor() as there:
        there.on("/x", Says({"fine": True}))
        client = Client(Guard(LOOPBACK, resolve=resolve))
        try:
            reply = await client.ask(Ask(f"http://rebinding.example:{there.port}/x"))
            assert (reply.status, looked) == (200, ["rebinding.example"])
            assert there.asked[0].headers["host"] == f"rebinding.example:{there.port}"
            with pytest.raises(FetchFailed, match=r"10\.0\.0\.1|encrypted"):
                await client.ask(Ask(f"http://rebinding.example:{there.port}/x"))
        finally:
            await client.aclose()
        assert len(there.asked) == 1


async def fails(there, path, *answers, limit=1000, guard=None):
    there.on(path, *answers)
    client = Client(guard or Guard(LOOPBACK))
    try:
        with pytest.raises(FetchFailed) as caught:
            await client.ask(Ask(there.url + path, headers=(("Authorization", "word"),)), limit)
    finally:
        await client.aclose()
    assert "word" not in caught.value.said and path not in caught.value.said
    return caught.value


async def test_redirects_are_checked_bounded_and_carry_no_secret_elsewhere():
    async with vendor() as there, vendor() as other:
        inside = Says(status=302, headers={"Location": "https://169.254.169.254/latest/meta-data"})
        failed = await fails(there, "/inside", inside)
        assert failed.permanent and "169.254.169.254" in failed.said
        round_ = Says(status=302, headers={"Location": "/round"})
        failed = await fails(there, "/round", round_)
        assert failed.permanent and len(there.asked_of("/round")) == MAX_REDIRECTS + 1
        there.on("/elsewhere", Says(status=302, headers={"Location": f"{other.url}/file"}))
        there.on("/here", Says(status=302, headers={"Location": "/file"}))
        for one in (there, other):
            one.on("/file", Says(b"content"))
        client = Client(Guard(LOOPBACK))
        try:
            for path in ("/elsewhere", "/here"):
                ask = Ask(there.url + path, headers=(("Authorization", "word"),))
                assert (await client.ask(ask)).body == b"content"
        finally:
            await client.aclose()
        assert "authorization" not in other.asked[0].headers
        assert there.asked_of("/file")[0].headers["authorization"] == "word"


async def test_answers_are_bounded_also_where_they_unfold_or_lie_about_their_size():
    import gzip

    async with vendor() as there:
        assert (await fails(there, "/large", Says(b"x" * 5000))).permanent
        bomb = gzip.compress(b"\0" * 3_000_000)
        once = Says(bomb, headers={"Content-Encoding": "gzip"})
        assert (await fails(there, "/bomb", once, limit=100_000)).permanent
        twice = Says(gzip.compress(bomb), headers={"Content-Encoding": "gzip, gzip"})
        failed = await fails(there, "/twice", twice, limit=100_000)
        assert failed.permanent and "encoding" in failed.said  # before any of it unfolds


async def test_an_answer_that_drips_holds_nobody(monkeypatch):
    monkeypatch.setattr("shared.fetching.client.TOTAL_TIMEOUT_S", 0.3)

    left = asyncio.Event()

    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not reader.at_eof():
            writer.write(b"x")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1000), 0.05)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(drip, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    client = Client(Guard(LOOPBACK))
    try:
        with pytest.raises(FetchFailed, match="in time") as failed:
            await asyncio.wait_for(client.ask(Ask(f"http://127.0.0.1:{port}/")), 3)
    finally:
        await client.aclose()
        server.close()
        await asyncio.wait_for(left.wait(), 5)
    assert not failed.value.permanent


async def test_what_may_be_repeated_is_told_from_what_may_not():
    async with vendor() as there:
        failed = await fails(there, "/busy", Says(status=429, headers={"Retry-After": "7"}))
        assert (failed.permanent, failed.after_s, failed.status) == (False, 7.0, 429)
        for status, permanent in (
            (500, False),
            (503, False),
            (401, False),
            (404, False),
            (400, True),
        ):
            failed = await fails(there, f"/s{status}", Says(status=status))
            assert (failed.permanent, failed.status) == (permanent, status)
        nobody = Guard(LOOPBACK, resolve=answering("127.0.0.1"))
        there.port, was = 9, there.port
        assert not (await fails(there, "/away", Says(), guard=nobody)).permanent
        there.port = was


async def test_retry_after_is_seconds_or_a_date_and_bounded():
    now = 1_790_000_000.0
    assert retry_after("120", now) == 120
    assert retry_after("Mon, 21 Sep 2026 14:14:20 GMT", now) == pytest.approx(60, abs=1)
    assert retry_after("Mon, 21 Sep 2020 14:14:20 GMT", now) == 0
    assert retry_after("999999", now) == 3600
    assert [retry_after(text, now) for text in (None, "", "soon", "-1")] == [None] * 4
