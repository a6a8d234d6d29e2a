"""Gmail: a push by Cloud Pub/Sub says that a mailbox changed; the mail itself has to be fetched.

https://developers.google.com/workspace/gmail/api/guides/push
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jwt
from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.email import provided
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.fetching import (
    GOOGLE,
    GOOGLE_SECRETS,
    gone,
    payload,
    with_argument,
)
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    Page,
    Parsed,
    Secrets,
    Told,
    Verdict,
    Wanted,
    as_posted,
)
from services.channels.connectors.public_keys import bearer, example_key, token_claims
from services.channels.connectors.signatures import any_same
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, format_instant, parse_instant
from shared.fetching.ask import Ask

SETUP = """\
1. Create a Pub/Sub topic that `gmail-api-push@system.gserviceaccount.com` may publish to, and set
   `topic`: the mailbox is then watched, and the watch, which ends after seven days, renewed daily.
   Without `topic` call `users.watch` daily yourself.
2. Create a push subscription to the connector's inbound URL with authentication by a service
   account. Put its address into `service_account`, the subscription's audience (the inbound URL
   unless you chose another) into `audience`, and Google's keys
   (`https://www.googleapis.com/oauth2/v3/certs`, the JSON as it is) into `google_keys`. Google
   changes them every few days: keep the list current.
3. A push names a mailbox and a history id only, so it shows as a `must_fetch` note. The mail is then
   fetched by `users.history.list` and `users.messages.get?format=raw`, which needs `client_id`,
   `client_secret` and `refresh_token` of an OAuth client (or `api_token`). The mailbox is also looked
   into every quarter of an hour, for Google drops pushes. Posting a fetched message to the same URL,
   with the same token, makes it an event too.
