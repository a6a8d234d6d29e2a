"""What MessageBird's webhooks missed, by its Conversations API.

https://developers.messagebird.com/api/conversations
"""

from services.channels.connectors import fields
from services.channels.connectors.fetching import (
    MEDIA_BY_URL,
    next_since,
    payload,
    posted,
    since_s,
    with_argument,
)
from services.channels.connectors.port import Fetch, Page, Told, Wanted
from services.channels.connectors.reading import moment
from shared.contracts.instants import SECOND_US

_API = "https://conversations.messagebird.com/v1/conversations"
_LIMIT = 20


def _conversations(told: Told) -> Page:
    since = since_s(told.cursor, told.at_us)
    listed = list(fields.items(payload(told), "items"))
    page = Page(cursor=next_since(told.at_us) if told.page == 0 else None)
    live = 0
    for each in listed:
        number, at_us = fields.key(each, "id"), moment(each, "lastReceivedDatetime")
        if number and (at_us is None or at_us >= since * SECOND_US):
            live += 1
            ids = {"conversation": number, "since": str(since)}
            page.wanted.append(Wanted("item", f"{number}:{since}", ids))
    if live and len(listed) == _LIMIT:
        page.then = with_argument(told.ask, "offset", str((told.page + 1) * _LIMIT))
    return page


def _messages(told: Told) -> Page:
    since_us = int(told.ids["since"]) * SECOND_US
    listed = list(fields.items(payload(told), "items"))
    new = [one for one in listed if (moment(one, "createdDatetime") or since_us) >= since_us]
    place = {"id": told.ids["conversation"]}
    page = Page(
        payloads=[
            posted({"type": "message.created", "conversation": place, "message": one})
            for one in new
        ]
    )
    if new and len(listed) == _LIMIT:
        page.then = with_argument(told.ask, "offset", str((told.page + 1) * _LIMIT))
    return page


FETCHES = (
    Fetch(
        "reconcile",
        f"GET {_API}?limit={_LIMIT}&status=all",
        secret="access_key",
        auth="scheme:AccessKey",
        cursor="the time of the last pass",
        every_s=300,
        read=_conversations,
    ),
    Fetch(
        "item",
        f"GET {_API}/{{conversation}}/messages?limit={_LIMIT}",
        secret="access_key",
        auth="scheme:AccessKey",
        read=_messages,
    ),
    MEDIA_BY_URL,
)
