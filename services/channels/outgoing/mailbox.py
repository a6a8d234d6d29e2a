"""Reads mailboxes by IMAP, in threads: imap-tools blocks.

A mail is known by (UIDVALIDITY, UID), so the cursor is `validity:uid:day`. Where the server has
changed its UIDVALIDITY, all mail since the day before the last pass is read again, and the ids of
what was known make it vanish. BODY.PEEK leaves a mail unread; it is flagged, moved or deleted only
where the settings say so, and only once it is durable.
"""

import asyncio
import contextlib
import imaplib
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from imap_tools import AND, BaseMailBox, MailBoxFolderStatusOptions, U
from imap_tools.errors import ImapToolsError

from services.channels.connectors.email.email_imap import ImapSettings
from services.channels.connectors.port import Page
from services.channels.outgoing.performing import Errand
from services.channels.outgoing.tokens import Tokens
from shared.fetching.client import FetchFailed
from shared.fetching.guard import AddressRefused, Guard

TIMEOUT_S = 20.0
PORTS = frozenset({993, 143})
MAX_MAIL_BYTES = 30 * 1024 * 1024
BATCH_MAILS = 20
BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCHES = 20
"""Of one pass; more follows at once in the next."""

_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_UID = re.compile(rb"UID (\d+)")
_MIME_HEADER = re.compile(rb"(?im)^(?:content-[a-z-]+|mime-version):[^\n]*\n(?:[ \t][^\n]*\n)*")

Uids = list[int]
P = ParamSpec("P")
T = TypeVar("T")


