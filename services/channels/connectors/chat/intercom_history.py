"""What Intercom's notifications missed, by its API.

https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from services.channels.connectors import fields
from services.channels.connectors.fetching import (
    MEDIA_BY_URL,
    next_since,
    payload,
    posted,
    since_s,
)
from services.channels.connectors.port import Fetch, Page, Told, Wanted
from shared.fetching.ask import Ask

_HEADERS = (("Accept", "application/json"), ("Intercom-Version", "2.11"))
_SEARCH = "https://api.intercom.io/conversations/search"


def _search(_: Mapping[str, str], cursor: str | None, at_us: int) -> Ask | None:
    return Ask(
        _SEARCH,
        "POST",
        (("Content-Type", "application/json"),),
        _query(since_s(cursor, at_us), None),
    )


def _query(since: int, after: str | None) -> bytes:
    field = {"field": "updated_at", "operator": ">", "value": since}
    pages = {"per_page": 50, **({"starting_after": after} if after else {})}
    return json.dumps({"query": field, "pagination": pages}).encode()


def _found(told: Told) -> Page:
    found, since = payload(told), since_s(told.cursor, told.at_us)
    page = Page(cursor=next_since(told.at_us))
    for each in fields.items(found, "conversations"):
        number = fields.key(each, "id")
        if number:
            ids = {"conversation": number, "since": str(since)}
            page.wanted.append(Wanted("item", f"{number}:{since}", ids))
    after = fields.key(found, "pages", "next", "starting_after")
    if after:
        page.then = msgspec.structs.replace(told.ask, body=_query(since, after))
    return page


def _conversation(told: Told) -> Page:
    """A conversation as the notification of its last part; older parts are left out."""
    item, since = fields.obj(payload(told)), float(told.ids["since"])
    parts = [
        part
        for part in fields.items(item, "conversation_parts", "conversation_parts")
        if (fields.number(part, "created_at") or since) >= since
    ]
    fresh = (fields.number(item, "created_at") or 0) >= since
    topic = "conversation.user.created" if fresh else "conversation.user.replied"
    if not parts and not fresh:
        return Page()
    shown: dict[str, Any] = {**item, "conversation_parts": {"conversation_parts": parts}}
    notice = {"type": "notification_event", "topic": topic, "data": {"item": shown}}
    return Page(payloads=[posted(notice)])


FETCHES = (
    Fetch(
        "reconcile",
        f"POST {_SEARCH}",
        secret="access_token",
        cursor="the time of the last pass",
        every_s=300,
        headers=_HEADERS,
        prepare=_search,
        read=_found,
    ),
    Fetch(
        "item",
        "GET https://api.intercom.io/conversations/{conversation}",
        secret="access_token",
        headers=_HEADERS,
        read=_conversation,
    ),
    MEDIA_BY_URL,
)
