"""An IMAP server for tests: the few commands that reading a mailbox needs, on 127.0.0.1."""

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import date

from shared.testing.listening import listening


@dataclass(slots=True)
class Mail:
    """A mail in the mailbox."""

    uid: int
    raw: bytes
    day: date = field(default_factory=lambda: date(2026, 11, 28))
    flags: set[str] = field(default_factory=set[str])


class Mailbox:
    """The mailbox INBOX of user `help`, password `word` (or any OAuth token in `tokens`)."""

    def __init__(self) -> None:
        self.validity = 1
        self.mails: list[Mail] = []
        self.moved: list[tuple[int, str]] = []
        self.commands: list[str] = []
        self.tokens: set[str] = set()
        self.port = 0
        self.encrypted: list[bool] = []
        self.starttls: ssl.SSLContext | None = None
        self._next = 1

    def add(self, raw: bytes, *flags: str) -> Mail:
        mail = Mail(self._next, raw, flags={*flags})
        self._next += 1
        self.mails.append(mail)
        return mail

    def renumber(self, validity: int) -> None:
        """The server has lost its UIDs, as servers do after a restore."""
        self.validity, self._next = validity, 1
        for mail in self.mails:
            mail.uid, self._next = self._next, self._next + 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                tag, _, command = line.partition(" ")
                self.commands.append(command)
                if command == "STARTTLS" and self.starttls is not None:
                    writer.write(f"{tag} OK go on\r\n".encode())
                    await writer.drain()
                    await writer.start_tls(self.starttls)
                    continue
                if command.startswith(("AUTHENTICATE", "LOGIN")):
                    self.encrypted.append(writer.get_extra_info("ssl_object") is not None)
                if command.startswith("AUTHENTICATE"):
                    writer.write(b"+ \r\n")
                    await writer.drain()
                    command += " " + (await reader.readline()).decode().strip()
                    if not self._known(command):
                        # RFC 7628: why comes as a challenge, which the client has to answer.
                        writer.write(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")
                        await writer.drain()
                        await reader.readline()
                for part in self._answer(tag, command):
                    writer.write(part)
                await writer.drain()
                if command.upper() == "LOGOUT":
                    break

    def _answer(self, tag: str, command: str) -> Iterator[bytes]:
        verb, _, rest = command.partition(" ")
        verb = verb.upper()
        if verb == "UID":
            verb, _, rest = rest.partition(" ")
            verb = "UID" + verb.upper()
        ok = f"{tag} OK done\r\n".encode()
        if verb == "CAPABILITY":
            more = b" STARTTLS" if self.starttls is not None else b""
            yield b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2" + more + b"\r\n"
        elif verb == "LOGIN":
            if rest.replace('"', "") != "help word":
                ok = f"{tag} NO wrong\r\n".encode()
        elif verb == "AUTHENTICATE":
            if not self._known(rest):
                ok = f"{tag} NO wrong\r\n".encode()
        elif verb in ("SELECT", "EXAMINE"):
            if "INBOX" not in rest:
                ok = f"{tag} NO no such folder\r\n".encode()
            yield f"* {len(self.mails)} EXISTS\r\n* OK [UIDVALIDITY {self.validity}]\r\n".encode()
        elif verb == "STATUS":
            yield f'* STATUS "INBOX" (UIDVALIDITY {self.validity} UIDNEXT {self._next})\r\n'.encode()
        elif verb == "UIDSEARCH":
            found = " ".join(str(one.uid) for one in self.mails if self._found(one, rest))
            yield f"* SEARCH {found}\r\n".encode()
        elif verb == "UIDFETCH":
            yield from self._fetch(rest)
        elif verb == "UIDSTORE":
            self._store(rest)
        elif verb == "UIDCOPY":
            self.moved += [(one.uid, rest.partition(" ")[2]) for one in self._named(rest)]
        elif verb == "EXPUNGE":
            self.mails = [one for one in self.mails if "\\Deleted" not in one.flags]
        elif verb == "LOGOUT":
            yield b"* BYE\r\n"
        yield ok

    def _known(self, rest: str) -> bool:
        said = base64.b64decode(rest.rpartition(" ")[2]).decode()
        return any(f"Bearer {token}" in said for token in self.tokens)

    def _named(self, rest: str) -> list[Mail]:
        wanted = {int(one) for one in rest.partition(" ")[0].split(",")}
        return [one for one in self.mails if one.uid in wanted]

    def _found(self, mail: Mail, criteria: str) -> bool:
        several = re.search(r"UID (\d+):\*", criteria)
        if several:
            newest = max(one.uid for one in self.mails)
            return mail.uid >= int(several[1]) or mail.uid == newest
        since = re.search(r"SINCE (\d+-[A-Za-z]+-\d+)", criteria)
        if since:
            day, month, year = since[1].split("-")
            months = [
                "Jan",
                "Feb",
                "Mar",
                "Apr",
                "May",
                "Jun",
                "Jul",
                "Aug",
                "Sep",
                "Oct",
                "Nov",
                "Dec",
            ]
            return mail.day >= date(int(year), months.index(month) + 1, int(day))
        return "UNSEEN" not in criteria or "\\Seen" not in mail.flags

    def _fetch(self, rest: str) -> Iterator[bytes]:
        for mail in self._named(rest):
            if "RFC822.SIZE" in rest:
                yield f"* 1 FETCH (UID {mail.uid} RFC822.SIZE {len(mail.raw)})\r\n".encode()
                continue
            content = mail.raw.partition(b"\r\n\r\n")[0] if "HEADER" in rest else mail.raw
            yield f"* 1 FETCH (UID {mail.uid} BODY[] {{{len(content)}}}\r\n".encode()
            yield content + b")\r\n"

    def _store(self, rest: str) -> None:
        flags = re.findall(r"\\[A-Za-z]+", rest)
        for mail in self._named(rest):
            mail.flags |= {*flags}


@contextlib.asynccontextmanager
async def mailbox(
    tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None
) -> AsyncGenerator[Mailbox]:
    """A mailbox for the length of the block; encrypted from the start, or once asked."""
    made = Mailbox()
    made.starttls = starttls
    async with listening(made.serve, tls) as made.port:
        yield made
