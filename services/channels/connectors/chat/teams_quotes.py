"""Messages in Teams that answer or forward another: which it is, and what is said to it."""

import re
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.email.markup import to_text
from services.channels.connectors.port import Normalised, Parsed

_QUOTE = re.compile(r"(?i)<blockquote\b[^<>]{0,300}schema\.skype\.com/Reply[^<>]{0,300}>")
_QUOTED_ID = re.compile(r"(?i)\bitemid=[\"']?(\d{1,20})")
_QUOTE_END = "</blockquote>"


def answer(event: Normalised, activity: dict[str, Any]) -> None:
    """What answers a message that Teams repeats above it, as the HTML copy of the text marks it."""
    copies = [fields.text(each, "content") for each in fields.items(activity, "attachments")]
    for html in (fields.text(activity, "text"), *copies):
        found = _QUOTE.search(html or "")
        end = html.find(_QUOTE_END, found.end()) if html and found else -1
        if found is None or html is None or end < 0:
            continue
        number = _QUOTED_ID.search(found[0])
        event.in_reply_to = event.in_reply_to or (number[1] if number else None)
        if "schema.skype.com/Mention" not in html:
            said = html[: found.start()] + html[end + len(_QUOTE_END) :]
            event.reply_text = to_text(said).strip() or None
        return


def quoted(activity: dict[str, Any]) -> dict[str, Any]:
    """The message that a reply or a forward is about."""
    for each in fields.items(activity, "attachments"):
        content = fields.text(each, "content")
        if fields.text(each, "contentType") == "messageReference" and content:
            told = fields.decode_json(content.encode("utf-8", "replace"), Parsed())
            return told if isinstance(told, dict) else {}
    return {}