class Mailboxes:
    """Passes over mailboxes."""

    def __init__(self, guard: Guard, tokens: Tokens, tls: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._tokens = tokens
        self._tls = tls or ssl.create_default_context()

    async def pages(self, errand: Errand) -> AsyncGenerator[Page]:
        """The new mails of one pass, in order of UID. Raises FetchFailed. After each page was
        taken, what the settings say is done to its mails."""
        settings = errand.settings
        assert isinstance(settings, ImapSettings)
        session = await self._session(errand, settings)
        day = datetime.fromtimestamp(errand.at_us / 1_000_000, UTC).date()
        try:
            async with asyncio.timeout(TIMEOUT_S * 3):
                place, uids = await _run(session.begin, errand.cursor, day)
            for number, batch in enumerate(await _run(session.batches, uids)):
                more = number + 1 >= MAX_BATCHES
                mails = await _run(session.read, batch)
                place = place.at(batch[-1])
                yield Page(mails, "message/rfc822", cursor=str(place), again=more)
                await _run(session.settle, batch)
                if more:
                    return
            yield Page(cursor=str(place))
        except TimeoutError as late:
            raise FetchFailed(f"{settings.host} did not answer in time.") from late
        finally:
            await asyncio.to_thread(session.close)

    async def _session(self, errand: Errand, settings: ImapSettings) -> "Session":
        scheme = "imaps" if settings.security != "none" else "imap"
        host = f"[{settings.host}]" if ":" in (settings.host or "") else settings.host
        try:
            address = await self._guard.address_of(f"{scheme}://{host}:{settings.port}", PORTS)
        except AddressRefused as refused:
            raise FetchFailed(f"{settings.host} is not called: {refused}.") from refused
        except (OSError, TimeoutError) as failed:
            raise FetchFailed(f"{settings.host} cannot be found.") from failed
        word = await self._tokens.secret_for(errand.fetch, errand.stored, settings, errand.secrets)
        by_token = self._tokens.has(errand.stored, errand.fetch)
        try:
            return await _run(Session, settings, address, word, by_token, self._tls)
        except FetchFailed:
            self._tokens.forget(errand.stored, errand.fetch)
            raise


class Place:
    """Where a mailbox was read to."""

    def __init__(self, validity: int, uid: int, day: date) -> None:
        self.validity = validity
        self.uid = uid
        self.day = day

    @classmethod
    def parse(cls, cursor: str | None) -> "Place | None":
        try:
            validity, uid, day = (cursor or "").split(":")
            return cls(int(validity), int(uid), date.fromisoformat(day))
        except ValueError:
            return None

    def at(self, uid: int) -> "Place":
        return Place(self.validity, max(self.uid, uid), self.day)

    def __str__(self) -> str:
        return f"{self.validity}:{self.uid}:{self.day.isoformat()}"


class Session:
    """One connection to a mailbox. Blocks; every method raises what `_run` translates."""

    def __init__(
        self,
        settings: ImapSettings,
        address: str,
        word: str,
        by_token: bool,
        tls: ssl.SSLContext,
    ) -> None:
        self._settings = settings
        self._box = _Box(settings, address, tls)
        enter = self._box.xoauth2 if by_token else self._box.login
        try:
            self._enter(enter, settings.username or "", word)
            read_only = settings.then == "keep" and settings.move_to is None
            self._box.folder.set(settings.folder, readonly=read_only)
        except BaseException:
            self.close()
            raise

    def _enter(self, enter: Callable[..., Any], user: str, word: str) -> None:
        try:
            enter(user, word, initial_folder=None)
        except imaplib.IMAP4.error as error:  # a token's refusal has no class of its own
            raise FetchFailed("The mail server refuses: Login failed.") from error

    def begin(self, cursor: str | None, today: date) -> tuple[Place, Uids]:
        """(where this mailbox was read to, the UIDs that are new)."""
        status = self._box.folder.status(self._settings.folder, _STATUS)
        validity, coming = int(status["UIDVALIDITY"]), int(status["UIDNEXT"])
        known = Place.parse(cursor)
        if known is not None and known.validity == validity:
            place = Place(validity, known.uid, today)
            # `n:*` names the last mail also where it is not newer.
            return place, [
                one for one in self._uids(AND(uid=U(str(known.uid + 1), "*"))) if one > known.uid
            ]
        place = Place(validity, 0, today)
        if known is not None:
            return place, self._uids(AND(date_gte=known.day - timedelta(days=1)))
        if self._settings.start == "all":
            return place, self._uids("ALL")
        unseen = self._uids(AND(seen=False)) if self._settings.start == "unseen" else []
        before = [one for one in unseen if one < coming]
        return Place(validity, 0 if before else coming - 1, today), before

    def _uids(self, criteria: object) -> Uids:
        return sorted(int(one) for one in self._box.uids(str(criteria)))

    def batches(self, uids: Uids) -> list[Uids]:
        """The UIDs in parts of bounded number and size; what is gone meanwhile is left out."""
        sizes = self._sizes(uids[: MAX_BATCHES * BATCH_MAILS])
        found: list[Uids] = []
        held = BATCH_BYTES
        for uid, size in sorted(sizes.items()):
            if held + size > BATCH_BYTES or len(found[-1]) >= BATCH_MAILS:
                found.append([])
                held = 0
            found[-1].append(uid)
            held += min(size, MAX_MAIL_BYTES)
        self._known_sizes = sizes
        return found

    def _sizes(self, uids: Uids) -> dict[int, int]:
        if not uids:
            return {}
        answer = self._box.client.uid("fetch", ",".join(map(str, uids)), "(RFC822.SIZE)")
        found: dict[int, int] = {}
        for line in _checked(answer):
            text = line[0] if isinstance(line, tuple) else line
            uid, size = _UID.search(text or b""), _SIZE.search(text or b"")
            if uid and size:
                found[int(uid[1])] = int(size[1])
        return found

    def read(self, uids: Uids) -> list[bytes]:
        """The mails, unchanged; of one that is too large its header."""
        return [mail for uid in uids for mail in self._mail(uid)]

    def _mail(self, uid: int) -> Iterator[bytes]:
        size = self._known_sizes.get(uid, 0)
        if size > MAX_MAIL_BYTES:
            for header in self._part(uid, "BODY.PEEK[HEADER]"):
                yield _too_large(header, size)
            return
        yield from self._part(uid, "BODY.PEEK[]")

    def _part(self, uid: int, part: str) -> Iterator[bytes]:
        answer = self._box.client.uid("fetch", str(uid), f"({part})")
        for line in _checked(answer):
            if isinstance(line, tuple) and line[1]:
                yield line[1]
                return

    def settle(self, uids: Uids) -> None:
        """The mails are durable: do to them what the settings say."""
        several, settings = [str(uid) for uid in uids], self._settings
        if settings.move_to is not None:
            self._box.move(several, settings.move_to)
        elif settings.then == "delete":
            self._box.delete(several)
        elif settings.then == "seen":
            self._box.flag(several, "\\Seen", True)

    def close(self) -> None:
        """Ends the connection, politely where that works."""
        try:
            self._box.logout()
        except (OSError, imaplib.IMAP4.error, ImapToolsError):
            self._box.hang_up()


_STATUS = [MailBoxFolderStatusOptions.UIDVALIDITY, MailBoxFolderStatusOptions.UIDNEXT]


class _Box(BaseMailBox):
    """A mailbox whose connection goes to the address that was checked."""

    def __init__(self, settings: ImapSettings, address: str, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._address = address
        self._tls = tls
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        host, port = self._settings.host or "", self._settings.port
        if self._settings.security == "tls":
            return _Encrypted(self._address, host, port, self._tls)
        client = _Plain(self._address, host, port)
        if self._settings.security == "starttls":
            try:
                client.starttls(self._tls)
            except BaseException:
                with contextlib.suppress(OSError):
                    client.shutdown()
                raise
        return client

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.client.shutdown()


class _Plain(imaplib.IMAP4):
    def __init__(self, address: str, host: str, port: int) -> None:
        self._address = address
        super().__init__(host, port, TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self._address, self.port), timeout)


class _Encrypted(imaplib.IMAP4_SSL):
    def __init__(self, address: str, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._address = address
        super().__init__(host, port, ssl_context=tls, timeout=TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self._address, self.port), timeout)
        return self.ssl_context.wrap_socket(plain, server_hostname=self.host)


def _checked(answer: tuple[str, list[Any]]) -> list[Any]:
    status, lines = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"FETCH answered {status}")
    return [line for line in lines if line is not None]


def _too_large(header: bytes, size: int) -> bytes:
    """A mail that says that it is too large to be read."""
    head = _MIME_HEADER.sub(b"", header.replace(b"\r\n", b"\n")).strip(b"\n")
    said = f"(This mail of {size} bytes is too large to be read. It is in the mailbox.)"
    return head + b"\nContent-Type: text/plain\n\n" + said.encode() + b"\n"


async def _run(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """A blocking step in a thread. Raises FetchFailed; the server's own words are not repeated, for
    they may hold the name or the mail."""
    try:
        return await asyncio.to_thread(work, *given, **named)
    except (imaplib.IMAP4.error, ImapToolsError) as error:
        raise FetchFailed(f"The mail server refuses: {_said(error)}.") from error
    except (OSError, EOFError) as error:
        raise FetchFailed(f"The mail server cannot be reached: {type(error).__name__}.") from error


def _said(error: Exception) -> str:
    known = ("Login", "FolderSelect", "Delete", "Move", "Flag", "Uids", "FolderStatus")
    name = type(error).__name__
    found = next((one for one in known if one in name), None)
    return f"{found} failed" if found else "its answer is no success"
