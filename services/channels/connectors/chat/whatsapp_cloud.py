"""WhatsApp Business Platform (Cloud API): messages, statuses, calls and echoes, by Meta's webhooks.

https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from services.channels.connectors import fields, meta
from services.channels.connectors.chat import whatsapp_examples
from services.channels.connectors.chat.whatsapp_content import Content, content_of
from services.channels.connectors.chat.whatsapp_text import text_message
from services.channels.connectors.fetching import file_at
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import (
    Connector,
    Context,
    Fetch,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import HUB_SIGNATURE_256
from shared.contracts import interactions
from shared.contracts.interactions import Author, Delivery, Identity


class WhatsAppSettings(Settings):
    phone_number_id: str | None = Field(
        default=None, description="The business number's id, as a check on what arrives."
    )


SETUP = """\
1. In the Meta app, add WhatsApp; under Configuration enter the connector's inbound URL and your
   `verify_token`; Meta tests it at once.
2. Subscribe to the webhook fields `messages`, `calls`, `smb_message_echoes`.
3. Put the app's secret into `app_secret`; a list of two while you rotate it.
"""

_STATUSES = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "read",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Account:
    """The business number that a change is about, and the people whom the change names."""

    number_id: str
    number: str | None
    contacts: tuple[dict[str, Any], ...]

    def contact(self, wa_id: str | None, user_id: str | None) -> dict[str, Any]:
        """The card of a person; the only card there is, when nobody is named."""
        for card in self.contacts:
            if wa_id and fields.key(card, "wa_id") == wa_id:
                return card
            if user_id and fields.key(card, "user_id") == user_id:
                return card
        return self.contacts[0] if len(self.contacts) == 1 else {}


def parse(request: InboundRequest, settings: WhatsAppSettings, _: Context) -> Parsed:
    usual = text_message(request.body, settings.phone_number_id)
    return read_whole(request, settings) if usual is None else Parsed([usual])


def read_whole(request: InboundRequest, settings: WhatsAppSettings) -> Parsed:
    """`parse` of any payload, also of those that `text_message` reads faster."""
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    for entry in meta.entries(payload, parsed):
        changes = list(fields.items(entry, "changes"))
        if not changes:
            parsed.lose("unusable_payload", "An entry has no changes.")
        for change in changes:
            _change(change, settings, parsed)
    return parsed


def _change(change: dict[str, Any], settings: WhatsAppSettings, parsed: Parsed) -> None:
    value = fields.obj(change, "value")
    account = Account(
        number_id=fields.key(value, "metadata", "phone_number_id")
        or settings.phone_number_id
        or "",
        number=fields.key(value, "metadata", "display_phone_number"),
        contacts=tuple(fields.items(value, "contacts")),
    )
    if settings.phone_number_id and account.number_id != settings.phone_number_id:
        parsed.note("other_account", f"A change is for number {account.number_id}.")
    if fields.text(change, "field") == "history":  # months of it, once an app's number joins
        parsed.note("not_an_interaction", "A part of the chats from before the number joined.")
        return
    found, before = False, len(parsed.events)
    for name in value:
        read = _READERS.get(name)
        if read is None:
            continue
        for raw in fields.items(value, name):
            found = True
            read(account, raw, parsed)
    for error in fields.items(value, "errors"):
        found = True
        parsed.note("vendor_error", fields.text(error, "title") or "The vendor reports an error.")
    if fields.text(change, "field") == "standby":  # another app holds the thread
        for event in parsed.events[before:]:
            event.flags = [*event.flags, "standby"]
    if not found:
        _nothing(fields.text(change, "field") or "?", parsed)


def _nothing(field: str, parsed: Parsed) -> None:
    if field in ("messages", "?", "calls", "smb_message_echoes"):
        parsed.lose("unusable_payload", "A change holds no message, status or call.")
    else:
        parsed.note("not_an_interaction", f"The change of {field[:64]!r} is no interaction.")


@dataclass(frozen=True, slots=True)
class Person:
    """The customer of a message: phone number and business-scoped id, either may be missing."""

    wa_id: str | None
    user_id: str | None
    name: str | None

    @property
    def id(self) -> str | None:
        return self.wa_id or self.user_id

    def identities(self) -> list[Identity]:
        known = {
            "whatsapp": self.wa_id,
            "whatsapp_user": self.user_id,
            PHONE: phone(self.wa_id),
        }
        return identities(**known)


def _person(account: Account, wa_id: str | None, user_id: str | None) -> Person:
    card = account.contact(wa_id, user_id)
    return Person(
        wa_id or fields.key(card, "wa_id"),
        user_id or fields.key(card, "user_id"),
        fields.text(card, "profile", "name") or fields.text(card, "profile", "username"),
    )


def _event(
    account: Account, person: Person, raw: dict[str, Any], vendor_id: str, **more: Any
) -> Normalised:
    """An event in the person's conversation with this number (or in their group's)."""
    group = fields.key(raw, "group_id")
    seconds = fields.integer(raw, "timestamp")
    vendor = fields.known(
        id=fields.key(raw, "id"),
        type=fields.key(raw, "type"),
        phone_number_id=account.number_id,
        user_id=person.user_id,
        group_id=group,
        timestamp=fields.key(raw, "timestamp"),
        **{"from": fields.key(raw, "from")},
    )
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=f"{account.number_id}:{group or person.id}",
        occurred_at_us=seconds * 1_000_000 if seconds and 0 < seconds < 10**11 else None,
        author=more.pop("author", None) or Author("customer", person.name, person.id),
        identities=person.identities(),
        vendor=vendor | more.pop("vendor", {}),
        **more,
    )


def _message(account: Account, raw: dict[str, Any], parsed: Parsed) -> None:
    person = _person(account, fields.key(raw, "from"), fields.key(raw, "from_user_id"))
    event = _said(account, person, raw, parsed)
    if event is None:
        return
    if fields.text(raw, "type") == "system":
        _changed_number(event, raw)
    parsed.events.append(event)


def _echo(account: Account, raw: dict[str, Any], parsed: Parsed) -> None:
    """A message that the business sent by the app: part of the conversation, not from a customer."""
    person = _person(account, fields.key(raw, "to"), fields.key(raw, "to_user_id"))
    event = _said(account, person, raw, parsed)
    if event is not None:
        event.direction = "outbound"
        event.author = Author(role="agent")
        event.flags = ["echo", *event.flags]
        parsed.events.append(event)


def _said(
    account: Account, person: Person, raw: dict[str, Any], parsed: Parsed
) -> Normalised | None:
    """A message, edit or deletion; None, with the problem noted, without its id or its person."""
    wamid = fields.key(raw, "id")
    if wamid is None or person.id is None:
        missing = "id" if wamid is None else "sender"
        parsed.lose(f"missing_{missing}", f"A message has no {missing}.")
        return None
    kind = fields.text(raw, "type")
    if kind == "edit":
        inner = fields.obj(raw, "edit", "message")
        return _revision(account, person, raw, wamid, content_of(inner), parsed)
    if kind == "revoke":
        return _revision(account, person, raw, wamid, None, parsed)
    content = content_of(raw)
    context = fields.key(raw, "context", "id") or fields.key(raw, "context", "message_id")
    return _event(
        account, person, raw, wamid, in_reply_to=content.reply_to or context, **_shown(content)
    )


def _revision(
    account: Account,
    person: Person,
    raw: dict[str, Any],
    wamid: str,
    content: Content | None,
    parsed: Parsed,
) -> Normalised | None:
    """An edit (with content) or a deletion (None) of an earlier message."""
    original = fields.key(raw, "revoke" if content is None else "edit", "original_message_id")
    if original is None:
        parsed.lose("missing_original", "An edit or deletion does not say of which message.")
        return None
    kind = interactions.MESSAGE_DELETED if content is None else interactions.MESSAGE_EDITED
    shown = {} if content is None else _shown(content)
    return _event(account, person, raw, wamid, type=kind, replaces=original, **shown)


def _shown(content: Content) -> dict[str, Any]:
    return {
        "text": content.text,
        "attachments": content.attachments,
        "attributes": content.attributes,
        "flags": content.flags,
        "generated": content.generated,
    }


def _changed_number(event: Normalised, raw: dict[str, Any]) -> None:
    """A customer's new number: the system tells, under the old number, with both identities."""
    event.author = Author(role="system")
    system = fields.obj(raw, "system")
    new = fields.key(system, "wa_id") or fields.key(system, "new_wa_id")
    user = fields.key(system, "user_id")
    more = identities(**{"whatsapp": new, "whatsapp_user": user, PHONE: phone(new)})
    event.identities = [*event.identities, *(each for each in more if each not in event.identities)]


