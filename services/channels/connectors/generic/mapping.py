"""Any sender of JSON, without code: each field is a CEL expression over the body.

The address is unguessable; a sender that can sign or send a token is held to it as well.
"""

from typing import Any

from pydantic import Field

from services.channels.connectors.generic.receiving import ReceivingSettings, Said, receive
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Parsed,
)
from services.channels.connectors.posting import posted
from services.channels.connectors.signatures import AnyOf, BodyHmac, StandardWebhooks, StaticToken
from shared.contracts import interactions
from shared.contracts.instants import parse_instant

DEFAULT: dict[str, str] = {
    "id": "body.id",
    "type": 'has(body.type) ? body.type : "message"',
    "conversation_key": "body.conversation_key",
    "time": "body.time",
    "text": "body.text",
    "author_role": "body.author.role",
    "author_id": "body.author.id",
    "author_name": "body.author.name",
    "replaces": "body.replaces",
}


class MappingSettings(ReceivingSettings):
    fields: dict[str, str] = Field(
        default_factory=lambda: dict(DEFAULT),
        min_length=1,
        max_length=40,
        description=ReceivingSettings.model_fields["fields"].description,
    )


SETUP = """\
1. Give the sender the connector's inbound URL: its last part is a secret. Where the sender can sign,
   put its secret into `signing_secret` (Standard Webhooks), `hub_secret` (X-Hub-Signature-256) or
   `token` (sent back in `X-Webhook-Token`): what is not signed is then refused.
2. Choose the `channel` and write `fields`, a CEL expression for each name:

       conversation_key: body.ticket.id          (needed)
       id: body.comment.id                       (what counts once; else the body's hash)
       text: body.comment.text                   (or html, attachments)
       author_role: 'body.comment.staff ? "agent" : "customer"'
       author_id: body.comment.author            email: body.requester.email
       time: body.comment.created_at             attributes: '{"topic": body.ticket.group}'

   An expression that finds nothing leaves its field out. `items` (a list; each is `item`) and `when`
   (a condition) are optional. Try it with `POST connectors:preview`.

For triggers and automations of Zendesk and the like, whose bodies you write yourself.
"""

_SIGNATURE = AnyOf(
    (
        StandardWebhooks(),
        BodyHmac("hub_secret", "X-Hub-Signature-256", prefix="sha256="),
        StaticToken("token", "X-Webhook-Token"),
    ),
    optional=True,
)


def parse(request: InboundRequest, settings: MappingSettings, _: Context) -> Parsed:
    return receive(request, settings.mapped(), None)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")

    def one(said: Said, event: str, revises: str | None = None) -> Example:
        payload: dict[str, Any] = said.payload()
        return Example(said.id, posted(payload, at_us), {}, (event,), revises)

    edit = Said("m-2", "The lamp is on", type="message_edited", replaces="m-1")
    return (
        one(Said("m-1", "The lamp is off"), interactions.MESSAGE),
        one(edit, interactions.MESSAGE_EDITED, "m-1"),
        one(
            Said("m-3", type="message_deleted", replaces="m-1"),
            interactions.MESSAGE_DELETED,
            "m-1",
        ),
    )


CONNECTOR = Connector(
    kind="mapping",
    channel="chat",
    title="Any sender: fields mapped by rules",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=MappingSettings,
    secrets={
        "signing_secret": "Of a sender that signs as Standard Webhooks say.",
        "hub_secret": "Of a sender that signs with X-Hub-Signature-256.",
        "token": "Of a sender that can only repeat a header: X-Webhook-Token.",
    },
)
