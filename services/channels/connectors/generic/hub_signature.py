"""Any sender that signs its body as GitHub does: `X-Hub-Signature-256: sha256=…`.

https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

from services.channels.connectors.generic.receiving import (
    OWN_SHAPE,
    ReceivingSettings,
    Said,
    receive,
)
from services.channels.connectors.port import Connector, Context, Example, InboundRequest, Parsed
from services.channels.connectors.posting import signed
from services.channels.connectors.signatures import BodyHmac
from shared.contracts import interactions
from shared.contracts.instants import parse_instant

SETUP = f"""\
1. Give the sender the connector's inbound URL, and put its secret into `secret`; a list of two while
   you rotate it. The signature proves the body, not its age: what is repeated is told by its id.
2. Choose the `channel`.

{OWN_SHAPE}"""

_SIGNATURE = BodyHmac("secret", "X-Hub-Signature-256", prefix="sha256=")


def parse(request: InboundRequest, settings: ReceivingSettings, _: Context) -> Parsed:
    identity = request.header("x-github-delivery")
    return receive(request, settings.mapped(), identity[:512] if identity else None)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")

    def one(name: str, said: Said, event: str, revises: str | None = None) -> Example:
        request = signed(_SIGNATURE, "example-secret", said.payload(), at_us)
        return Example(name, request, {"secret": ("example-secret",)}, (event,), revises)

    edit = Said("m-2", "The door is open!", type="message_edited", replaces="m-1")
    end = Said("m-3", type="conversation_ended")
    return (
        one("message", Said("m-1", "The door is open"), interactions.MESSAGE),
        one("edit", edit, interactions.MESSAGE_EDITED, "message"),
        one("end", end, interactions.CONVERSATION_ENDED),
    )


CONNECTOR = Connector(
    kind="hub_signature",
    channel="chat",
    title="Any sender: X-Hub-Signature-256",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=ReceivingSettings,
    secrets={"secret": "The secret entered at the sender: signs each body."},
)