def _status(account: Account, raw: dict[str, Any], parsed: Parsed) -> None:
    wamid, status = fields.key(raw, "id"), fields.text(raw, "status") or ""
    if fields.text(raw, "type") == "call":
        parsed.note("not_an_interaction", f"The call status {status[:32]!r} is no interaction.")
        return
    group = fields.key(raw, "recipient_id") if _to_group(raw) else None
    wa_id = fields.key(raw, "recipient_participant_id" if group else "recipient_id")
    person = _person(account, wa_id, fields.key(raw, "recipient_user_id"))
    known: Any = _STATUSES.get(status)
    if wamid is None or (person.id or group) is None:
        parsed.lose("missing_id", "A status has no message or no recipient.")
    elif known is None:
        parsed.note("unknown_status", f"The status {status[:32]!r} is not passed on.")
    else:
        error = next((_failure(each) for each in fields.items(raw, "errors")), None)
        parsed.events.append(
            _event(
                account,
                person,
                {**raw, "group_id": group} if group else raw,
                f"{wamid}:{status}:{person.id or ''}" if group else f"{wamid}:{status}",
                type=interactions.DELIVERY_STATUS,
                direction="outbound",
                author=Author(role="system"),
                delivery_status=Delivery(message_id=wamid, status=known, error=error),
                vendor=fields.known(status=status, conversation=_conversation(raw)),
            )
        )


