"""Microsoft Graph: a notification names a message in a mailbox; the mail itself has to be fetched.

https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.email import provided
from services.channels.connectors.email.bodies import File
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.email.msgraph_subscription import SUBSCRIPTIONS, renewed
from services.channels.connectors.fetching import (
    FIRST_PASS_S,
    Row,
    Unfilled,
    fresh,
    gone,
    linked,
    moved,
    payload,
    stamp_of,
)
from services.channels.connectors.port import (
    DAY_S,
    Answer,
    Answers,
    Connector,
    Context,
    Example,
    Fetch,
    Grant,
    HandshakeExample,
    Handshaken,
    InboundRequest,
    Normalised,
    Page,
    Parsed,
    Secrets,
    Settings,
    Told,
    Verdict,
    Wanted,
    as_posted,
)
from services.channels.connectors.public_keys import decode_base64
from services.channels.connectors.signatures import same
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, format_instant, parse_instant
from shared.fetching.ask import Ask


class MsGraphSettings(EmailSettings):
    tenant: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[A-Za-z0-9.-]+$",
        description="The directory (tenant) of the application that reads the mail.",
    )
    mailbox: str | None = Field(
        default=None,
        max_length=320,
        pattern=r"^[^\s/?#]+$",
        description="The mailbox whose inbox is listed, for mail that no notification told.",
    )


SETUP = """\
1. Choose a long random word as `client_state` and store it here first: Graph tests the address the
   moment a subscription is created.
2. Create a subscription to `/users/{mailbox}/mailFolders('inbox')/messages`, changeType `created`,
   with the connector's inbound URL as `notificationUrl` and `lifecycleNotificationUrl`, and
   `clientState`; or leave that to us: with `mailbox`, `tenant`, `client_id` and `client_secret` set
   (or `api_token`) the subscription to this URL is created where there is none, and renewed twice a
   day and after every lifecycle notice, long before its seven days end. After `missed` the inbox is
   listed at once. Lifecycle notices show as problems of the code `operation`, not as messages. When
   `client_state` changes, keep the old word as well until the subscription was created anew.
3. A notification names a message only, so it shows as a `must_fetch` note. The mail is then fetched
   by `GET /users/{mailbox}/messages/{id}`, which needs an application with the permission
   `Mail.Read`: set `tenant` and the secrets `client_id` and `client_secret` (or `api_token`). With
   `mailbox` set the inbox is also listed every quarter of an hour, for what no notification told.
   Posting a fetched message as JSON, with `clientState`, to the same URL makes it an event too.
4. The word in `clientState` is all that proves who calls. Rich notifications are encrypted and not
   supported.
