"""What Twilio's messaging webhooks share: the form as a mapping, media, a signed form of ours.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

from typing import Any
from urllib.parse import urlencode

from services.channels.connectors import fields
from services.channels.connectors.port import Answer, Answers, InboundRequest, Parsed
from services.channels.connectors.posting import URL
from services.channels.connectors.reading import payload_of
from services.channels.connectors.signatures import TwilioSignature, form_of

SIGNATURE = TwilioSignature()
AUTH_TOKEN = "example-auth-token"
MAX_MEDIA = 10

# Twilio reads the answer as TwiML and logs an error for a body that is none: empty TwiML says «no
# reply».
ANSWERS = Answers(
    ok=Answer(200, "<Response/>", (("Content-Type", "text/xml; charset=utf-8"),)),
    duplicate=Answer(200, "<Response/>", (("Content-Type", "text/xml; charset=utf-8"),)),
)


def form(request: InboundRequest, parsed: Parsed) -> dict[str, Any]:
    """The first value of each field, from a form, a GET's query or JSON; without NUL."""
    if request.method.upper() == "GET":
        return {name: fields.clean(value) for name, value in reversed(request.query)}
    if request.media_type == "application/json":
        return payload_of(request, parsed)
    found = {name: fields.clean(value) for name, value in reversed(form_of(request.body) or [])}
    if not found:
        parsed.lose("unusable_payload", "The body is no form.")
    return found


def request_of(values: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A form of ours as the request that Twilio would send."""
    pairs = [(name, str(value)) for name, value in values.items()]
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),
        (SIGNATURE.header, SIGNATURE.sign(AUTH_TOKEN, url, pairs)),
    )
    return InboundRequest("POST", url, headers, urlencode(pairs).encode(), received_at_us)
