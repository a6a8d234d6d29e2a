"""The messaging events that Messenger and Instagram share: one item of entry[].messaging[].

https://developers.facebook.com/docs/messenger-platform/reference/webhook-events
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.identities import identities
from services.channels.connectors.port import Normalised, Parsed
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery, Flag

_HANDOVER = (
    "pass_thread_control", "take_thread_control", "request_thread_control", "app_roles",
    "policy_enforcement", "account_linking", "game_play", "typing_on", "typing_off", "payment",
    "pre_checkout", "checkout_update", "response_feedback", "policy-enforcement",
    "message_context", "mark_seen", "messaging_in_thread_lead_form_submit", "calls",
    "inbox_labels", "marketing_message_clicks",
    "marketing_message_delivery_failed", "marketing_message_echoes",
)  # fmt: skip

_CHANGES = frozenset((
    "messages", "message_edit", "message_edits", "message_echoes", "message_reactions",
    "message_reads", "message_deliveries", "messaging_postbacks", "messaging_seen",
    "messaging_referral", "messaging_referrals", "messaging_handover", "messaging_handovers",
    "messaging_optins", "messaging_feedback", "standby",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One messaging item and who it is between. `standby`: another app holds the thread."""

    raw: dict[str, Any]
    scheme: str
    page: str
    customer: str
    at_us: int | None
    standby: bool
    ours: bool = False

    def event(self, vendor_id: str, **more: Any) -> Normalised:
        vendor = fields.known(
            mid=more.pop("mid", None),
            sender=fields.key(self.raw, "sender", "id"),
            recipient=fields.key(self.raw, "recipient", "id"),
            timestamp=fields.key(self.raw, "timestamp"),
        )
        flags: list[Flag] = [*more.pop("flags", []), *(["standby"] if self.standby else [])]
        if self.ours:
            flags.insert(0, "echo")
            more = {"author": Author("agent"), "direction": "outbound", **more}
        return Normalised(
            vendor_id=vendor_id,
            conversation_key=f"{self.page}:{self.customer}",
            occurred_at_us=self.at_us,
            author=more.pop("author", None) or Author(role="customer", id=self.customer),
            identities=identities(**{self.scheme: self.customer}),
            flags=flags,
            vendor=vendor | more.pop("vendor", {}),
            **more,
        )


def read_item(
    raw: dict[str, Any], scheme: str, page: str | None, standby: bool, parsed: Parsed
) -> None:
    """Append what one messaging item means to `parsed`."""
    sender, recipient = fields.key(raw, "sender", "id"), fields.key(raw, "recipient", "id")
    own = sender is not None and sender == page and recipient not in (None, page)
    echo = own or fields.flag(raw, "message", "is_echo")
    customer, owner = (recipient, sender) if echo else (sender, recipient)
    if customer is None:
        customer = fields.key(raw, "sender", "user_ref")
    if customer is None and _says_nothing(raw):
        parsed.note("not_an_interaction", "An item without words, and without a sender.")
        return
    if customer is None:
        whose = "recipient" if echo else "sender"
        parsed.lose(f"missing_{whose}", f"A messaging item has no {whose} id.")
        return
    at_us = instant(raw.get("timestamp"))
    item = Item(raw, scheme, owner or page or "", customer, at_us, standby, echo)
    for name, read in _READERS.items():
        if isinstance(raw.get(name), dict):
            read(item, raw[name], parsed)
            return
    _rest(raw, parsed)


def read_change(change: dict[str, Any], scheme: str, page: str | None, parsed: Parsed) -> bool:
    """Read a messaging item that is told as a change, as Meta's tests and some apps get it. False
    where the change is about something else."""
    field = fields.text(change, "field") or "?"
    if field not in _CHANGES:
        return False
    read_item(fields.obj(change, "value"), scheme, page, field == "standby", parsed)
    return True


def _says_nothing(raw: dict[str, Any]) -> bool:
    """An opt-in of a plugin on a web page, whose visitor has no id yet; the first «edit» that
    Instagram tells of a message it says nothing else about."""
    return isinstance(raw.get("optin"), dict) or _not_edited(fields.obj(raw, "message_edit"))


def _not_edited(edit: dict[str, Any]) -> bool:
    """Meta also sends an edit number 0 of what nobody has edited."""
    return fields.integer(edit, "num_edit") == 0 and not fields.text(edit, "text")


def _rest(raw: dict[str, Any], parsed: Parsed) -> None:
    handover = next((name for name in _HANDOVER if name in raw), None)
    if handover:
        parsed.note("not_an_interaction", f"{handover} is no interaction.")
    else:
        known = ("sender", "recipient", "timestamp")
        names = ", ".join(str(name)[:40] for name in list(raw)[:8] if name not in known)
        parsed.lose("unknown_event", f"A messaging item of unknown type ({names or 'empty'}).")


