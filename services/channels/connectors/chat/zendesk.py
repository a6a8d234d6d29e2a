"""Zendesk: tickets, comments and messaging, by event-subscription webhooks.

https://developer.zendesk.com/api-reference/webhooks/event-types/webhook-event-types/
"""

from collections.abc import Callable
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.fetching import MEDIA_BY_URL
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.posting import encoded, posted
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import BodyHmac
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Role

SETUP = """\
1. In the Admin Center, Apps and integrations > Webhooks, create a webhook of type «Zendesk events»
   with the connector's inbound URL and POST; choose `ticket.created`, `ticket.comment_added`,
   `ticket.comment_redacted`, `ticket.status_changed`, `messaging_ticket.message_added`.
2. Put the webhook's signing secret into `signing_secret`; a list of two while you reset it.

A webhook that a trigger or automation calls has a body of your own writing: take the kind
`mapping` for it.
"""

_SIGNATURE = BodyHmac(
    "signing_secret",
    "X-Zendesk-Webhook-Signature",
    encoding="base64",
    message="{timestamp}{body}",
    timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
)
_TYPE = "zen:event-type:"


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    if not request.body.strip():
        parsed.note("verification", "Zendesk tests the address.")
        return parsed
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    kind = fields.text(payload, "type") or ""
    if not kind.startswith(_TYPE):
        parsed.lose("unknown_event", "This is no Zendesk event; triggers need the kind `mapping`.")
        return parsed
    read = _READERS.get(kind.removeprefix(_TYPE))
    if read is None:
        parsed.note("not_an_interaction", f"The event {kind[:80]!r} is no interaction.")
    elif _ticket(payload) is None:
        parsed.lose("missing_conversation", "The event names no ticket.")
    else:
        read(payload, parsed)
    return parsed


def _ticket(payload: dict[str, Any]) -> str | None:
    subject = fields.text(payload, "subject") or ""
    number = subject.removeprefix("zen:ticket:") if subject.startswith("zen:ticket:") else None
    return fields.key(payload, "detail", "id") or number or None


def _event(payload: dict[str, Any], **more: Any) -> Normalised:
    detail = fields.obj(payload, "detail")
    vendor = given(payload, "id", "type", "account_id", "time", "subject")
    vendor |= fields.known(ticket_id=_ticket(payload), status=fields.text(detail, "status"))
    attributes = fields.known(
        priority=fields.text(detail, "priority"),
        tags=fields.texts(detail, "tags"),
        via=fields.text(detail, "via", "channel"),
    )
    own = fields.key(payload, "id") or digest_of(payload.get("type"), payload.get("event"))
    return Normalised(
        vendor_id=own,
        conversation_key=_ticket(payload) or "",
        occurred_at_us=moment(payload, "time") or moment(detail, "updated_at"),
        subject=fields.text(detail, "subject"),
        vendor=vendor,
        attributes=attributes,
        **more,
    )


def _created(payload: dict[str, Any], parsed: Parsed) -> None:
    detail = fields.obj(payload, "detail")
    requester = fields.key(detail, "requester_id") or fields.key(detail, "submitter_id")
    event = _event(
        payload,
        author=Author("customer", id=requester),
        identities=identities(
            zendesk=requester, external=fields.key(detail, "requester_external_id")
        ),
        text=fields.text(detail, "description") or fields.text(detail, "subject"),
    )
    if not fields.at(detail, "description") and not event.text:
        event.text, event.generated = f"Ticket {_ticket(payload)}", True
    parsed.events.append(event)


def _comment(payload: dict[str, Any], parsed: Parsed) -> None:
    comment = fields.obj(payload, "event", "comment")
    number = fields.key(comment, "id")
    text = fields.text(comment, "body") or fields.text(comment, "plain_body")
    if number is None:
        parsed.lose("missing_id", "A comment has no id.")
        return
    person = fields.obj(comment, "author")
    staff = fields.flag(person, "is_staff")
    event = _event(
        payload,
        text=text,
        author=Author(
            "agent" if staff else "customer", fields.text(person, "name"), fields.key(person, "id")
        ),
        direction="outbound" if staff else "inbound",
        identities=[] if staff else identities(zendesk=fields.key(person, "id")),
        attachments=[
            Attachment(
                name=fields.text(each, "filename") or fields.text(each, "file_name"),
                content_type=fields.text(each, "content_type"),
                size=fields.integer(each, "size"),
                url=fields.text(each, "content_url"),
                vendor_id=fields.key(each, "id"),
            )
            for each in fields.items(comment, "attachments")
        ],
    )
    event.vendor["comment_id"] = number
    event.message_key = f"comment:{number}"
    if not (event.text or event.attachments):  # files alone come as events of their own
        event.text, event.generated = "(comment without text)", True
    if comment.get("is_public") is False:
        event.flags, event.attributes = ["suppress"], {**event.attributes, "note": True}
    parsed.events.append(event)


_ACTORS: dict[str, Role] = {"end_user": "customer", "agent": "agent", "trigger": "bot"}


