"""WhatsApp's commonest payload, one text message, read in one pass.

The structs hold exactly what such a payload has: whatever is different in any way (another type, a
field more, a number for a text) is left to the general reading, which comes to the same result.
"""

from typing import Annotated, Literal

import msgspec

from services.channels.connectors import fields
from services.channels.connectors.identities import PHONE, phone
from services.channels.connectors.port import Normalised
from shared.contracts.interactions import Author, Identity

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=fields.MAX_TEXT)]
_Seconds = Annotated[str, msgspec.Meta(min_length=1, max_length=11)]


class _Exact(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    pass


class _Said(_Exact):
    body: _Text


class _Context(_Exact, rename={"sender": "from"}):
    id: _Key
    sender: str | None = None


class _Message(_Exact, rename={"sender": "from", "user_id": "from_user_id"}):
    sender: _Key
    id: _Key
    timestamp: _Seconds
    type: Literal["text"]
    text: _Said
    context: _Context | None = None
    user_id: _Key | None = None
    from_parent_user_id: str | None = None


class _Profile(_Exact):
    name: _Text


class _Contact(_Exact):
    profile: _Profile
    wa_id: _Key
    user_id: _Key | None = None
    parent_user_id: str | None = None


class _Metadata(_Exact):
    phone_number_id: _Key
    display_phone_number: str | None = None


class _Value(_Exact):
    metadata: _Metadata
    contacts: tuple[_Contact]
    messages: tuple[_Message]
    messaging_product: str | None = None


class _Change(_Exact):
    value: _Value
    field: Literal["messages"] | None = None


class _Entry(_Exact):
    changes: tuple[_Change]
    id: str | int | None = None
    time: int | None = None


class _Payload(_Exact):
    entry: tuple[_Entry]
    object: str | None = None


_decoder = msgspec.json.Decoder(_Payload)


def text_message(body: bytes, phone_number_id: str | None) -> Normalised | None:
    """The message; None when the body is not just one text message to that number (any, if None)."""
    if b"\\u0000" in body:  # it would have to be taken out
        return None
    try:
        value = _decoder.decode(body).entry[0].changes[0].value
    except (ValueError, RecursionError):
        return None
    number_id, message = value.metadata.phone_number_id, value.messages[0]
    if phone_number_id and number_id != phone_number_id:
        return None
    if not (message.timestamp.isascii() and message.timestamp.isdecimal()):
        return None
    return _event(number_id, message, value.contacts[0])


def _event(number_id: str, message: _Message, card: _Contact) -> Normalised:
    """The only card is the sender's, as in the general reading."""
    sender, user_id = message.sender, message.user_id or card.user_id
    vendor = {"id": message.id, "type": "text", "phone_number_id": number_id}
    if user_id:
        vendor["user_id"] = user_id
    vendor["timestamp"], vendor["from"] = message.timestamp, sender
    seconds = int(message.timestamp)
    return Normalised(
        vendor_id=message.id,
        conversation_key=f"{number_id}:{sender}",
        occurred_at_us=seconds * 1_000_000 if 0 < seconds < 10**11 else None,
        author=Author("customer", card.profile.name, sender),
        identities=_identities(sender, user_id),
        vendor=vendor,
        in_reply_to=None if message.context is None else message.context.id,
        text=message.text.body,
    )


def _identities(wa_id: str, user_id: str | None) -> list[Identity]:
    found = [Identity("whatsapp", wa_id)]
    if user_id:
        found.append(Identity("whatsapp_user", user_id))
    number = phone(wa_id)
    if number:
        found.append(Identity(PHONE, number))
    return found