def _to_group(raw: dict[str, Any]) -> bool:
    return fields.text(raw, "recipient_type") == "group"


def _conversation(raw: dict[str, Any]) -> str | None:
    return fields.key(raw, "conversation", "id")


def _failure(error: dict[str, Any]) -> str:
    code = fields.text(error, "code")
    title = fields.text(error, "title") or fields.text(error, "message") or "failed"
    return f"{code}: {title}" if code else title


def _call(account: Account, raw: dict[str, Any], parsed: Parsed) -> None:
    """A voice call over WhatsApp: its beginning is a contact, its end a note in the thread."""
    ours = fields.text(raw, "direction") == "BUSINESS_INITIATED"
    wa_id = fields.key(raw, "to" if ours else "from")
    person = _person(account, wa_id, fields.key(raw, "to_user_id" if ours else "from_user_id"))
    call, name = fields.key(raw, "id"), fields.text(raw, "event") or ""
    if call is None or person.id is None:
        parsed.lose("unknown_call", f"A call of unknown shape (event {name[:32]!r}).")
        return
    if name not in ("connect", "terminate"):
        parsed.note("not_an_interaction", f"The call's event {name[:32]!r} is no interaction.")
        return
    event = _event(account, person, raw, f"{call}:{name}", vendor={"event": name}, generated=True)
    if name == "connect":
        event.text = "WhatsApp call"
        event.direction = "outbound" if ours else "inbound"
        event.author = Author(role="agent") if ours else event.author
    else:
        event.author = Author(role="system")
        event.flags = ["suppress"]
        event.text = " ".join(("WhatsApp call ended", *_ended(raw)))
    parsed.events.append(event)


def _ended(raw: dict[str, Any]) -> Iterator[str]:
    status, duration = fields.text(raw, "status"), fields.integer(raw, "duration")
    if status:
        yield f"({status.lower()})"
    if duration is not None:
        yield f"after {duration} s"


_READERS: dict[str, Callable[[Account, dict[str, Any], Parsed], None]] = {
    "messages": _message,
    "message_echoes": _echo,
    "statuses": _status,
    "calls": _call,
}


CONNECTOR = Connector(
    kind="whatsapp_cloud",
    channel="chat",
    title="WhatsApp Business Platform (Cloud API)",
    setup=SETUP,
    signature=HUB_SIGNATURE_256,
    parse=parse,
    examples=whatsapp_examples.examples,
    settings=WhatsAppSettings,
    secrets={
        **meta.SECRETS,
        "access_token": "System user token, for media. Not needed to receive messages.",
    },
    handshake=meta.handshake,
    handshakes=meta.handshakes,
    answers=meta.ANSWERS,
    retry_horizon_s=meta.RETRY_HORIZON_S,
    max_body_bytes=meta.MAX_BODY_BYTES,
    fetches=(
        Fetch(
            "media",
            "GET https://graph.facebook.com/v23.0/{vendor_id}",
            secret="access_token",
            hosts=("fbsbx.com", "facebook.com", "whatsapp.net"),
            read=file_at("url"),
        ),
    ),
)
