"""What the public writes on a Facebook page: comments, posts, mentions and recommendations, as the
changes of `feed`, `mention` and `ratings` tell it.

https://developers.facebook.com/docs/graph-api/webhooks/reference/page
"""

from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.identities import identities
from services.channels.connectors.port import Normalised, Parsed
from services.channels.connectors.reading import digest_of, moment
from shared.contracts import interactions
from shared.contracts.interactions import Attachment, Author

FIELDS = ("feed", "mention", "ratings")
_POSTS = frozenset({"post", "status", "photo", "video", "share", "link", "note", "album"})
_NEW = ("add", None)
_GONE = ("remove", "delete")


def read_change(entry: dict[str, Any], page: str, change: dict[str, Any], parsed: Parsed) -> None:
    """Append what one change means to `parsed`."""
    value, field = fields.obj(change, "value"), fields.text(change, "field") or "?"
    item = fields.text(value, "item") or "?"
    spoken = item == "comment" or item in _POSTS or (field == "ratings" and item == "rating")
    number = _id(value, item)
    verb = fields.text(value, "verb")
    if not spoken or verb in ("hide", "unhide", "block", "unblock", "mute", "follow", "match"):
        parsed.note(
            "not_an_interaction", f"The change {item[:32]!r} of {field[:32]!r} is no message."
        )
    elif number is None:
        parsed.lose("missing_id", f"A change {item[:32]!r} has no id.")
    else:
        event = _event(entry, page, value, item, number)
        _say(event, value, item, verb, number)
        parsed.events.append(event)


def _id(value: dict[str, Any], item: str) -> str | None:
    names = {"comment": ("comment_id",), "rating": ("open_graph_story_id", "reviewer_id")}
    wanted = names.get(item, ("post_id", "photo_id", "video_id", "share_id"))
    return next((found for name in wanted if (found := fields.key(value, name))), None)


def _event(
    entry: dict[str, Any], page: str, value: dict[str, Any], item: str, number: str
) -> Normalised:
    """A conversation is what stands below one post, or below one comment on it."""
    post, parent = fields.key(value, "post_id"), fields.key(value, "parent_id")
    person = _person(value)
    own = person.id is not None and person.id == page
    thread = parent if item == "comment" and parent not in (None, post) else number
    return Normalised(
        vendor_id=f"{item}:{number}",
        message_key=f"feed:{number}",
        conversation_key=f"{page}:feed:{thread}",
        occurred_at_us=moment(value, "created_time") or moment(entry, "time"),
        author=Author("agent", person.name, person.id) if own else person,
        direction="outbound" if own else "inbound",
        flags=["echo"] if own else [],
        in_reply_to=parent or post if item == "comment" else None,
        identities=[] if own else identities(facebook=person.id),
        attributes={"public": True},
        vendor=fields.known(
            kind=item, id=number, post_id=post, parent_id=parent, page_id=page,
            link=fields.text(value, "permalink_url") or fields.text(value, "link"),
        ),
    )  # fmt: skip


def _person(value: dict[str, Any]) -> Author:
    told = [(value, "sender_"), (value, "reviewer_"), (fields.obj(value, "from"), "")]
    who = [key for source, lead in told if (key := fields.key(source, f"{lead}id"))]
    names = [name for source, lead in told if (name := fields.text(source, f"{lead}name"))]
    return Author("customer", names[-1] if names else None, who[-1] if who else None)


def _say(
    event: Normalised, value: dict[str, Any], item: str, verb: str | None, number: str
) -> None:
    if verb in _GONE:
        event.type, event.replaces = interactions.MESSAGE_DELETED, f"feed:{number}"
        event.original_id = number
        event.vendor_id = f"{event.vendor_id}:removed"
        return
    event.text = fields.text(value, "message") or fields.text(value, "review_text")
    media = fields.text(value, "photo") or (fields.text(value, "link") if item == "photo" else None)
    video = fields.text(value, "video") or (fields.text(value, "link") if item == "video" else None)
    found = (("image/*", media), ("video/*", video))
    event.attachments = [Attachment(content_type=kind, url=url) for kind, url in found if url]
    if item == "rating":
        event.attributes |= fields.known(recommendation=fields.text(value, "recommendation_type"))
    if verb not in _NEW:
        stamp = fields.key(value, "edited_time") or fields.key(value, "created_time") or ""
        event.type, event.replaces = interactions.MESSAGE_EDITED, f"feed:{number}"
        event.original_id = number
        event.vendor_id = f"{event.vendor_id}:{verb}:{stamp}:{digest_of(event.text)}"
    if not (event.text or event.attachments):
        shared = fields.text(value, "link")
        event.text, event.generated = shared or f"({item})", True
