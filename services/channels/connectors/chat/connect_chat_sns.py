"""Amazon Connect chat: messages of a contact, streamed over SNS.

The contact that began a chat stays its key through transfers. Topics are of the standard kind, so
messages come in any order. https://docs.aws.amazon.com/connect/latest/adminguide/sns-payload.html
"""

from typing import Any

from pydantic import Field

from services.channels.connectors import fields, sns
from services.channels.connectors.fetching import MEDIA_BY_URL
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
)
from services.channels.connectors.public_keys import SnsSignature, example_key
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery


class ConnectChatSettings(sns.SnsSettings):
    instance_id: str | None = Field(
        default=None, description="The Connect instance, as a check on what arrives."
    )


SETUP = (
    """\
1. Start message streaming for each contact (`StartContactStreaming`) to an SNS topic of the standard
   kind and subscribe the connector's inbound URL to it, over HTTPS, raw delivery off: the visibility
   of a message lies in its attributes, and raw delivery puts them into headers.
2. """
    + sns.STEPS.replace("\n", "\n   ").strip()
    + "\n"
)

_ROLES = {"CUSTOMER": "customer", "AGENT": "agent", "SYSTEM": "system", "CUSTOM_BOT": "bot"}
_EVENT = "application/vnd.amazonaws.connect.event."
_RECEIPTS = {"message.delivered": "delivered", "message.read": "read"}


