"""Attachments of messages as readers get them: what is known of each, and its content."""

from typing import Any
from urllib.parse import quote

from fastapi import Response

from services.channels.context import Channels
from services.channels.links import is_link
from shared.contracts.problems import Refused, not_found

# What a browser may be told it is; all else is a stream of bytes. A page or script from a customer
# must not run under this origin.
_SHOWN = frozenset(
    {
        "application/pdf",
        "audio/aac",
        "audio/mpeg",
        "audio/mp4",
        "audio/ogg",
        "audio/wav",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)


def attachments_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A message's attachments, with the hash and size of those that were fetched meanwhile, and as
    `fetch_error` why one could not be."""
    fetched = {one["index"]: one for one in row.get("media") or ()}
    listed = enumerate(row["attachments"] or ())
    return [_merged(_linked(one), fetched.get(index)) for index, one in listed]


def _linked(one: dict[str, Any]) -> dict[str, Any]:
    """Without an address that is none on the web: what was kept before such were refused."""
    url = one.get("url")
    return one if url is None or is_link(url) else {**one, "url": None}


def _merged(one: dict[str, Any], fetched: dict[str, Any] | None) -> dict[str, Any]:
    if fetched is None:
        return one
    if fetched["sha256"] is None:
        return {**one, "fetch_error": fetched["error"]}
    vague = (one.get("content_type") or "*").endswith("*")
    kind = fetched["content_type"] if vague else one["content_type"]
    found = {"sha256": fetched["sha256"], "size": fetched["size"], "content_type": kind}
    return {**one, **found}


async def file_reply(
    channels: Channels, row: dict[str, Any], index: int, known: str | None
) -> Response:
    """The content of one attachment. Raises Refused (not-found, gone, unavailable)."""
    listed = attachments_of(row)
    if index >= len(listed):
        raise not_found("attachment", str(index))
    one = listed[index]
    name = one.get("sha256")
    if name is None:
        why = one.get("fetch_error") or "It has not been fetched from the vendor."
        raise Refused("not-found", f"The content of the attachment is not here. {why}")
    headers = _headers(one, name)
    if known is not None and headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    content = await channels.blobs.get(name)
    if content is None:
        raise Refused("gone", "The content of the attachment is no longer kept.")
    return Response(content, headers=headers, media_type=_type(one))


def _headers(one: dict[str, Any], sha256: str) -> dict[str, str]:
    title = quote((one.get("name") or f"attachment-{sha256[:8]}")[:200], safe="")
    return {
        "ETag": f'"{sha256}"',
        "Content-Disposition": f"attachment; filename*=UTF-8''{title}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=86400, immutable",
    }


def _type(one: dict[str, Any]) -> str:
    kind = (one.get("content_type") or "").partition(";")[0].strip().lower()
    return kind if kind in _SHOWN else "application/octet-stream"
