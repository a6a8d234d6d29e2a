"""Google reviews of a business: polled reviews, and notices by Cloud Pub/Sub.

https://developers.google.com/my-business/reference/rest/v4/accounts.locations.reviews
"""

import base64
import binascii
from typing import Any

import msgspec
from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.fetching import (
    GOOGLE,
    GOOGLE_SECRETS,
    Row,
    gone,
    newest,
    newest_first,
)
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
    as_posted,
)
from services.channels.connectors.posting import encoded, posted
from services.channels.connectors.reading import digest_of, moment, objects_of
from services.channels.connectors.signatures import Unsigned
from services.channels.connectors.social.polled import with_edit
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author


class GoogleReviewsSettings(Settings):
    location: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^accounts/[^/]+/locations/[^/]+$",
        description="The place whose reviews are polled: accounts/…/locations/….",
    )


SETUP = """\
1. Set `location`, and the secrets `client_id`, `client_secret` and `refresh_token` of an OAuth
   client that may manage the business profile. Reviews are then polled by
   `accounts.locations.reviews.list` every quarter of an hour, or as `poll_every_s` says. A poller of
   your own can post each review or page to the connector's inbound URL, whose last part is a secret.
2. Google can also announce new and updated reviews: let the Pub/Sub topic of the Business Profile
   notifications push to the same URL. A notice only names the review, which is then fetched.

Each review is a conversation; the owner's answer belongs to it.
"""

_STARS = {"ONE": 1, "TWO": 2, "THREE": 3, "FOUR": 4, "FIVE": 5}


def parse(request: InboundRequest, _: GoogleReviewsSettings, __: Context) -> Parsed:
    parsed = Parsed()
    for raw in objects_of(request, parsed, "reviews", "message"):
        if "data" in raw and "reviewId" not in raw:
            _notice(raw, parsed)
        elif fields.key(raw, "reviewId") or fields.key(raw, "name"):
            _review(raw, parsed)
        else:
            parsed.lose("unknown_event", "An object that is neither a review nor a notice.")
    return parsed


def _notice(raw: dict[str, Any], parsed: Parsed) -> None:
    try:
        content = base64.b64decode(fields.text(raw, "data") or "", validate=True)
    except (binascii.Error, ValueError):
        parsed.lose("bad_notice", "A notice's data is not base64.")
        return
    notice = fields.decode_json(content, parsed)
    named = ("reviewName", "review", "resourceName")
    review = next((text for name in named if (text := fields.text(notice, name))), None)
    if review is not None and "/reviews/" not in review:
        review = None
    kind = fields.text(notice, "notificationType") or fields.text(notice, "type") or "?"
    if review is None:
        parsed.note("not_an_interaction", f"The notice {kind[:64]!r} names no review.")
        return
    key = fields.key(raw, "messageId") or fields.key(raw, "message_id") or digest_of(content)
    parsed.want("message", f"{review}:{key}"[:512], review=review)


def _review(raw: dict[str, Any], parsed: Parsed) -> None:
    name = fields.key(raw, "name") or fields.key(raw, "reviewId") or ""
    number = fields.key(raw, "reviewId") or name.rpartition("/")[2]
    person = fields.obj(raw, "reviewer")
    stars = _STARS.get(fields.text(raw, "starRating") or "")
    said = fields.text(raw, "comment")
    event = Normalised(
        vendor_id=name,
        message_key=name,
        conversation_key=name,
        occurred_at_us=moment(raw, "createTime"),
        author=Author("customer", fields.text(person, "displayName")),
        identities=identities(google_review=name),
        reply_text=_as_written(said),
        text=said or (f"Rated {stars} of 5" if stars else "(empty review)"),
        generated=said is None,
        attributes=fields.known(public=True, rating=stars),
        vendor=fields.known(
            id=number,
            name=name,
            star_rating=fields.text(raw, "starRating"),
            created=fields.key(raw, "createTime"),
            updated=fields.key(raw, "updateTime"),
        ),
    )
    changed = fields.key(raw, "updateTime")
    unchanged = changed is None or changed == fields.key(raw, "createTime")
    parsed.events += with_edit(event, None if unchanged else changed)
    reply = fields.obj(raw, "reviewReply")
    if fields.text(reply, "comment"):
        parsed.events.append(_answer(event, reply))


