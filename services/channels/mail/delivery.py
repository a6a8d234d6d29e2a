"""A mail and its recipients, from the envelope to durable events and an answer for each recipient.

The pipeline is that of the inbound webhook, so that a mail that comes again, by whatever way, is the
same event. What the answers promise: 2xx, durable, on the bus or in the spool; 4xx, send it again.
"""

import re
from collections.abc import Sequence

import structlog

from services.channels import vendors
from services.channels.connectors.port import InboundRequest
from services.channels.context import Channels, wall_us
from services.channels.mail.mailboxes import Ambiguous, Mailboxes
from services.channels.store import StoredConnector
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown

OK = "250 2.0.0 Kept"
NO_SUCH_MAILBOX = "550 5.1.1 No such mailbox here"
NOT_NOW = "451 4.3.0 Not kept; try again later"
TWO_OWNERS = "451 4.3.5 Two workspaces claim this address; their administrator must decide"
TOO_LARGE = "552 5.3.4 Larger than this mailbox takes"

log = structlog.get_logger(__name__)


class Deliveries:
    """Takes mails in. Nothing here raises: every fault is an answer that keeps the mail with its
    sender."""

    def __init__(self, channels: Channels, mailboxes: Mailboxes) -> None:
        self._channels = channels
        self._mailboxes = mailboxes

    async def check(self, recipient: str) -> str | None:
        """Why a recipient is not taken; None when it is."""
        try:
            found = await self._mailboxes.of(recipient)
        except Ambiguous:
            log.error("mail.address_claimed_twice", recipient=recipient)
            return TWO_OWNERS
        except DatabaseUnavailable:
            return NOT_NOW
        return None if found is not None else NO_SUCH_MAILBOX

    async def deliver(self, sender: str, recipients: Sequence[str], content: bytes) -> list[str]:
        """An answer for each recipient, in their order. Recipients of one connector share it: the
        mail reaches a mailbox once."""
        owners = [await self._owner(each) for each in recipients]
        shared: dict[tuple[str, str], list[str]] = {}
        for recipient, owner in zip(recipients, owners, strict=True):
            if isinstance(owner, StoredConnector):
                shared.setdefault((owner.workspace, owner.id), []).append(recipient)
        given: dict[tuple[str, str], str] = {}
        answers: list[str] = []
        for owner in owners:
            if not isinstance(owner, StoredConnector):
                answers.append(owner)
                continue
            place = (owner.workspace, owner.id)
            if place not in given:
                given[place] = await self._keep(owner, traced(sender, shared[place], content))
            answers.append(given[place])
        return answers

    async def _owner(self, recipient: str) -> StoredConnector | str:
        refused = await self.check(recipient)
        if refused is not None:
            return refused
        return await self._mailboxes.of(recipient) or NO_SUCH_MAILBOX

    async def _keep(self, connector: StoredConnector, mail: bytes) -> str:
        path = f"/v1/workspaces/{connector.workspace}/connectors/{connector.id}/inbound"
        url = self._channels.public_url + path
        headers = (("Content-Type", "message/rfc822"),)
        request = InboundRequest("POST", url, headers, mail, wall_us())
        try:
            status = (await vendors.receive(self._channels, connector, request)).answer.status
        except (Refused, DatabaseUnavailable, OutcomeUnknown) as failed:
            log.warning("mail.unavailable", connector=connector.id, because=str(failed))
            return NOT_NOW
        except Exception:
            log.exception("mail.failed", connector=connector.id)
            return NOT_NOW
        if status == 413:
            return TOO_LARGE
        return OK if 200 <= status < 300 else NOT_NOW


def traced(sender: str, recipients: Sequence[str], content: bytes) -> bytes:
    """The mail with its envelope on top, as the last server on a mail's way writes it: RFC 5321,
    section 4.4. A token in the recipient names the conversation."""
    lines = [
        f"Return-Path: <{_clean(sender)}>",
        *(f"Delivered-To: {_clean(to)}" for to in recipients),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + content


def _clean(address: str) -> str:
    return re.sub(r"[\x00-\x20<>\x7f]", "", address)[:320]
