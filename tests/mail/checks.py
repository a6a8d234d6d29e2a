"""What must hold for every mail, whatever bytes it is made of."""

import msgspec

from services.channels.connectors.email.email_mime import (
    CONNECTOR,
    EmailSettings,
    normalise,
    request_of,
)
from services.channels.connectors.email.mime import MAX_ATTACHMENTS, MAX_TEXT, parse_mail
from services.channels.connectors.handling import handle
from services.channels.connectors.port import Parsed
from shared.contracts.interactions import Interaction

SETTINGS = EmailSettings(addresses=["help@acme.example"], message_id_domains=["acme.example"])
_MAX_SUBJECT = 100_000


def check_mail(raw: bytes) -> None:
    """Raises AssertionError, or what the parser raises."""
    raw = bytes(raw)
    parsed = Parsed()
    event = normalise(parse_mail(raw, parsed), SETTINGS)
    again = normalise(parse_mail(raw, Parsed()), SETTINGS)
    assert event == again, "the same mail is the same event"
    text, reply = event.text or "", event.reply_text or ""
    assert len(text) <= MAX_TEXT
    assert len(event.attachments) <= MAX_ATTACHMENTS
    assert len(event.subject or "") <= _MAX_SUBJECT
    assert bool(reply.strip()) == bool(text.strip()), "a reply wherever there is text"
    assert set(reply) <= set(text) | {"\n"}, "nothing in the reply that is not in the text"
    assert event.vendor_id and event.conversation_key
    _check_handled(raw)


def _check_handled(raw: bytes) -> None:
    """Through the whole connector: one event (none for an empty body), and what databases take."""
    handled = handle(
        CONNECTOR,
        SETTINGS,
        {},
        request_of(raw, 0),
        connector_id="mail",
        workspace="w",
        languages=(),
    )
    assert not any(each.code == "codec_fault" for each in handled.problems)
    assert len(handled.events) == bool(raw.strip())
    for each in handled.events:
        data = each.envelope.data
        escaped = data.replace(b"\\\\", b"")  # a backslash that somebody wrote escapes nothing
        assert b"\\u0000" not in escaped and b"\x00" not in data
        msgspec.json.decode(data, type=Interaction)
        data.decode("utf-8")
