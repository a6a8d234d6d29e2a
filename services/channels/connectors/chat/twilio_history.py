"""What Twilio's webhooks missed, by its API; and media.

https://www.twilio.com/docs/messaging/api/message-resource
https://www.twilio.com/docs/conversations/api/conversation-message-resource
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from services.channels.connectors import fields
from services.channels.connectors.fetching import (
    FIRST_PASS_S,
    Row,
    Unfilled,
    file,
    file_at,
    fresh,
    linked,
    moved,
    next_since,
    order,
    payload,
    since_s,
    stamp_of,
)
from services.channels.connectors.port import Fetch, Page, Told, Wanted
from services.channels.connectors.reading import moment
from shared.contracts.instants import SECOND_US, format_instant
from shared.fetching.ask import Ask

_FORM = "application/x-www-form-urlencoded"
_ACCOUNTS = "https://api.twilio.com/2010-04-01/Accounts/"


def _day_of(names: Mapping[str, str], cursor: str | None, at_us: int) -> Ask | None:
    """The messages since the day of the last pass: Twilio filters by day only."""
    if "account_sid" not in names:
        raise Unfilled(["account_sid"])
    since = stamp_of(cursor)
    moment_us = moment({"at": since}, "at") if since else at_us - FIRST_PASS_S * SECOND_US
    day = datetime.fromtimestamp((moment_us or at_us) / SECOND_US, UTC).date().isoformat()
    account = quote(names["account_sid"], safe="")
    return Ask(f"{_ACCOUNTS}{account}/Messages.json?DateSent%3E={day}&PageSize=200")


def _sent(told: Told) -> Page:
    """Inbound messages, the newest first, as Twilio would have posted them."""
    found = payload(told)
    listed = [_row(each) for each in fields.items(found, "messages")]
    inbound = [one for one in listed if fields.text(one.item, "direction") == "inbound"]
    page = Page(content_type=_FORM)
    for one in fresh(inbound, told.cursor, told.at_us):
        form = _form(one.item)
        if fields.integer(one.item, "num_media"):
            page.wanted.append(
                Wanted("item", one.identity, {"form": urlencode(form), **_place(one.item)})
            )
        else:
            page.payloads.append(urlencode(form).encode())
    page.cursor = moved(inbound, told.cursor) if told.page == 0 else None
    since = stamp_of(told.cursor)
    if since is None or (listed and order(listed[-1].stamp) > order(since)):
        page.then = linked(told, fields.text(found, "next_page_uri"))
    return page


def _row(raw: dict[str, Any]) -> Row:
    at_us = moment(raw, "date_sent") or moment(raw, "date_created")
    stamp = "" if at_us is None else format_instant(at_us)
    return Row(stamp, fields.key(raw, "sid") or "", raw)


def _place(raw: dict[str, Any]) -> dict[str, str]:
    return fields.known(sid=fields.key(raw, "sid"), account=fields.key(raw, "account_sid"))


_NAMES = {
    "MessageSid": "sid",
    "AccountSid": "account_sid",
    "MessagingServiceSid": "messaging_service_sid",
    "From": "from",
    "To": "to",
    "Body": "body",
    "DateSent": "date_sent",
    "NumMedia": "num_media",
}


def _form(raw: dict[str, Any]) -> dict[str, str]:
    known = {name: fields.text(raw, source) for name, source in _NAMES.items()}
    return {"Body": "", **{name: text for name, text in known.items() if text}}


def _with_media(told: Told) -> Page:
    """A message once its media are listed."""
    pairs = told.ids.get("form", "")
    for index, each in enumerate(fields.items(payload(told), "media_list")):
        path = (fields.text(each, "uri") or "").removesuffix(".json")
        known = {f"MediaUrl{index}": f"https://api.twilio.com{path}"}
        known[f"MediaContentType{index}"] = fields.text(each, "content_type") or ""
        pairs += "&" + urlencode(known)
    return Page(payloads=[pairs.encode()], content_type=_FORM)


SMS = (
    Fetch(
        "reconcile",
        f"GET {_ACCOUNTS}{{account_sid}}/Messages.json",
        secret="auth_token",
        auth="basic:account_sid",
        cursor="the newest date_sent",
        every_s=300,
        needs=("account_sid",),
        prepare=_day_of,
        read=_sent,
    ),
    Fetch(
        "item",
        f"GET {_ACCOUNTS}{{account}}/Messages/{{sid}}/Media.json",
        secret="auth_token",
        auth="basic:account",
        read=_with_media,
    ),
    Fetch(
        "media",
        "GET {url}",
        secret="auth_token",
        auth="basic:AccountSid",
        hosts=("twilio.com",),
        read=file,
    ),
)


def _conversations(told: Told) -> Page:
    found, since = payload(told), since_s(told.cursor, told.at_us)
    wanted = [
        Wanted("item", f"{sid}:{since}", {"conversation": sid, "since": str(since)})
        for each in fields.items(found, "conversations")
        if (sid := fields.key(each, "sid"))
    ]
    then = linked(told, fields.text(found, "meta", "next_page_url"))
    return Page(wanted=wanted, cursor=next_since(told.at_us), then=then)


_CONVERSATION = {
    "ConversationSid": "conversation_sid",
    "MessageSid": "sid",
    "AccountSid": "account_sid",
    "Index": "index",
    "Author": "author",
    "ParticipantSid": "participant_sid",
    "Body": "body",
    "DateCreated": "date_created",
    "Attributes": "attributes",
}


def _said(told: Told) -> Page:
    """The messages of a conversation, the newest first, until the last pass."""
    found, since_us = payload(told), int(told.ids["since"]) * SECOND_US
    page, older = Page(content_type=_FORM), False
    for each in fields.items(found, "messages"):
        at_us = moment(each, "date_created")
        older = at_us is not None and at_us < since_us
        if older:
            break
        known = {name: fields.text(each, source) for name, source in _CONVERSATION.items()}
        form = {"EventType": "onMessageAdded", **{k: v for k, v in known.items() if v}}
        if fields.at(each, "media"):
            form["Media"] = json.dumps([_file(one) for one in fields.items(each, "media")])
        page.payloads.append(urlencode(form).encode())
    page.then = None if older else linked(told, fields.text(found, "meta", "next_page_url"))
    return page


def _file(raw: dict[str, Any]) -> dict[str, Any]:
    names = {"Sid": "sid", "ContentType": "content_type", "Filename": "filename", "Size": "size"}
    return {name: raw.get(source) for name, source in names.items()}


CONVERSATIONS = (
    Fetch(
        "reconcile",
        "GET https://conversations.twilio.com/v1/Conversations?State=active&PageSize=100",
        secret="auth_token",
        auth="basic:account_sid",
        cursor="the time of the last pass",
        every_s=900,
        needs=("account_sid",),
        read=_conversations,
    ),
    Fetch(
        "item",
        "GET https://conversations.twilio.com/v1/Conversations/{conversation}/Messages"
        "?Order=desc&PageSize=50",
        secret="auth_token",
        auth="basic:account_sid",
        needs=("account_sid",),
        read=_said,
    ),
    Fetch(
        "media",
        "GET https://mcs.us1.twilio.com/v1/Services/{ChatServiceSid}/Media/{vendor_id}",
        secret="auth_token",
        auth="basic:AccountSid",
        read=file_at("links.content_direct_temporary", secret=False),
    ),
)
