"""What Chatwoot's webhooks missed, by its API. https://developers.chatwoot.com/api-reference"""

from typing import Any

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


def _conversations(told: Told) -> Page:
    """Conversations by their last activity, until the last pass."""
    since = since_s(told.cursor, told.at_us)
    listed = list(fields.items(payload(told), "data", "payload"))
    live = [one for one in listed if (fields.number(one, "last_activity_at") or 0) >= since]
    page = Page(cursor=next_since(told.at_us) if told.page == 0 else None)
    for each in live:
        number = fields.key(each, "id")
        if number:
            ids = {"conversation": number, "since": str(since)}
            inbox = fields.key(each, "inbox_id")
            page.wanted.append(
                Wanted("item", f"{number}:{since}", {**ids, **fields.known(inbox=inbox)})
            )
    if listed and len(live) == len(listed):
        page.then = with_argument(told.ask, "page", str(told.page + 2))
    return page


def _messages(told: Told) -> Page:
    """The messages since the last pass, each as its webhook would have told it; further back where
    the page holds only such."""
    since_us = int(told.ids["since"]) * SECOND_US
    listed = list(fields.items(payload(told), "payload"))
    new = [one for one in listed if (moment(one, "created_at") or since_us) >= since_us]
    page = Page(payloads=[posted(_event(one, told)) for one in new])
    first = min((number for one in listed if (number := fields.integer(one, "id"))), default=None)
    if listed and len(new) == len(listed) and first:
        page.then = with_argument(told.ask, "before", str(first))
    return page


def _event(raw: dict[str, Any], told: Told) -> dict[str, Any]:
    conversation = {
        **fields.obj(raw, "conversation"),
        "id": int(told.ids["conversation"]),
        "inbox_id": fields.integer(told.ids, "inbox"),
    }
    account = {"id": fields.integer(told.ids, "account_id")}
    return {**raw, "event": "message_created", "account": account, "conversation": conversation}


FETCHES = (
    Fetch(
        "reconcile",
        "GET {base_url}/api/v1/accounts/{account_id}/conversations"
        "?status=all&sort_by=last_activity_at_desc&page=1",
        secret="api_access_token",
        auth="header:api_access_token",
        cursor="the time of the last pass",
        every_s=300,
        needs=("base_url", "account_id"),
        read=_conversations,
    ),
    Fetch(
        "item",
        "GET {base_url}/api/v1/accounts/{account_id}/conversations/{conversation}/messages",
        secret="api_access_token",
        auth="header:api_access_token",
        needs=("base_url", "account_id"),
        read=_messages,
    ),
    MEDIA_BY_URL,
)