_TRANSLATED = "(Translated by Google)"
_ORIGINAL = "(Original)"


def _as_written(said: str | None) -> str | None:
    """The reviewer's own words, where Google adds its translation before or behind them."""
    if said is None or _TRANSLATED not in said:
        return None
    before, _, behind = said.partition(_TRANSLATED)
    original = behind.partition(_ORIGINAL)[2] if _ORIGINAL in behind else before
    return original.strip() or None


def _answer(review: Normalised, reply: dict[str, Any]) -> Normalised:
    """The owner's answer; another text is another version of it."""
    stamp = fields.key(reply, "updateTime") or digest_of(reply.get("comment"))
    return msgspec.structs.replace(
        review,
        vendor_id=f"{review.vendor_id}:reply:{stamp}",
        message_key=f"{review.vendor_id}:reply",
        reply_text=_as_written(fields.text(reply, "comment")),
        occurred_at_us=moment(reply, "updateTime"),
        author=Author("agent"),
        direction="outbound",
        flags=["echo"],
        identities=[],
        text=fields.text(reply, "comment"),
        generated=False,
        in_reply_to=review.vendor_id,
        attributes={"public": True},
    )


def _row(review: dict[str, Any]) -> Row:
    stamp = newest(
        fields.key(review, "updateTime"), fields.key(review, "reviewReply", "updateTime")
    )
    return Row(stamp, fields.key(review, "name") or fields.key(review, "reviewId") or "", review)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")
    review = {
        "name": "accounts/1/locations/2/reviews/r1",
        "reviewId": "r1",
        "reviewer": {"displayName": "Kim"},
        "starRating": "TWO",
        "comment": "Cold soup",
        "createTime": "2026-03-02T09:20:00Z",
        "updateTime": "2026-03-02T09:20:00Z",
    }
    edited = {
        **review,
        "name": "accounts/1/locations/2/reviews/r2",
        "reviewId": "r2",
        "updateTime": "2026-03-02T09:25:00Z",
        "reviewReply": {"comment": "Sorry!", "updateTime": "2026-03-02T09:28:00Z"},
    }
    notice = {"type": "NEW_REVIEW", "review": "accounts/1/locations/2/reviews/r3"}
    pushed = {
        "message": {"messageId": "p1", "data": base64.b64encode(encoded(notice)).decode()},
        "subscription": "projects/p/subscriptions/reviews",
    }
    message, edit = interactions.MESSAGE, interactions.MESSAGE_EDITED
    return (
        Example("review", posted({"reviews": [review]}, at_us), {}, (message,)),
        Example("edited", posted(edited, at_us), {}, (message, edit, message)),
        Example("notice", posted(pushed, at_us), {}, ()),
    )


CONNECTOR = Connector(
    kind="google_reviews",
    channel="social",
    title="Google reviews",
    setup=SETUP,
    signature=Unsigned(),
    parse=parse,
    examples=examples,
    settings=GoogleReviewsSettings,
    secrets={
        "access_token": "OAuth token of the business profile, where you renew it yourself.",
        **GOOGLE_SECRETS,
    },
    retry_horizon_s=3650 * DAY_S,
    fetches=(
        Fetch(
            "poll",
            "GET https://mybusiness.googleapis.com/v4/{location}/reviews"
            "?orderBy=updateTime%20desc&pageSize=50",
            secret="access_token",
            cursor="the newest updateTime",
            every_s=900,
            needs=("location",),
            grant=GOOGLE,
            read=newest_first("reviews", _row, "updateTime", "nextPageToken", "pageToken"),
        ),
        Fetch(
            "message",
            "GET https://mybusiness.googleapis.com/v4/{review}",
            secret="access_token",
            grant=GOOGLE,
            expected=(404,),
            read=gone(as_posted),
        ),
    ),
)
