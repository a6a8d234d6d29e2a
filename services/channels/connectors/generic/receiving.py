"""What the kinds for any sender share: their settings, and bodies in our shape or mapped by rules."""

from typing import Any, Self

import msgspec
from pydantic import Field, model_validator

from services.channels.connectors import fields, plain
from services.channels.connectors.generic.rules import Mapped, compiled
from services.channels.connectors.port import InboundRequest, Parsed, Settings
from shared.contracts.topics import Channel
from shared.rules import RuleError

OWN_SHAPE = """\
Body: `{"id": "m-1", "conversation_key": "c-1", "time": "…", "author": {"role": "customer",
"id": "kim"}, "text": "Hello"}`, a list of such objects, `{"events": [ … ]}`, or one as the `data` of
a CloudEvent or of a Standard Webhooks payload. `type` is message (the default), message_edited and
message_deleted (with `replaces`), delivery_status, conversation_started, conversation_ended or
feedback. Where the sender has another shape, write `fields`: CEL expressions over `body`.
"""


class ReceivingSettings(Settings):
    """`fields` maps by name; without it the body is in our own shape."""

    channel: Channel = Field(default="chat", description="The channel of all that arrives here.")
    fields: dict[str, str] = Field(
        default_factory=dict,
        max_length=40,
        description="A CEL expression for each name, over `body`, `item`, `headers` and `query`: "
        "conversation_key: body.ticket.id, text: body.comment.text, author_role: '\"customer\"'.",
    )
    items: str | None = Field(
        default=None, description="A CEL expression for the list of items; each is then `item`."
    )
    when: str | None = Field(
        default=None, description="A CEL condition; items for which it is false are ignored."
    )

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            self.mapped()
        except RuleError as error:
            raise ValueError(f"{error} (at {error.position})") from None
        return self

    def mapped(self) -> Mapped | None:
        """The rules, compiled; None where the body is in our own shape."""
        names = tuple(sorted(self.fields.items()))
        return compiled(names, self.items, self.when) if names else None


def receive(request: InboundRequest, mapped: Mapped | None, identity: str | None) -> Parsed:
    """What a body becomes. `identity` is the delivery's own id, for objects that have none."""
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if parsed.problems:
        return parsed
    found = plain.unwrapped(payload) if mapped is None else mapped.objects(payload, request, parsed)
    if not found and not parsed.problems:
        _nothing(payload, mapped, parsed)
    for index, raw in enumerate(found):
        place = identity if len(found) == 1 or identity is None else f"{identity}#{index}"
        before = len(parsed.events)
        plain.read(raw, parsed, place)
        for event in parsed.events[before:]:
            event.vendor |= fields.known(delivery=identity)
    return parsed


def _nothing(payload: Any, mapped: Mapped | None, parsed: Parsed) -> None:
    if mapped is not None or payload in ([], {"events": []}):
        parsed.note("nothing", "The body holds nothing that is passed on.")
    else:
        parsed.lose("unusable_payload", "The body holds no event.")


class Said(msgspec.Struct, omit_defaults=True):
    """A message of ours, for examples."""

    id: str
    text: str | None = None
    type: str = "message"
    replaces: str | None = None
    conversation_key: str = "order-77"
    time: str = "2026-03-02T09:19:59Z"

    def payload(self) -> dict[str, Any]:
        return msgspec.to_builtins(self) | {
            "conversation_key": self.conversation_key,
            "time": self.time,
            "author": {"role": "customer", "id": "kim", "name": "Kim"},
        }
