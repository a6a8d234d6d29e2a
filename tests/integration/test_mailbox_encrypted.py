"""Mailboxes over TLS and STARTTLS, and with OAuth tokens, on a server of ours with an authority of ours."""

import ipaddress
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.channels.connectors import registry
from services.channels.outgoing.mailbox import Mailboxes
from services.channels.outgoing.performing import Errand
from services.channels.outgoing.tokens import Tokens
from services.channels.store import StoredConnector
from shared.fetching.client import Client, FetchFailed
from shared.fetching.guard import Guard
from shared.testing import imap
from shared.testing.certificates import Authority
from shared.testing.vendor import Says, vendor

MAIL = b"From: Kim <kim@example.org>\r\nSubject: Bill\r\nMessage-ID: <1@x>\r\n\r\nHello\r\n"
HOST = "mail.example.org"
OURS = Authority()


async def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


GUARD = Guard((ipaddress.ip_network("127.0.0.0/8"),), here)


@asynccontextmanager
async def mailboxes(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Mailboxes]:
    client = Client(GUARD)
    try:
        yield Mailboxes(GUARD, Tokens(client), tls or OURS.trusting())
    finally:
        await client.aclose()


def errand(box: imap.Mailbox, secrets: dict[str, str], **settings: Any) -> Errand:
    connector = registry.get("email_imap")
    given = {"host": HOST, "port": box.port, "username": "help", "security": "tls", **settings}
    stored = StoredConnector("acme", "mail", "email_imap", True, given, b"", "token", 1)
    plain = {name: (word,) for name, word in secrets.items()}
    made = connector.settings.model_validate(given)
    return Errand(stored, made, plain, connector.fetches[0], {}, None, 1_772_442_000_000_000)


async def mails(readers: Mailboxes, one: Errand) -> list[bytes]:
    return [mail async for page in readers.pages(one) for mail in page.payloads]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_mailbox_is_read_encrypted(security: str) -> None:
    how = {security: OURS.server(HOST)}
    async with imap.mailbox(**how) as box, mailboxes() as readers:
        box.add(MAIL)
        one = errand(box, {"password": "word"}, security=security)
        assert await mails(readers, one) == [MAIL]
        assert box.encrypted == [True], "the password went encrypted"


REFUSED = {
    "another's name": (OURS, "other.example.org"),
    "an authority that nobody trusts": (Authority("Stranger"), HOST),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_server_that_cannot_prove_its_name_gets_no_password(
    why: str, security: str
) -> None:
    authority, name = REFUSED[why]
    async with imap.mailbox(**{security: authority.server(name)}) as box, mailboxes() as readers:
        box.add(MAIL)
        one = errand(box, {"password": "word"}, security=security)
        with pytest.raises(
            FetchFailed, match="cannot be reached: SSLCertVerificationError"
        ) as failed:
            await mails(readers, one)
        assert "word" not in failed.value.said
        assert not any(said.startswith(("LOGIN", "AUTH")) for said in box.commands)


async def test_a_server_that_offers_no_encryption_gets_no_password() -> None:
    async with imap.mailbox() as box, mailboxes() as readers:
        one = errand(box, {"password": "word"}, security="starttls")
        with pytest.raises(FetchFailed):
            await mails(readers, one)
        assert not any(said.startswith("LOGIN") for said in box.commands)


OAUTH = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}


async def test_a_mailbox_is_opened_with_an_oauth_token_that_is_renewed() -> None:
    async with (
        vendor() as there,
        imap.mailbox(tls=OURS.server(HOST)) as box,
        mailboxes() as readers,
    ):
        box.add(MAIL)
        answers = [Says({"access_token": name, "expires_in": 3600}) for name in ("t1", "t2")]
        there.on("/token", *answers)
        one = errand(box, OAUTH, token_url=f"{there.url}/token")
        box.tokens = {"t1"}
        assert await mails(readers, one) == [MAIL]
        assert await mails(readers, one) == [MAIL] and len(there.asked) == 1, "a token is kept"
        box.tokens = {"t2"}
        with pytest.raises(FetchFailed, match="Login failed"):
            await mails(readers, one)
        assert await mails(readers, one) == [MAIL], "one that was refused is renewed"
        assert box.encrypted == [True] * 4
        assert all(
            said.startswith("AUTHENTICATE XOAUTH2") for said in box.commands if "AUTH" in said
        )


async def test_a_token_that_is_not_given_opens_nothing_and_is_not_told() -> None:
    async with (
        vendor() as there,
        imap.mailbox(tls=OURS.server(HOST)) as box,
        mailboxes() as readers,
    ):
        there.on("/token", Says({"error": "invalid_grant"}, 400))
        one = errand(box, OAUTH, token_url=f"{there.url}/token")
        with pytest.raises(FetchFailed) as failed:
            await mails(readers, one)
        assert "refresh" not in failed.value.said and box.encrypted == []