"""

_PLAIN = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))


@dataclass(frozen=True, slots=True)
class ClientState:
    """The word of ours that every notification of a payload has to repeat."""

    secret: str = "client_state"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        payload = fields.decode_json(request.body, Parsed())
        states = [fields.text(each, "clientState") or "" for each in _notices(payload)]
        matches = [max([same(secret, state) for secret in known]) for state in states]
        return "valid" if matches and all(matches) else "invalid"


def _notices(payload: Any) -> list[dict[str, Any]]:
    value = fields.obj(payload).get("value")
    return list(fields.items({"all": value if isinstance(value, list) else payload}, "all"))


def handshake(request: InboundRequest, secrets: Secrets, _: Settings) -> Handshaken | None:
    """A request with validationToken: the token comes back as plain text. It proves nothing, and
    whoever asks learns nothing."""
    token = request.argument("validationToken")
    if token is None:
        return None
    verdict: Verdict = "valid" if secrets.get("client_state") else "none"
    return Handshaken(verdict, Answer(200, fields.clean(token, 4096), _PLAIN))


def parse(request: InboundRequest, settings: EmailSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    for notice in _notices(payload):
        if "internetMessageId" in notice and not fields.obj(notice, "resourceData"):
            fetched(notice, settings, parsed)
        else:
            _notice(notice, parsed)
    if not (parsed.events or parsed.problems) and fields.at(payload, "value") == []:
        parsed.note("not_an_interaction", "An empty batch of notifications.")
    elif not (parsed.events or parsed.problems):
        parsed.lose("unusable_payload", "The payload holds no notification.")
    return parsed


def _notice(notice: dict[str, Any], parsed: Parsed) -> None:
    subscription = fields.key(notice, "subscriptionId")
    lifecycle = fields.key(notice, "lifecycleEvent")
    if lifecycle is not None:
        parsed.note("operation", f"{lifecycle}: the subscription {subscription} needs attention.")
        due = "reconcile" if lifecycle == "missed" else "renewal"
        parsed.wanted.append(Wanted(due, f"{subscription}:{lifecycle}"))
        return
    message, change = fields.key(notice, "resourceData", "id"), fields.key(notice, "changeType")
    message = message or (fields.key(notice, "resource") or "").rpartition("/")[2]
    if not (subscription and message and change):
        parsed.lose("missing_id", "A notification lacks its subscription, message or change.")
    elif change == "deleted":
        parsed.note("not_an_interaction", f"The message {message} was deleted in the mailbox.")
    else:
        ids = {"subscription": subscription, "message": message, "change": change}
        resource = fields.key(notice, "resource") or ""
        parsed.want("message", f"{subscription}:{message}:{change}", **ids, resource=resource)


def fetched(resource: dict[str, Any], settings: EmailSettings, parsed: Parsed) -> None:
    """A message as `GET /messages/{id}` gives it, with `internetMessageHeaders` where selected."""
    identity = fields.key(resource, "id") or fields.key(resource, "internetMessageId")
    if identity is None:
        parsed.lose("missing_id", "The message has no id.")
        return
    listed = fields.items(resource, "internetMessageHeaders")
    headers = provided.header_pairs((each.get("name"), each.get("value")) for each in listed)
    known = {
        "From": _people(resource, "from") or _people(resource, "sender"),
        "To": _people(resource, "toRecipients"),
        "Cc": _people(resource, "ccRecipients"),
        "Reply-To": _people(resource, "replyTo"),
        "Subject": fields.text(resource, "subject"),
        "Message-ID": fields.key(resource, "internetMessageId"),
    }
    headers = provided.completed(headers, known)
    body = fields.text(resource, "body", "content") or fields.text(resource, "bodyPreview")
    html = (fields.text(resource, "body", "contentType") or "").lower() == "html"
    text, markup = (None, body) if html else (body, None)
    event = provided.pieces_event(headers, text, markup, _files(resource), settings, parsed)
    event.vendor_id = f"graph:{identity}"
    event.occurred_at_us = _instant(resource, "receivedDateTime") or event.occurred_at_us
    _thread(event, fields.key(resource, "conversationId"))
    event.vendor |= fields.known(id=identity)
    parsed.events.append(event)


def _thread(event: Normalised, conversation: str | None) -> None:
    if conversation:
        event.thread_candidates.append(f"thread:graph:{conversation}")
        event.vendor["thread_id"] = conversation


def _people(resource: dict[str, Any], name: str) -> str | None:
    found: list[str] = []
    for each in fields.items(resource, name):
        address = fields.key(each, "emailAddress", "address")
        person = (fields.text(each, "emailAddress", "name") or "").replace('"', "'")
        if address:
            found.append(f'"{person}" <{address}>' if person else address)
    return ", ".join(found) or None


def _files(resource: dict[str, Any]) -> list[File]:
    return [
        File(
            content=decode_base64(fields.at(each, "contentBytes")),
            content_type=fields.key(each, "contentType") or "application/octet-stream",
            name=fields.key(each, "name"),
            inline=fields.flag(each, "isInline"),
            content_id=fields.key(each, "contentId"),
        )
        for each in fields.items(resource, "attachments")
        if isinstance(each.get("contentBytes"), str)
    ]


def _instant(source: dict[str, Any], name: str) -> int | None:
    try:
        return parse_instant(fields.text(source, name) or "")
    except (ValueError, OverflowError):
        return None


_FIELDS = (
    "id,internetMessageId,conversationId,receivedDateTime,subject,body,bodyPreview,from,sender,"
    "toRecipients,ccRecipients,replyTo,internetMessageHeaders,hasAttachments"
)
_GRANT = Grant(
    "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
    {
        "grant_type": "client_credentials",
        "client_id": "{client_id}",
        "client_secret": "{client_secret}",
        "scope": "https://graph.microsoft.com/.default",
    },
)


def _since(names: Mapping[str, str], cursor: str | None, at_us: int) -> Ask | None:
    since = stamp_of(cursor) or format_instant(at_us - FIRST_PASS_S * SECOND_US)
    if "mailbox" not in names:
        raise Unfilled(["mailbox"])
    mailbox = quote(names["mailbox"], safe="@")
    query = {
        "$select": "id,receivedDateTime",
        "$orderby": "receivedDateTime asc",
        "$filter": f"receivedDateTime ge {since}",
        "$top": "100",
    }
    url = f"https://graph.microsoft.com/v1.0/users/{mailbox}/mailFolders/inbox/messages"
    return Ask(f"{url}?{urlencode(query, quote_via=quote, safe='$:,')}")


def _listed(told: Told) -> Page:
    found = payload(told)
    listed = [
        Row(fields.key(one, "receivedDateTime") or "", fields.key(one, "id") or "", one)
        for one in fields.items(found, "value")
    ]
    mailbox = told.ids["mailbox"]
    return Page(
        wanted=[
            Wanted(
                "message",
                f"listed:{one.identity}",
                {"resource": f"users/{mailbox}/messages/{one.identity}"},
            )
            for one in fresh(listed, told.cursor, told.at_us)
        ],
        cursor=moved(listed, told.cursor),
        then=linked(told, fields.text(found, "@odata.nextLink")),
    )


URL = "https://omniroute.example/v1/workspaces/demo/connectors/graph/inbound"
STATE = "example-client-state"


def request_of(*notices: dict[str, Any], received_at_us: int, url: str = URL) -> InboundRequest:
    """Notifications of ours as the request that Graph would send."""
    body = json.dumps({"value": [{"clientState": STATE, **each} for each in notices]}).encode()
    headers = (("Content-Type", "application/json"),)
    return InboundRequest("POST", url, headers, body, received_at_us)


def handshakes() -> tuple[HandshakeExample, ...]:
    url = URL + "?validationToken=Validation%3A+test+of+%3Cours%3E"
    request = InboundRequest("POST", url, (("Content-Type", "text/plain"),), b"", 0)
    answer = Answer(200, "Validation: test of <ours>", _PLAIN)
    secrets = {"client_state": (STATE,)}
    return (HandshakeExample("validation", request, secrets, answer, open=True),)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    secrets = {"client_state": (STATE,)}
    created = {
        "subscriptionId": "sub-1",
        "changeType": "created",
        "resource": "users/u1/messages/AAMk1",
        "resourceData": {"id": "AAMk1", "@odata.type": "#Microsoft.Graph.Message"},
    }
    message = {
        "id": "AAMk1",
        "internetMessageId": "<m1@mail.example.org>",
        "conversationId": "AAQk1",
        "receivedDateTime": "2026-03-02T09:00:00Z",
        "subject": "Invoice",
        "body": {"contentType": "html", "content": "<p>The invoice is wrong.</p>"},
        "from": {"emailAddress": {"name": "Kim Example", "address": "kim@example.org"}},
        "toRecipients": [{"emailAddress": {"address": "help@acme.example"}}],
    }
    return (
        Example("created", request_of(created, received_at_us=at_us), secrets, ()),
        Example(
            "fetched message",
            request_of(message, received_at_us=at_us),
            secrets,
            (interactions.MESSAGE,),
        ),
    )


CONNECTOR = Connector(
    kind="msgraph_mail",
    channel="email",
    title="Microsoft 365 mail (Graph notifications)",
    setup=SETUP,
    signature=ClientState(),
    parse=parse,
    examples=examples,
    settings=MsGraphSettings,
    secrets={
        "client_state": "The word given as clientState when the subscription was created.",
        "api_token": "OAuth token that fetches the mail itself, where you renew it yourself.",
        "client_id": "Application id, with which the token is got.",
        "client_secret": "The application's secret.",
    },
    handshake=handshake,
    handshakes=handshakes,
    answers=Answers(ok=Answer(202), duplicate=Answer(202), unusable=Answer(202)),
    retry_horizon_s=7 * DAY_S,
    max_body_bytes=30 * 1024 * 1024,
    covers_body=False,
    fetches=(
        Fetch(
            "message",
            f"GET https://graph.microsoft.com/v1.0/{{resource}}?$select={_FIELDS}"
            "&$expand=attachments",
            secret="api_token",
            grant=_GRANT,
            expected=(404,),
            read=gone(as_posted),
        ),
        Fetch(
            "reconcile",
            "GET https://graph.microsoft.com/v1.0/users/{mailbox}/mailFolders/inbox/messages",
            secret="api_token",
            cursor="the newest receivedDateTime",
            every_s=900,
            needs=("mailbox",),
            grant=_GRANT,
            prepare=_since,
            read=_listed,
        ),
        Fetch(
            "renewal",
            f"GET {SUBSCRIPTIONS}",
            secret="api_token",
            cursor="when the subscription ends",
            every_s=DAY_S // 2,
            expected=(404,),
            needs=("mailbox",),
            words=("client_state",),
            grant=_GRANT,
            read=renewed,
        ),
    ),
)
