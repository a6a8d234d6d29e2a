"""The words of Slack's markup, and those of blocks, shared attachments and voice clips, for messages
that have no text of their own.

https://docs.slack.dev/reference/block-kit/blocks
"""

import re
from typing import Any

from services.channels.connectors import fields

_MAX_DEPTH = 6
_MARKUP = re.compile(r"<([^<>]{1,2000})>")
_SCHEMES = ("http://", "https://", "mailto:", "tel:")


def plain(text: str) -> str:
    """Slack's markup as words: links by their label, users and channels by name or id."""
    words = _MARKUP.sub(lambda found: _word(found[1]), text)
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _word(marked: str) -> str:
    target, _, label = marked.partition("|")
    if target.startswith("!date^"):
        return label or target
    if target[:1] in ("@", "#", "!"):
        named = label.lstrip("@#") or target[1:]
        return f"{target[:1].replace('!', '@')}{named}"
    if not label or label == target or target in [f"{scheme}{label}" for scheme in _SCHEMES]:
        return label or target
    return f"{label} ({target})"


def spoken_in(message: dict[str, Any]) -> str | None:
    """What Slack understood of voice clips."""
    found = [
        fields.text(each, "transcription", "preview", "content")
        for each in fields.items(message, "files")
    ]
    return "\n".join(said for said in found if said) or None


def words_of(message: dict[str, Any]) -> str | None:
    """The text of a message's blocks, else of what it shares; None where neither has any."""
    shared = [_shared(each) for each in fields.items(message, "attachments")]
    return _blocks(message) or "\n".join(each for each in shared if each) or None


def _blocks(raw: dict[str, Any]) -> str | None:
    lines = [_block(block) for block in fields.items(raw, "blocks")]
    return "\n".join(line for line in lines if line) or None


def _block(block: dict[str, Any]) -> str:
    """A section, header, picture or context as a line each; rich text as its lines."""
    if fields.text(block, "type") == "rich_text":
        return "\n".join(_rich(each) for each in fields.items(block, "elements"))
    lines = [fields.text(block, "text", "text"), fields.text(block, "title", "text")]
    lines += [fields.text(each, "text") for each in fields.items(block, "fields")]
    if fields.text(block, "type") == "context":
        lines += [_context(each) for each in fields.items(block, "elements")]
    if not any(lines):
        lines.append(fields.text(block, "alt_text"))
    return "\n".join(line for line in lines if line)


def _context(element: dict[str, Any]) -> str | None:
    return fields.text(element, "text") or fields.text(element, "alt_text")


def _rich(element: dict[str, Any], depth: int = 0) -> str:
    kind = fields.text(element, "type") or ""
    parts = list(fields.items(element, "elements")) if depth < _MAX_DEPTH else []
    if kind == "rich_text_list":
        return "\n".join(f"- {_rich(each, depth + 1)}" for each in parts)
    if parts:
        return "".join(_rich(each, depth + 1) for each in parts)
    return _leaf(element, kind)


def _leaf(element: dict[str, Any], kind: str) -> str:
    """One run of text, link, name or emoji, written as Slack writes it in a message's text."""
    said, url = fields.text(element, "text"), fields.text(element, "url")
    if kind == "link":
        return f"<{url}|{said}>" if said and said != url else f"<{url}>"
    if kind == "emoji":
        return f":{fields.text(element, 'name')}:"
    names = {"user": "@", "channel": "#", "usergroup": "!subteam^", "broadcast": "!"}
    if kind in names:
        name = fields.text(element, "range") or fields.text(element, f"{kind}_id") or "?"
        return f"<{names[kind]}{name}>"
    return said or fields.text(element, "fallback") or ""


def _shared(attachment: dict[str, Any]) -> str | None:
    told = fields.text(attachment, "fallback")
    if told and told != "[no preview available]":
        return told
    lines = [fields.text(attachment, name) for name in ("pretext", "title", "text")]
    return "\n".join(line for line in lines if line) or _blocks(attachment) or told
