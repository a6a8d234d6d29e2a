"""YouTube comments: polled comment threads and comments of the Data API.

https://developers.google.com/youtube/v3/docs/commentThreads
"""

from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.email.markup import to_text
from services.channels.connectors.fetching import Row, newest, newest_first
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.posting import posted
from services.channels.connectors.reading import moment, objects_of
from services.channels.connectors.signatures import Unsigned
from services.channels.connectors.social.polled import with_edit
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author


class YouTubeSettings(Settings):
    channel_id: str | None = Field(
        default=None, description="Your channel's id (UC…): its comments are ours."
    )


SETUP = """\
YouTube pushes no comments. With `api_key` and `channel_id` they are polled by `commentThreads.list`
(one unit of quota a call, every five minutes or as `poll_every_s` says): the newest hundred threads,
and further back where more is new. An edit shows only as another `updatedAt`; a deletion does not
show at all. A poller of your own can post threads, comments or pages to the connector's inbound URL,
whose last part is a secret.

1. Create an API key for the YouTube Data API and put it into `api_key`.
2. Set `channel_id`.
"""


def parse(request: InboundRequest, settings: YouTubeSettings, _: Context) -> Parsed:
    parsed = Parsed()
    for raw in objects_of(request, parsed, "items"):
        snippet = fields.obj(raw, "snippet")
        top = fields.obj(snippet, "topLevelComment")
        if top:
            owner = settings.channel_id or _owner(raw)
            thread = fields.key(raw, "id") or fields.key(top, "id") or ""
            video = fields.key(snippet, "videoId")
            _comment(top, thread, video, owner, parsed)
            for reply in fields.items(raw, "replies", "comments"):
                _comment(reply, thread, video, owner, parsed)
        elif "textOriginal" in snippet or "textDisplay" in snippet:
            thread = fields.key(snippet, "parentId") or fields.key(raw, "id") or ""
            owner = settings.channel_id or fields.key(snippet, "channelId")
            _comment(raw, thread, fields.key(snippet, "videoId"), owner, parsed)
        else:
            parsed.lose("unknown_event", "An item that is neither a thread nor a comment.")
    return parsed


def _owner(thread: dict[str, Any]) -> str | None:
    """The channel whose videos the thread is below, as YouTube tells it."""
    named = fields.key(thread, "snippet", "channelId")
    return named or fields.key(thread, "snippet", "topLevelComment", "snippet", "channelId")


def _comment(
    raw: dict[str, Any], thread: str, video: str | None, owner: str | None, parsed: Parsed
) -> None:
    number, snippet = fields.key(raw, "id"), fields.obj(raw, "snippet")
    if number is None:
        parsed.lose("missing_id", "A comment has no id.")
        return
    who = fields.key(snippet, "authorChannelId", "value")
    ours = who is not None and who == owner
    text = fields.text(snippet, "textOriginal")
    text = text or to_text(fields.text(snippet, "textDisplay") or "").strip() or None
    parent = fields.key(snippet, "parentId")
    event = Normalised(
        vendor_id=number,
        message_key=number,
        conversation_key=thread,
        occurred_at_us=moment(snippet, "publishedAt"),
        author=Author(
            "agent" if ours else "customer", fields.text(snippet, "authorDisplayName"), who
        ),
        direction="outbound" if ours else "inbound",
        flags=["echo"] if ours else [],
        identities=[] if ours else identities(youtube=who),
        text=text or "(empty comment)",
        generated=text is None,
        in_reply_to=parent,
        attributes=fields.known(public=True, rating=fields.text(snippet, "viewerRating")),
        vendor=fields.known(
            id=number,
            thread_id=thread,
            video_id=video or fields.key(snippet, "videoId"),
            parent_id=parent,
            published_at=fields.key(snippet, "publishedAt"),
            updated_at=fields.key(snippet, "updatedAt"),
        ),
    )
    changed = fields.key(snippet, "updatedAt")
    unchanged = changed is None or changed == fields.key(snippet, "publishedAt")
    parsed.events += with_edit(event, None if unchanged else changed)


def _row(thread: dict[str, Any]) -> Row:
    """A thread as the poller sees it: as new as the last change in it."""
    top = fields.obj(thread, "snippet", "topLevelComment")
    comments = [top, *fields.items(thread, "replies", "comments")]
    names = ("publishedAt", "updatedAt")
    stamps = [fields.key(one, "snippet", name) for one in comments for name in names]
    return Row(newest(*stamps), fields.key(thread, "id") or "", thread)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")
    said = (interactions.MESSAGE,)

    def one(name: str, number: str, events: tuple[str, ...], **snippet: Any) -> Example:
        full = {
            "textOriginal": "Which lens is it?",
            "authorDisplayName": "@kim",
            "authorChannelId": {"value": "UCkim"},
            "publishedAt": "2026-03-02T09:28:00Z",
            "updatedAt": "2026-03-02T09:28:00Z",
            **snippet,
        }
        top = {"id": number, "snippet": full}
        thread = {"id": number, "snippet": {"videoId": "v1", "topLevelComment": top}}
        return Example(name, posted({"items": [thread]}, at_us), {}, events)

    return (
        one("comment", "Ugx1", said),
        one(
            "edited",
            "Ugx2",
            (interactions.MESSAGE, interactions.MESSAGE_EDITED),
            updatedAt="2026-03-02T09:29:00Z",
        ),
    )


CONNECTOR = Connector(
    kind="youtube_comments",
    channel="social",
    title="YouTube comments",
    setup=SETUP,
    signature=Unsigned(),
    parse=parse,
    examples=examples,
    settings=YouTubeSettings,
    secrets={"api_key": "API key of the Google project, for polling."},
    retry_horizon_s=3650 * DAY_S,
    fetches=(
        Fetch(
            "poll",
            "GET https://www.googleapis.com/youtube/v3/commentThreads?part=snippet,replies"
            "&allThreadsRelatedToChannelId={channel_id}&order=time&maxResults=100"
            "&textFormat=plainText",
            secret="api_key",
            auth="query:key",
            cursor="the newest publishedAt or updatedAt, of a thread or an answer",
            every_s=300,
            needs=("channel_id",),
            read=newest_first(
                "items",
                _row,
                "snippet.topLevelComment.snippet.publishedAt",
                "nextPageToken",
                "pageToken",
            ),
        ),
    ),
)
