"""What Slack's webhooks missed, by its Web API; and files.

https://api.slack.com/methods/conversations.history
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from services.channels.connectors import fields
from services.channels.connectors.fetching import (
    file,
    next_since,
    payload,
    posted,
    since_s,
    with_argument,
)
from services.channels.connectors.port import Fetch, NotYet, Page, Told, Wanted
from shared.fetching.ask import Ask

_API = "https://slack.com/api/"


def _answer(told: Told) -> dict[str, Any]:
    """Slack says in the body whether it went well."""
    found = fields.obj(payload(told))
    if not fields.flag(found, "ok"):
        raise NotYet(f"Slack answered {str(fields.text(found, 'error'))[:64]!r}.")
    return found


def _more(told: Told, found: dict[str, Any]) -> Ask | None:
    token = fields.text(found, "response_metadata", "next_cursor")
    if not token:
        return None
    return with_argument(told.ask, "cursor", token)


def _channels(told: Told) -> Page:
    """The conversations that the app is in; each is looked into on its own."""
    found, since = _answer(told), since_s(told.cursor, told.at_us)
    wanted = [
        Wanted(
            "item",
            f"{channel}:{since}",
            fields.known(
                channel=channel,
                team=fields.key(each, "context_team_id"),
                kind="im" if fields.flag(each, "is_im") else "channel",
                since=str(since),
            ),
        )
        for each in fields.items(found, "channels")
        if (channel := fields.key(each, "id"))
    ]
    return Page(wanted=wanted, cursor=next_since(told.at_us), then=_more(told, found))


def _look(names: Mapping[str, str], _: str | None, __: int) -> Ask | None:
    query = {"channel": names.get("channel", ""), "oldest": names.get("since", "0"), "limit": "200"}
    if "ts" in names:
        return Ask(f"{_API}conversations.replies?{urlencode({**query, 'ts': names['ts']})}")
    return Ask(f"{_API}conversations.history?{urlencode(query)}")


def _messages(told: Told) -> Page:
    """Messages as the Events API would have told them, and the threads that went on."""
    found, since = _answer(told), float(told.ids.get("since", "0"))
    page = Page(then=_more(told, found))
    for raw in fields.items(found, "messages"):
        page.payloads.append(posted(_event(raw, told.ids)))
        ts, latest = fields.key(raw, "ts"), fields.number(raw, "latest_reply") or 0.0
        if "ts" not in told.ids and ts and latest >= since:
            ids = {**_ids(told.ids), "ts": ts}
            page.wanted.append(Wanted("item", f"{ids['channel']}:{ts}:{ids['since']}", ids))
    return page


def _ids(ids: Mapping[str, str]) -> dict[str, str]:
    return {name: ids[name] for name in ("channel", "team", "kind", "since") if name in ids}


def _event(raw: dict[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    event = {"type": "message", **raw, "channel": ids["channel"], "channel_type": ids.get("kind")}
    return {"type": "event_callback", "team_id": ids.get("team"), "event": event}


FETCHES = (
    Fetch(
        "reconcile",
        f"GET {_API}users.conversations?types=public_channel,private_channel,mpim,im"
        "&exclude_archived=true&limit=200",
        secret="bot_token",
        cursor="the time of the last pass",
        every_s=300,
        read=_channels,
    ),
    Fetch(
        "item",
        f"GET {_API}conversations.history",
        secret="bot_token",
        prepare=_look,
        read=_messages,
    ),
    Fetch("media", "GET {url}", secret="bot_token", hosts=("slack.com",), read=file),
)