def parse(request: InboundRequest, settings: ConnectChatSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    for envelope, item in sns.messages(payload, settings.topic_arn, parsed):
        instance = sns.attribute(envelope, "InstanceId")
        if settings.instance_id and instance not in (None, settings.instance_id):
            parsed.note("other_account", f"A message is of the instance {instance}.")
        _item(item, envelope, parsed)
    return parsed


def _item(item: dict[str, Any], envelope: dict[str, Any], parsed: Parsed) -> None:
    contact = fields.key(item, "InitialContactId") or sns.attribute(envelope, "InitialContactId")
    contact = contact or fields.key(item, "ContactId") or sns.attribute(envelope, "ContactId")
    identity = fields.key(item, "Id") or fields.key(item, "MessageMetadata", "MessageId")
    if contact is None or identity is None:
        parsed.lose("missing_id", "The message lacks its id or its contact.")
        return
    event = _normalised(item, envelope, contact, identity)
    kind = fields.text(item, "Type") or sns.attribute(envelope, "Type") or ""
    if kind == "MESSAGE":
        _message(event, item, envelope, parsed)
    elif kind == "ATTACHMENT":
        event.attachments = list(_attachments(item))
        _visible(event, envelope)
        parsed.events.append(event)
        if not event.attachments:
            event.text, event.flags = "[attachment without content]", ["unsupported"]
            event.generated = True
    elif kind in ("EVENT", "MESSAGEMETADATA", "MESSAGE_METADATA"):
        _event(event, item, parsed)
    else:
        parsed.lose("unknown_event", f"The type {kind[:64]!r} is not known.")


def _normalised(
    item: dict[str, Any], envelope: dict[str, Any], contact: str, identity: str
) -> Normalised:
    role = fields.text(item, "ParticipantRole") or ""
    person, name = fields.key(item, "ParticipantId"), fields.key(item, "DisplayName")
    ours = _ROLES.get(role, "system")
    return Normalised(
        vendor_id=identity,
        conversation_key=contact,
        occurred_at_us=_instant(fields.text(item, "AbsoluteTime")),
        direction="inbound" if ours == "customer" else "outbound",
        author=Author(role=ours, name=name, id=person),  # type: ignore[arg-type]
        identities=identities(connect_participant=person) if ours == "customer" else [],
        vendor=fields.known(
            id=identity,
            sns_message_id=fields.key(envelope, "MessageId"),
            contact_id=fields.key(item, "ContactId"),
            initial_contact_id=contact,
            participant_role=role,
            absolute_time=fields.key(item, "AbsoluteTime"),
            visibility=sns.attribute(envelope, "MessageVisibility"),
            content_type=fields.key(item, "ContentType"),
        ),
    )


def _message(
    event: Normalised, item: dict[str, Any], envelope: dict[str, Any], parsed: Parsed
) -> None:
    event.text = fields.text(item, "Content")
    kind = fields.text(item, "ContentType") or ""
    if event.text and kind.startswith(_INTERACTIVE):
        event.text = _chosen(event.text, answered=kind.endswith(".response"))
    if event.text is None:
        event.text, event.flags = "[unsupported: a message without content]", ["unsupported"]
        event.generated = True
    _visible(event, envelope)
    parsed.events.append(event)


def _chosen(content: str, *, answered: bool) -> str:
    """An interactive message as a person reads it: what was chosen, or what may be."""
    told = fields.decode_json(content.encode("utf-8", "replace"), Parsed())
    if answered:
        choice = fields.text(told, "action") or fields.text(told, "title")
        return choice or content
    asked = fields.obj(told, "data", "content")
    lines = [fields.text(asked, "title"), fields.text(asked, "subtitle")]
    lines += [fields.text(one, "title") for one in fields.items(asked, "elements")]
    return "\n".join(line for line in lines if line) or content


def _visible(event: Normalised, envelope: dict[str, Any]) -> None:
    """A whisper between agents is no answer to the customer, and must never look like one."""
    if sns.attribute(envelope, "MessageVisibility") == "AGENT" and event.author.role != "customer":
        event.author = Author(role="system", name=event.author.name, id=event.author.id)
        event.flags = [*event.flags, "suppress"]
        event.attributes = {"visibility": "agent"}


def _attachments(item: dict[str, Any]) -> list[Attachment]:
    return [
        Attachment(
            name=fields.key(each, "AttachmentName"),
            content_type=fields.key(each, "ContentType"),
            vendor_id=fields.key(each, "AttachmentId"),
        )
        for each in fields.items(item, "Attachments")
    ]


_INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive"


def _event(event: Normalised, item: dict[str, Any], parsed: Parsed) -> None:
    name = (fields.text(item, "ContentType") or "").removeprefix(_EVENT)
    if name == "chat.ended":
        event.type, event.reason = interactions.CONVERSATION_ENDED, "ended"
    elif name in _RECEIPTS:
        message = fields.key(item, "MessageMetadata", "MessageId") or event.vendor_id
        event.vendor_id = f"{message}:{name}:{fields.key(item, 'ParticipantId') or ''}"
        event.type = interactions.DELIVERY_STATUS
        event.delivery_status = Delivery(message, _RECEIPTS[name])  # type: ignore[arg-type]
    elif name in (
        "participant.joined",
        "participant.left",
        "transfer.succeeded",
        "transfer.failed",
    ):
        event.text = f"{event.author.name or event.vendor.get('participant_role')}: {name}"
        event.author, event.flags, event.generated = Author(role="system"), ["suppress"], True
    else:
        parsed.note("not_an_interaction", f"The event {name[:64]!r} is no message.")
        return
    parsed.events.append(event)


def _instant(text: str | None) -> int | None:
    try:
        return parse_instant(text or "")
    except (ValueError, OverflowError):
        return None


URL = "https://omniroute.example/v1/workspaces/demo/connectors/connect/inbound"


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    secrets = {"signing_certificate": (example_key()[1],)}

    def one(name: str, event: str, version: str = "2", **more: Any) -> Example:
        item = {
            "Id": f"msg-{name}",
            "AbsoluteTime": "2026-03-02T09:00:29.656Z",
            "ContentType": "text/plain",
            "Type": "MESSAGE",
            "ParticipantId": "participant-1",
            "ParticipantRole": "CUSTOMER",
            "DisplayName": "Kim",
            "InitialContactId": "contact-1",
            "ContactId": "contact-2",
            **more,
        }
        visible = {"MessageVisibility": {"Type": "String", "Value": "ALL"}}
        request = sns.sign(item, at_us, url=URL, version=version, MessageAttributes=visible)
        return Example(name, request, secrets, (event,))

    read = {"MessageId": "msg-text", "Receipts": []}
    file = {"AttachmentId": "a1", "AttachmentName": "a.pdf", "ContentType": "application/pdf"}
    return (
        one("text", interactions.MESSAGE, version="1", Content="Where is my order?"),
        one("file", interactions.MESSAGE, Type="ATTACHMENT", Attachments=[file]),
        one(
            "read",
            interactions.DELIVERY_STATUS,
            Type="MESSAGEMETADATA",
            ContentType=_EVENT + "message.read",
            MessageMetadata=read,
        ),
        one(
            "ended",
            interactions.CONVERSATION_ENDED,
            Type="EVENT",
            ContentType=_EVENT + "chat.ended",
        ),
    )


CONNECTOR = Connector(
    kind="connect_chat_sns",
    channel="chat",
    title="Amazon Connect chat over SNS",
    setup=SETUP,
    signature=SnsSignature(),
    parse=parse,
    examples=examples,
    settings=ConnectChatSettings,
    secrets=sns.SECRETS,
    retry_horizon_s=DAY_S,
    covers_body=False,  # SNS signs fields of its envelope, not the bytes
    order_by="absolute_time",
    edits=False,
    fetches=(*sns.FETCHES, MEDIA_BY_URL),
)