"""


class GmailSettings(EmailSettings):
    mailbox: str = Field(
        default="me",
        max_length=320,
        pattern=r"^[^\s/?#]+$",
        description="The mailbox that is fetched from; «me» is the token's own.",
    )
    topic: str | None = Field(
        default=None,
        max_length=400,
        pattern=r"^projects/[^\s/]+/topics/[^\s/]+$",
        description="The Pub/Sub topic that Gmail publishes to (`projects/…/topics/…`), with which "
        "the mailbox is watched.",
    )


_ISSUERS = ("https://accounts.google.com", "accounts.google.com")


@dataclass(frozen=True, slots=True)
class GoogleToken:
    """Google's OIDC token of a push: signed by Google, for our audience, by the service account.

    https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
    """

    secret: str = "google_keys"
    account: str = "service_account"
    audience: str = "audience"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret, self.account)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        keys, accounts = secrets.get(self.secret, ()), secrets.get(self.account, ())
        if not keys or not accounts:
            return "none"
        claims = token_claims(bearer(request), keys, request.received_at_us)
        if claims is None or claims.get("iss") not in _ISSUERS:
            return "invalid"
        audiences = secrets.get(self.audience) or (request.url.partition("?")[0],)
        named, account = fields.key(claims, "aud") or "", fields.key(claims, "email") or ""
        good = any_same(audiences, named) and any_same(accounts, account)
        return "valid" if good and fields.flag(claims, "email_verified") else "invalid"


def parse(request: InboundRequest, settings: EmailSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    if fields.text(payload, "raw") is not None:
        fetched(fields.obj(payload), settings, parsed)
        return parsed
    message = fields.obj(payload, "message")
    identity = fields.key(message, "messageId") or fields.key(message, "message_id")
    notice = _decoded(fields.text(message, "data"))
    mailbox, history = fields.key(notice, "emailAddress"), fields.key(notice, "historyId")
    if identity is None or mailbox is None or history is None:
        parsed.lose("unusable_payload", "The push names no mailbox and history id.")
        return parsed
    parsed.want("message", identity, mailbox=mailbox, history_id=history)
    return parsed


def _decoded(data: str | None) -> dict[str, Any]:
    return fields.obj(fields.decode_json(_bytes(data), Parsed()))


def _bytes(text: str | None) -> bytes:
    """Base64 in either alphabet, padded or not."""
    plain = (text or "").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return b""


def fetched(resource: dict[str, Any], settings: EmailSettings, parsed: Parsed) -> None:
    """A message as `users.messages.get?format=raw` gives it."""
    identity, raw = fields.key(resource, "id"), resource.get("raw")
    content = _bytes(raw if isinstance(raw, str) else None)
    if identity is None or not content.strip():
        parsed.lose("unusable_payload", "The message has no id or no raw content.")
        return
    event: Normalised = provided.raw_event(content, settings, parsed)
    arrived = fields.integer(resource, "internalDate")
    event.vendor_id = f"gmail:{identity}"
    event.occurred_at_us = arrived * 1000 if arrived is not None else event.occurred_at_us
    thread = fields.key(resource, "threadId")
    if thread:
        event.thread_candidates.append(f"thread:gmail:{thread}")
    labels = fields.texts(resource, "labelIds")
    event.vendor |= fields.known(id=identity, thread_id=thread, labels=labels)
    parsed.events.append(event)


_API = "https://gmail.googleapis.com/gmail/v1/users/"
_RECENT = "?q=newer_than:2d&labelIds=INBOX&maxResults=100"
_NOT_MAIL = frozenset({"DRAFT", "SPAM", "TRASH", "CHAT"})


def _look(names: Mapping[str, str], cursor: str | None, _: int) -> Ask | None:
    """What has come since the cursor; without one, where the mailbox stands now."""
    mailbox = quote(names.get("mailbox", "me"), safe="@")
    if cursor is None:
        return Ask(f"{_API}{mailbox}/profile")
    return Ask(f"{_API}{mailbox}/history?startHistoryId={quote(cursor)}&historyTypes=messageAdded")


def _history(told: Told) -> Page:
    """First the mailbox's place, then, from there, what is recent: nothing falls in between. Also
    when Google no longer knows the history since the cursor (404)."""
    base = told.ask.url.partition("?")[0].rpartition("/")[0]
    name = told.ask.url.partition("?")[0].rpartition("/")[2]
    found = payload(told)
    if told.status == 404 and name == "history":
        return Page(then=Ask(f"{base}/profile"))
    if told.status == 404:
        return Page(lost="There is no such mailbox.")
    if name == "profile":
        return Page(cursor=fields.key(found, "historyId"), then=Ask(f"{base}/messages{_RECENT}"))
    if name == "messages":
        page = Page(wanted=[_mail(one) for one in fields.items(found, "messages")])
    else:
        added = [
            fields.obj(each, "message")
            for entry in fields.items(found, "history")
            for each in fields.items(entry, "messagesAdded")
        ]
        mails = [one for one in added if _NOT_MAIL.isdisjoint(fields.texts(one, "labelIds"))]
        page = Page(wanted=[_mail(one) for one in mails], cursor=fields.key(found, "historyId"))
    more = fields.key(found, "nextPageToken")
    page.then = with_argument(told.ask, "pageToken", more) if more else None
    return page


def _watch(names: Mapping[str, str], _cursor: str | None, _at_us: int) -> Ask | None:
    body = {
        "topicName": names["topic"],
        "labelIds": ["INBOX"],
        "labelFilterBehavior": "INCLUDE",
    }
    url = f"{_API}{quote(names.get('mailbox', 'me'), safe='@')}/watch"
    return Ask(url, "POST", (("Content-Type", "application/json"),), json.dumps(body).encode())


def _watched(told: Told) -> Page:
    ends_ms = fields.integer(payload(told), "expiration")
    if ends_ms is None or not 0 < ends_ms < _LAST_MS:
        return Page(lost="Gmail does not say when the watch ends.")
    return Page(cursor=format_instant(ends_ms * 1000))


_LAST_MS = 32_503_680_000_000  # the year 3000: beyond it nothing is a time


def _mail(message: dict[str, Any]) -> Wanted:
    identity = fields.key(message, "id") or ""
    return Wanted("item", identity, {"id": identity})


URL = "https://omniroute.example/v1/workspaces/demo/connectors/gmail/inbound"
ACCOUNT = "push@example.iam.gserviceaccount.com"


def sign(payload: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A payload of ours as the push that Google would send."""
    now = received_at_us // SECOND_US
    claims = {"iss": _ISSUERS[0], "aud": url, "email": ACCOUNT, "email_verified": True}
    token = jwt.encode({**claims, "iat": now, "exp": now + 3600}, example_key()[0], "RS256")
    headers = (("Content-Type", "application/json"), ("Authorization", f"Bearer {token}"))
    return InboundRequest("POST", url, headers, json.dumps(payload).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    secrets = {"google_keys": (example_key()[1],), "service_account": (ACCOUNT,)}
    notice = b'{"emailAddress": "help@acme.example", "historyId": 4711}'
    push = {
        "message": {
            "data": base64.b64encode(notice).decode(),
            "messageId": "1001",
            "publishTime": "2026-03-02T09:00:30Z",
        },
        "subscription": "projects/acme/subscriptions/mail",
    }
    mail = b"From: kim@example.org\r\nSubject: Invoice\r\nMessage-ID: <g1@mail.example.org>\r\n\r\nHello\r\n"
    message = {
        "id": "18e0",
        "threadId": "18e0",
        "internalDate": str(at_us // 1000),
        "raw": base64.urlsafe_b64encode(mail).decode(),
    }
    return (
        Example("push", sign(push, at_us), secrets, ()),
        Example("fetched message", sign(message, at_us), secrets, (interactions.MESSAGE,)),
    )


CONNECTOR = Connector(
    kind="gmail_push",
    channel="email",
    title="Gmail push (Cloud Pub/Sub)",
    setup=SETUP,
    signature=GoogleToken(),
    parse=parse,
    examples=examples,
    settings=GmailSettings,
    secrets={
        "google_keys": "Google's public keys, as JSON Web Key set or PEM.",
        "service_account": "Address of the service account that the pushes are signed for.",
        "audience": "Audience of the push subscription, where it is not the inbound URL.",
        "api_token": "OAuth token that fetches the mail itself, where you renew it yourself.",
        **GOOGLE_SECRETS,
    },
    retry_horizon_s=7 * DAY_S,
    max_body_bytes=30 * 1024 * 1024,
    covers_body=False,
    fetches=(
        Fetch(
            "message",
            "GET https://gmail.googleapis.com/gmail/v1/users/{mailbox}/history"
            "?startHistoryId={cursor}&historyTypes=messageAdded",
            name="history",
            secret="api_token",
            cursor="historyId",
            every_s=900,
            expected=(404,),
            grant=GOOGLE,
            prepare=_look,
            read=_history,
        ),
        Fetch(
            "renewal",
            "POST https://gmail.googleapis.com/gmail/v1/users/{mailbox}/watch",
            secret="api_token",
            cursor="when the watch ends",
            every_s=DAY_S,
            needs=("topic",),
            grant=GOOGLE,
            prepare=_watch,
            read=_watched,
        ),
        Fetch(
            "item",
            "GET https://gmail.googleapis.com/gmail/v1/users/{mailbox}/messages/{id}?format=raw",
            secret="api_token",
            grant=GOOGLE,
            expected=(404,),
            read=gone(as_posted),
        ),
    ),
)