def _chat(payload: dict[str, Any], parsed: Parsed) -> None:
    message, actor = fields.obj(payload, "event", "message"), fields.obj(payload, "event", "actor")
    number, text = fields.key(message, "id"), fields.text(message, "body")
    if number is None:
        parsed.lose("missing_id", "A message has no id.")
        return
    role = _ACTORS.get(fields.text(actor, "type") or "", "bot")
    theirs = role == "customer"
    event = _event(
        payload,
        author=Author(role, fields.text(actor, "name"), fields.key(actor, "id")),
        direction="inbound" if theirs else "outbound",
        identities=identities(zendesk=fields.key(actor, "id")) if theirs else [],
        flags=["echo"] if role == "bot" else [],
    )
    event.message_key = f"message:{number}"
    event.text, event.generated = text or "(unsupported message)", text is None
    if text is None:
        event.flags = [*event.flags, "unsupported"]
    event.vendor |= fields.known(
        message_id=number, conversation_id=fields.key(payload, "event", "conversation_id")
    )
    parsed.events.append(event)


def _linked(payload: dict[str, Any], parsed: Parsed) -> None:
    """A file of a comment comes as an event of its own, beside the comment's."""
    file, number = fields.obj(payload, "event", "attachment"), _comment_of(payload)
    url = fields.text(file, "content_url")
    if url is None and fields.key(file, "id") is None:
        parsed.lose("missing_id", "A file has neither an id nor an address.")
        return
    event = _event(
        payload,
        author=Author("system"),
        flags=["suppress"],
        in_reply_to=number,
        attachments=[
            Attachment(
                name=fields.text(file, "filename"),
                content_type=fields.text(file, "content_type"),
                size=fields.integer(file, "size"),
                url=url,
                vendor_id=fields.key(file, "id"),
            )
        ],
    )
    event.vendor |= fields.known(comment_id=number)
    parsed.events.append(event)


def _comment_of(payload: dict[str, Any]) -> str | None:
    return fields.key(payload, "event", "comment", "id")


def _redacted(payload: dict[str, Any], parsed: Parsed) -> None:
    number = _comment_of(payload)
    if number is None:
        parsed.lose("missing_original", "A redaction does not say of which comment.")
        return
    event = _event(payload, type=interactions.MESSAGE_DELETED, replaces=f"comment:{number}")
    event.original_id = number
    event.message_key, event.author = event.replaces, Author("system")
    event.vendor["comment_id"] = number
    parsed.events.append(event)


def _status(payload: dict[str, Any], parsed: Parsed) -> None:
    current = (fields.text(payload, "event", "current") or "").upper()
    if current not in ("SOLVED", "CLOSED"):
        parsed.note("not_an_interaction", f"The status {current[:32]!r} is no interaction.")
        return
    event = _event(payload, type=interactions.CONVERSATION_ENDED, author=Author("system"))
    event.reason = "ended"
    parsed.events.append(event)


_READERS: dict[str, Callable[[dict[str, Any], Parsed], None]] = {
    "ticket.created": _created,
    "ticket.comment_added": _comment,
    "ticket.comment_redacted": _redacted,
    "ticket.attachment_linked_to_comment": _linked,
    "ticket.status_changed": _status,
    "messaging_ticket.message_added": _chat,
}


def sign(payload: dict[str, Any], received_at_us: int) -> InboundRequest:
    """A payload of ours as Zendesk would send it: its timestamp is ISO 8601."""
    stamp = "2026-03-02T09:20:00Z"
    headers = _SIGNATURE.headers("example-signing-secret", encoded(payload), stamp)
    return posted(payload, received_at_us, *headers)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    secrets = {"signing_secret": ("example-signing-secret",)}

    def one(name: str, kind: str, event: str, happened: Any, revises: str | None = None) -> Example:
        payload = {
            "account_id": 1,
            "id": f"01EXAMPLE{name}",
            "type": _TYPE + kind,
            "subject": "zen:ticket:35",
            "time": "2026-03-02T09:19:59.123456789Z",
            "zendesk_event_version": "2022-11-06",
            "detail": {
                "id": "35",
                "subject": "Late parcel",
                "description": "Where is it?",
                "requester_id": "8",
                "priority": "HIGH",
                "status": "OPEN",
            },
            "event": happened,
        }
        return Example(name, sign(payload, at_us + 200_000), secrets, (event,), revises)

    comment = {"id": "501", "body": "Thank you", "author": {"id": "8"}, "is_public": True}
    note = {**comment, "id": "502", "author": {"id": "9", "is_staff": True}, "is_public": False}
    chat = {"actor": {"id": "8", "type": "end_user"}, "message": {"id": "m1", "body": "Hello"}}
    return (
        one("created", "ticket.created", interactions.MESSAGE, {}),
        one("comment", "ticket.comment_added", interactions.MESSAGE, {"comment": comment}),
        one("note", "ticket.comment_added", interactions.MESSAGE, {"comment": note}),
        one("chat", "messaging_ticket.message_added", interactions.MESSAGE, chat),
        one(
            "redacted",
            "ticket.comment_redacted",
            interactions.MESSAGE_DELETED,
            {"comment": {"id": "501"}},
            "comment",
        ),
        one(
            "solved",
            "ticket.status_changed",
            interactions.CONVERSATION_ENDED,
            {"current": "SOLVED", "previous": "OPEN"},
        ),
    )


CONNECTOR = Connector(
    kind="zendesk",
    channel="chat",
    title="Zendesk",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={"signing_secret": "Signing secret of the webhook."},
    order_by="time",
    fetches=(MEDIA_BY_URL,),
)