def instant(value: Any) -> int | None:
    """Milliseconds (a number or digits), or ISO 8601 text; None for what is no time."""
    millis = fields.integer({"at": value}, "at")
    if millis is not None:
        return millis * 1000 if 0 < millis < 10**14 else None
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _message(item: Item, message: dict[str, Any], parsed: Parsed) -> None:
    mid = fields.key(message, "mid")
    if mid is None:
        parsed.lose("missing_id", "A message has no mid.")
        return
    if fields.flag(message, "is_deleted"):
        parsed.events.append(_deleted(item, mid))
        return
    event = item.event(
        mid,
        mid=mid,
        text=fields.text(message, "text"),
        attachments=_attachments(message),
        in_reply_to=fields.key(message, "reply_to", "mid"),
        attributes=fields.known(
            quick_reply=fields.text(message, "quick_reply", "payload"),
            referral=fields.obj(message, "referral"),
            story=fields.text(message, "reply_to", "story", "url"),
        ),
        vendor=fields.known(
            app_id=fields.key(message, "app_id"),
            story_id=fields.key(message, "reply_to", "story", "id"),
        ),
    )
    _supply_text(event, message)
    parsed.events.append(event)


def _supply_text(event: Normalised, message: dict[str, Any]) -> None:
    """A readable text for what has neither text nor a file: places, products, the unknown."""
    if event.text is None:
        lines = [_described(each) for each in fields.items(message, "attachments")]
        event.text = "\n".join(line for line in lines if line) or None
        event.generated = True
    if fields.flag(message, "is_unsupported") or not (event.text or event.attachments):
        event.flags.append("unsupported")
        event.text = event.text or "(unsupported message)"


def _deleted(item: Item, mid: str) -> Normalised:
    return item.event(
        f"{mid}:deleted",
        mid=mid,
        message_key=mid,
        type=interactions.MESSAGE_DELETED,
        replaces=mid,
    )


_MEDIA = {"image": "image/*", "video": "video/*", "audio": "audio/*"}


def _attachments(message: dict[str, Any]) -> list[Attachment]:
    found: list[Attachment] = []
    for each in fields.items(message, "attachments"):
        url = fields.text(each, "payload", "url")
        kind = fields.text(each, "type") or "file"
        if url and kind not in ("location", "fallback", "template"):
            media = "image/*" if kind == "sticker" else _MEDIA.get(kind)
            name = fields.text(each, "payload", "title")
            found.append(Attachment(name=name, content_type=media, url=url))
    return found


def _described(attachment: dict[str, Any]) -> str | None:
    kind = fields.text(attachment, "type")
    place = fields.obj(attachment, "payload", "coordinates")
    title = fields.text(attachment, "title") or fields.text(attachment, "payload", "title")
    url = fields.text(attachment, "url") or fields.text(attachment, "payload", "url")
    if place:
        spot = f"{fields.number(place, 'lat')}, {fields.number(place, 'long')}"
        return f"Location: {title + ' ' if title else ''}({spot})"
    if kind == "like_heart":
        return "❤"
    if kind == "template":
        return "\n".join(dict.fromkeys(_offered(attachment, title))) or "(template)"
    if kind in ("fallback", "share", "story_mention", "ig_reel", "reel"):
        return " ".join(part for part in (title, url) if part) or f"({kind})"
    return None


def _offered(attachment: dict[str, Any], title: str | None) -> Iterator[str]:
    """What a template shows: its own words, then each product or card with its second line."""
    payload = fields.obj(attachment, "payload")
    yield from (said for said in (title, fields.text(payload, "text")) if said)
    for holder in (payload, fields.obj(payload, "product"), fields.obj(payload, "generic")):
        for each in fields.items(holder, "elements"):
            lines = (fields.text(each, "title"), fields.text(each, "subtitle"))
            if any(lines):
                yield " – ".join(line for line in lines if line)


def _postback(item: Item, postback: dict[str, Any], parsed: Parsed) -> None:
    mid = fields.key(postback, "mid")
    title, payload = fields.text(postback, "title"), fields.text(postback, "payload")
    stamp = fields.key(item.raw, "timestamp") or ""
    parsed.events.append(
        item.event(
            mid or f"postback:{item.customer}:{stamp}:{(payload or title or '')[:200]}",
            mid=mid,
            text=title or payload or "(postback)",
            attributes=fields.known(postback=payload, referral=fields.obj(postback, "referral")),
        )
    )


def _reaction(item: Item, reaction: dict[str, Any], parsed: Parsed) -> None:
    mid = fields.key(reaction, "mid")
    if mid is None:
        parsed.lose("missing_id", "A reaction has no mid.")
        return
    shown = fields.text(reaction, "emoji") or fields.text(reaction, "reaction") or ""
    removed = fields.text(reaction, "action") == "unreact"
    verb = "Removed the reaction" if removed else "Reacted"
    stamp = fields.key(item.raw, "timestamp") or ""
    parsed.events.append(
        item.event(
            f"{mid}:{'unreact' if removed else 'react'}:{item.customer}:{stamp}",
            mid=mid,
            text=f"{verb} {shown}".rstrip(),
            in_reply_to=mid,
            flags=["suppress"],
            generated=True,
            attributes=fields.known(
                reaction=fields.text(reaction, "reaction"), emoji=shown, removed=removed or None
            ),
        )
    )


