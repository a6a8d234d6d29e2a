"""The LMTP and SMTP sockets: RFC 2033 and RFC 5321 by aiosmtpd, each mail through `Deliveries`."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.channels.mail.delivery import NOT_NOW, OK, Deliveries

MAX_SESSIONS = 64
MAX_LINE_BYTES = 1024 * 1024
"""The standard's 1,000 would refuse, for good, mail that other servers take."""
STOP_S = 5.0
"""How long mails that are just coming in may take when the process ends."""
IDENT = "Omniroute"
_TOO_MANY_SESSIONS = b"421 4.3.2 Too many connections; try again later\r\n"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """What is listened on; a port of None is off, 0 is any free one. With `tls` clients may use
    STARTTLS."""

    host: str = "127.0.0.1"
    lmtp_port: int | None = None
    smtp_port: int | None = None
    max_bytes: int = 30 * 1024 * 1024
    max_recipients: int = 100
    timeout_s: float = 300.0
    tls: ssl.SSLContext | None = None


class _Handler:
    """aiosmtpd's hooks. One for all sessions of a protocol."""

    def __init__(self, deliveries: Deliveries, max_recipients: int, *, each: bool) -> None:
        self._deliveries = deliveries
        self._max_recipients = max_recipients
        self._each = each

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, host: str, said: list[str]
    ) -> list[str]:
        session.host_name = host
        said = [line for line in said if not line.startswith("250-AUTH")]  # there is nobody to be
        return [*said[:-1], "250-PIPELINING", said[-1]]

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if len(envelope.rcpt_tos) >= self._max_recipients:
            return f"452 4.5.3 More than {self._max_recipients} recipients; send the rest later"
        refused = await self._deliveries.check(address)
        if refused is not None:
            return refused
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        sender = envelope.mail_from or ""
        answers = await self._deliveries.deliver(sender, envelope.rcpt_tos, content)
        return "\r\n".join(answers) if self._each else _single(answers)

    async def handle_exception(self, error: Exception) -> str:
        log.error("mail.session_failed", exc_info=error)
        return NOT_NOW


def _single(answers: list[str]) -> str:
    """SMTP has one answer for all recipients: a good one only when all is kept, "later" before "no".
    Who sends again what was kept for some sends nothing new to them."""
    later = next((each for each in answers if each.startswith("4")), None)
    return later or next((each for each in answers if each != OK), OK)


class _Sessions:
    """The sessions of one listener: counted, and ended with it."""

    def __init__(self) -> None:
        self.open: set[SMTP] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def receiving(self) -> Generator[None]:
        """Around a mail's coming in and being answered."""
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if self._busy == 0:
                self._idle.set()

    async def end(self) -> None:
        """Let mails that are coming in be answered, then hang up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._idle.wait()
        for each in list(self.open):
            if each.transport is not None:
                each.transport.close()


class _Counted(SMTP):
    """An SMTP session that its listener knows of."""

    line_length_limit = MAX_LINE_BYTES
    sessions: _Sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sessions.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.sessions.open.discard(self)
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:
        with self.sessions.receiving():
            await super().smtp_DATA(arg)


class _Lmtp(_Counted, LMTP):
    """LMTP answers once for each recipient after the mail. aiosmtpd answers once: whatever it says
    after the mail, a refusal for its size too, is said for each of them."""

    _awaited = 0

    async def push(self, status: Any) -> None:
        text = status if isinstance(status, str) else bytes(status).decode("utf-8", "replace")
        if text.startswith("354") and self.envelope is not None:
            self._awaited = len(self.envelope.rcpt_tos)
        elif self._awaited:
            lines = text.split("\r\n")
            if len(lines) != self._awaited:
                text = "\r\n".join(lines[:1] * self._awaited)
            self._awaited = 0
        await super().push(text)


class _Full(asyncio.Protocol):
    """One session more than there may be: told to come later."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_TOO_MANY_SESSIONS)
        transport.close()


@dataclass(frozen=True, slots=True)
class Listening:
    """The ports in use; None where a protocol is off."""

    lmtp_port: int | None
    smtp_port: int | None


@contextlib.asynccontextmanager
async def listening(deliveries: Deliveries, settings: MailSettings) -> AsyncGenerator[Listening]:
    """Take mail for the length of the block. Raises OSError when a port is taken."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd's lines name senders
    async with contextlib.AsyncExitStack() as stack:

        async def start(port: int | None, protocol: type[_Counted], name: str) -> int | None:
            if port is None:
                return None
            handler = _Handler(deliveries, settings.max_recipients, each=protocol is _Lmtp)
            bound = await stack.enter_async_context(_server(settings, port, protocol, handler))
            log.info("mail.listening", protocol=name, host=settings.host, port=bound)
            return bound

        lmtp = await start(settings.lmtp_port, _Lmtp, "lmtp")
        smtp = await start(settings.smtp_port, _Counted, "smtp")
        yield Listening(lmtp, smtp)


@contextlib.asynccontextmanager
async def _server(
    settings: MailSettings, port: int, protocol: type[_Counted], handler: _Handler
) -> AsyncGenerator[int]:
    sessions = _Sessions()
    loop = asyncio.get_running_loop()
    make = _maker(settings, protocol, handler, sessions, loop)
    server = await loop.create_server(make, settings.host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await sessions.end()


def _maker(
    settings: MailSettings,
    protocol: type[_Counted],
    handler: _Handler,
    sessions: _Sessions,
    loop: asyncio.AbstractEventLoop,
) -> Callable[[], asyncio.Protocol]:
    hostname = socket.gethostname()

    def make() -> asyncio.Protocol:
        if len(sessions.open) >= MAX_SESSIONS:
            return _Full()
        made = protocol(
            handler,
            data_size_limit=settings.max_bytes,
            enable_SMTPUTF8=True,
            hostname=hostname,
            ident=IDENT,
            tls_context=settings.tls,
            timeout=settings.timeout_s,
            loop=loop,
        )
        made.sessions = sessions
        return made

    return make