def _edit(item: Item, edit: dict[str, Any], parsed: Parsed) -> None:
    mid = fields.key(edit, "mid")
    if mid is None:
        parsed.lose("missing_id", "An edit has no mid.")
        return
    if _not_edited(edit):
        parsed.note("not_an_interaction", "An edit that has changed nothing.")
        return
    number = max(fields.integer(edit, "num_edit") or 1, 1)
    parsed.events.append(
        item.event(
            f"{mid}:edit:{number}",
            mid=mid,
            message_key=mid,
            revision=min(number, 1_000_000),
            type=interactions.MESSAGE_EDITED,
            replaces=mid,
            text=fields.text(edit, "text"),
        )
    )


def _statuses(status: str) -> Callable[[Item, dict[str, Any], Parsed], None]:
    def read(item: Item, receipt: dict[str, Any], parsed: Parsed) -> None:
        watermark = fields.key(receipt, "watermark")
        single = fields.key(receipt, "mid")
        named = fields.texts(receipt, "mids") or ([single] if single else [])
        if not named and watermark is None:
            parsed.lose("missing_id", f"A {status} receipt has neither mids nor a watermark.")
            return
        for mid in named or [f"watermark:{watermark}"]:
            parsed.events.append(_receipt(item, mid, status, watermark))

    return read


def _receipt(item: Item, mid: str, status: Any, watermark: str | None) -> Normalised:
    """A receipt without mids covers everything up to its watermark (milliseconds)."""
    return item.event(
        f"{mid}:{status}:{item.customer}" if mid.startswith("watermark:") else f"{mid}:{status}",
        mid=None if mid.startswith("watermark:") else mid,
        type=interactions.DELIVERY_STATUS,
        direction="outbound",
        author=Author("system"),
        delivery_status=Delivery(message_id=mid, status=status),
        vendor=fields.known(watermark=watermark),
    )


def _referral(item: Item, referral: dict[str, Any], parsed: Parsed) -> None:
    source = fields.text(referral, "source") or "link"
    stamp = fields.key(item.raw, "timestamp") or ""
    parsed.events.append(
        item.event(
            f"referral:{item.customer}:{stamp}:{(fields.text(referral, 'ref') or '')[:200]}",
            type=interactions.CONVERSATION_STARTED,
            text=f"Came from {source}",
            attributes={"referral": referral},
        )
    )


def _feedback(item: Item, told: dict[str, Any], parsed: Parsed) -> None:
    """Answers to a feedback template: one event for each question with a number for an answer."""
    stamp = fields.key(item.raw, "timestamp") or ""
    before = len(parsed.events)
    for screen in fields.items(told, "feedback_screens"):
        for name, answer in fields.obj(screen, "questions").items():
            survey: Any = (fields.text(answer, "type") or "").lower()
            score = fields.number(answer, "payload")
            if survey not in ("csat", "nps", "ces") or score is None:
                continue
            event = item.event(
                f"feedback:{item.customer}:{stamp}:{fields.clean(str(name), 64)}",
                type=interactions.FEEDBACK,
                survey=survey,
                score=score,
                comment=fields.text(answer, "follow_up", "payload"),
            )
            parsed.events.append(event)
    if len(parsed.events) == before:
        parsed.lose("unknown_event", "A feedback without an answer that could be read.")


def _filled_in(item: Item, told: dict[str, Any], parsed: Parsed) -> None:
    """What a customer filled in where the business asked for an address or the like."""
    answers = [
        f"{fields.text(each, 'key') or '?'}: {fields.text(each, 'value') or ''}"
        for screen in fields.items(told, "screens")
        for each in fields.items(screen, "responses")
    ]
    stamp = fields.key(item.raw, "timestamp") or ""
    event = item.event(f"information:{item.customer}:{stamp}", text="\n".join(answers) or None)
    if event.text is None:
        event.text, event.generated = "(empty form)", True
        event.flags.append("unsupported")
    parsed.events.append(event)


def _optin(item: Item, optin: dict[str, Any], parsed: Parsed) -> None:
    parsed.note("not_an_interaction", "optin is no interaction.")


_READERS: dict[str, Callable[[Item, dict[str, Any], Parsed], None]] = {
    "message": _message,
    "message_edit": _edit,
    "postback": _postback,
    "reaction": _reaction,
    "read": _statuses("read"),
    "delivery": _statuses("delivered"),
    "referral": _referral,
    "optin": _optin,
    "messaging_feedback": _feedback,
    "messaging_customer_information": _filled_in,
}
