"""Slack: messages, edits and deletions in channels and direct messages, by the Events API.

https://docs.slack.dev/apis/events-api/
"""

import json
from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.chat import slack_history
from services.channels.connectors.chat.slack_blocks import plain, spoken_in, words_of
from services.channels.connectors.chat.slack_forms import (
    INTERACTIONS,
    read_form,
    read_interaction,
)
from services.channels.connectors.chat.slack_text import text_message
from services.channels.connectors.identities import EMAIL, email, identities
from services.channels.connectors.port import (
    Answer,
    Answers,
    Connector,
    Context,
    Example,
    HandshakeExample,
    Handshaken,
    InboundRequest,
    Normalised,
    Parsed,
    Secrets,
    Settings,
)
from services.channels.connectors.posting import signed
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import BodyHmac
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author


class SlackSettings(Settings):
    bot_user_id: str | None = Field(
        default=None, description="The app's own user id (U…): its messages are echoes."
    )
    agents: tuple[str, ...] = Field(
        default=(), max_length=500, description="User ids (U…) of your agents who write in Slack."
    )


SETUP = """\
1. Create a Slack app; under «Basic Information» copy the signing secret into `signing_secret`.
2. Under «Event Subscriptions» enter the connector's inbound URL (Slack tests it at once) and
   subscribe to `message.channels`, `message.groups`, `message.im`, `reaction_added`,
   `reaction_removed`.
3. Slash commands and «Interactivity» may use the same URL: a command with words, and a button or choice
   in a message, are what the person says; everything else is answered and forgotten.
4. Set `bot_user_id`, so that the app's own messages are told from customers'.

Slack gives up after three tries in six minutes: what was missed is listed every five minutes by
`conversations.history`, once `bot_token` is there (scopes `channels:read`, `channels:history`,
`groups:read`, `groups:history`, `im:read`, `im:history`, and `files:read` for files).
"""

_SIGNATURE = BodyHmac(
    "signing_secret",
    "X-Slack-Signature",
    prefix="v0=",
    message="v0:{timestamp}:{body}",
    timestamp_header="X-Slack-Request-Timestamp",
)
_PLAIN = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
_FORM = "application/x-www-form-urlencoded"
_SLACKBOT = "USLACKBOT"  # Slack's own, without a bot_id
_SPOKEN = (None, "file_share", "thread_broadcast", "me_message", "bot_message")


def handshake(request: InboundRequest, secrets: Secrets, _: Settings) -> Handshaken | None:
    """url_verification: the challenge comes back, to Slack alone."""
    if request.method.upper() != "POST" or b"url_verification" not in request.body[:65_536]:
        return None
    verdict = _SIGNATURE.verify(request, secrets)
    if verdict == "invalid":
        return None
    try:
        payload = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    if fields.at(payload, "type") != "url_verification":
        return None
    challenge = fields.text(payload, "challenge") or ""
    return Handshaken(verdict, Answer(200, challenge[:1024], _PLAIN))


def parse(request: InboundRequest, settings: SlackSettings, _: Context) -> Parsed:
    if request.header("x-slack-retry-num"):
        return read_whole(request, settings)
    usual = text_message(request.body, _others(settings))
    if usual is None:
        return read_whole(request, settings)
    usual.reply_text = _reply_text(usual.text)
    return Parsed([usual])


def _others(settings: SlackSettings) -> tuple[str | None, ...]:
    """The users who are no customers."""
    return (_SLACKBOT, settings.bot_user_id, *settings.agents)


def read_whole(request: InboundRequest, settings: SlackSettings) -> Parsed:
    """`parse` of any payload, also of those that `text_message` reads faster."""
    parsed = Parsed()
    if request.media_type == _FORM:
        read_form(request, _others(settings), parsed)
        return parsed
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    kind = fields.text(payload, "type")
    if kind in INTERACTIONS:
        read_interaction(payload, _others(settings), parsed)
        return parsed
    if kind != "event_callback":
        known = kind in ("url_verification", "app_rate_limited")
        tell = parsed.note if known else parsed.lose
        tell("not_an_interaction" if known else "unknown_event", f"The type is {str(kind)[:64]!r}.")
        return parsed
    event = fields.obj(payload, "event")
    name = fields.text(event, "type") or "?"
    if name in ("message", "app_mention"):
        _message(payload, event, settings, request, parsed)
    elif name in ("reaction_added", "reaction_removed"):
        _reaction(payload, event, settings, parsed)
    else:
        parsed.note("not_an_interaction", f"The event {name[:64]!r} is no interaction.")
    return parsed


def _event(payload: dict[str, Any], raw: dict[str, Any], channel: str, ts: str) -> Normalised:
    """An event in its thread; a direct message is one thread."""
    team = fields.key(payload, "team_id") or fields.key(raw, "team") or ""
    direct = fields.text(raw, "channel_type") == "im" or channel.startswith("D")
    thread = fields.key(raw, "thread_ts") or (None if direct else ts)
    known = given(payload, "event_id", "team_id", "api_app_id", "event_time")
    return Normalised(
        vendor_id=fields.key(payload, "event_id") or digest_of(team, channel, ts, raw.get("type")),
        conversation_key=":".join(part for part in (team, channel, thread) if part),
        occurred_at_us=moment(raw, "event_ts")
        or moment(raw, "ts")
        or moment(payload, "event_time"),
        vendor=known | {"channel": channel} | given(raw, "ts", "thread_ts", "subtype", "user"),
    )


def _message(
    payload: dict[str, Any],
    raw: dict[str, Any],
    settings: SlackSettings,
    request: InboundRequest,
    parsed: Parsed,
) -> None:
    subtype = fields.text(raw, "subtype")
    inner = fields.obj(raw, "message") if subtype == "message_changed" else raw
    if fields.text(inner, "subtype") == "tombstone":
        # The first message of a thread that goes on: Slack shows a stone in its place.
        raw = {**raw, "deleted_ts": fields.at(inner, "ts")}
        subtype = "message_deleted"
    if subtype == "message_deleted":
        inner = fields.obj(raw, "previous_message")
    channel = fields.key(raw, "channel")
    ts = fields.key(raw, "deleted_ts") or fields.key(inner, "ts") or fields.key(raw, "ts")
    if channel is None or ts is None:
        parsed.lose("missing_id", "A message has no channel or no ts.")
        return
    placed = {**raw, **{k: inner[k] for k in ("thread_ts", "user", "team") if k in inner}}
    event = _event(payload, placed, channel, ts)
    event.message_key = event.vendor_id = f"{channel}:{ts}"
    if subtype in ("message_changed", "message_deleted"):
        event.vendor_id = fields.key(payload, "event_id") or digest_of(channel, ts, raw)
        event.original_id = ts
    _attribute(event, inner or raw, settings)
    if request.header("x-slack-retry-num"):
        event.flags = [*event.flags, "redelivered"]
    if subtype == "message_deleted":
        event.type, event.replaces = interactions.MESSAGE_DELETED, event.message_key
        parsed.events.append(event)
        return
    if subtype == "message_changed":
        if _only_unfurled(raw):
            parsed.note("not_an_interaction", "Slack added a preview; the text is unchanged.")
            return
        event.type, event.replaces = interactions.MESSAGE_EDITED, event.message_key
    elif subtype not in _SPOKEN:
        parsed.note("not_an_interaction", f"The message {str(subtype)[:64]!r} is no interaction.")
        return
    _say(event, inner)
    parsed.events.append(event)


def _only_unfurled(raw: dict[str, Any]) -> bool:
    """A change that its author did not make: Slack adds previews of links as one."""
    new, old = fields.obj(raw, "message"), fields.obj(raw, "previous_message")
    same = bool(old) and new.get("text") == old.get("text") and new.get("files") == old.get("files")
    return same and new.get("edited") == old.get("edited")


def _attribute(event: Normalised, raw: dict[str, Any], settings: SlackSettings) -> None:
    """Whose message it is. Bots' are never customers': answering them makes a loop."""
    user, bot = fields.key(raw, "user"), fields.key(raw, "bot_id")
    name = fields.text(raw, "username") or fields.text(raw, "user_profile", "display_name")
    name = name or fields.text(raw, "user_profile", "real_name")
    name = name or fields.text(raw, "bot_profile", "name")
    if bot or (user and user in (settings.bot_user_id, _SLACKBOT)):
        event.author, event.direction = Author("bot", name, user or bot), "outbound"
        event.flags = ["echo"]
        event.vendor |= fields.known(bot_id=bot)
    elif user in settings.agents:
        event.author, event.direction = Author("agent", name, user), "outbound"
    else:
        event.author = Author("customer", name, user)
        address = email(fields.text(raw, "user_profile", "email"))
        event.identities = identities(slack=user, **{EMAIL: address})
    event.in_reply_to = _parent(raw)


def _parent(raw: dict[str, Any]) -> str | None:
    thread, own = fields.key(raw, "thread_ts"), fields.key(raw, "ts")
    return thread if thread and thread != own else None


def _say(event: Normalised, raw: dict[str, Any]) -> None:
    event.text = fields.text(raw, "text") or words_of(raw) or spoken_in(raw)
    event.attachments = [_file(each) for each in fields.items(raw, "files")]
    if not event.text and not event.attachments:
        event.text, event.generated = "(unsupported message)", True
        event.flags = [*event.flags, "unsupported"]
    event.reply_text = _reply_text(event.text)


def _reply_text(said: str | None) -> str | None:
    """The words where the text has markup."""
    if not said or ("<" not in said and "&" not in said):
        return None
    words = plain(said)
    return words if words != said else None


def _file(raw: dict[str, Any]) -> Attachment:
    url = fields.text(raw, "url_private_download") or fields.text(raw, "url_private")
    return Attachment(
        name=fields.text(raw, "name") or fields.text(raw, "title"),
        content_type=fields.text(raw, "mimetype"),
        size=fields.integer(raw, "size"),
        url=url,
        vendor_id=fields.key(raw, "id"),
    )


def _reaction(
    payload: dict[str, Any], raw: dict[str, Any], settings: SlackSettings, parsed: Parsed
) -> None:
    channel, ts = fields.key(raw, "item", "channel"), fields.key(raw, "item", "ts")
    emoji = fields.text(raw, "reaction")
    if channel is None or ts is None or emoji is None:
        parsed.note("not_an_interaction", "A reaction to something that is no message.")
        return
    event = _event(payload, raw, channel, ts)
    _attribute(event, raw, settings)
    removed = fields.text(raw, "type") == "reaction_removed"
    event.text = f"{'Removed the reaction' if removed else 'Reacted'} :{emoji}:"
    event.generated, event.in_reply_to = True, ts
    event.vendor["ts"] = fields.key(raw, "event_ts") or ts
    event.flags = [*event.flags, "suppress"]
    event.attributes = {"reaction": fields.known(name=emoji, removed=removed or None)}
    parsed.events.append(event)


_SECRETS = {"signing_secret": ("example-signing-secret",)}
_AT = "2026-03-02T09:20:00Z"


def handshakes() -> tuple[HandshakeExample, ...]:
    payload = {"token": "old", "type": "url_verification", "challenge": "c-42"}
    request = signed(_SIGNATURE, "example-signing-secret", payload, parse_instant(_AT))
    answer = Answer(200, "c-42", _PLAIN)
    return (HandshakeExample("url_verification", request, _SECRETS, answer),)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant(_AT)
    ts = f"{at_us // 1_000_000}.000100"

    def one(name: str, event: str, revises: str | None = None, **raw: Any) -> Example:
        inner = {"type": "message", "channel": "C1", "channel_type": "channel", "ts": ts, **raw}
        payload = {
            "type": "event_callback",
            "team_id": "T1",
            "api_app_id": "A1",
            "event_id": f"Ev{name.upper()}",
            "event_time": at_us // 1_000_000,
            "event": {"event_ts": ts, **inner},
        }
        request = signed(_SIGNATURE, "example-signing-secret", payload, at_us + 900_000)
        return Example(name, request, _SECRETS, (event,), revises)

    said = {"user": "U1", "text": "The printer is on fire", "ts": ts}
    edited = {**said, "text": "The printer is off", "edited": {"user": "U1", "ts": ts}}
    picture = {"id": "F1", "name": "fire.png", "mimetype": "image/png", "size": 7}
    return (
        one("text", interactions.MESSAGE, **said),
        one(
            "edit",
            interactions.MESSAGE_EDITED,
            "text",
            subtype="message_changed",
            message=edited,
            previous_message=said,
        ),
        one(
            "delete",
            interactions.MESSAGE_DELETED,
            "text",
            subtype="message_deleted",
            deleted_ts=ts,
            previous_message=said,
        ),
        one(
            "file",
            interactions.MESSAGE,
            subtype="file_share",
            user="U1",
            files=[picture],
            ts=f"{ts[:-1]}1",
        ),
        one(
            "bot",
            interactions.MESSAGE,
            bot_id="B1",
            text="We are on our way",
            thread_ts=ts,
            ts=f"{ts[:-1]}2",
        ),
        one(
            "reaction",
            interactions.MESSAGE,
            type="reaction_added",
            user="U1",
            reaction="fire",
            item={"type": "message", "channel": "C1", "ts": ts},
        ),
    )


CONNECTOR = Connector(
    kind="slack",
    channel="chat",
    title="Slack",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=SlackSettings,
    secrets={
        "signing_secret": "Signing secret of the Slack app: signs each request.",
        "bot_token": "Bot token (xoxb-…), for files and for what was missed.",
    },
    handshake=handshake,
    handshakes=handshakes,
    answers=Answers(ok=Answer(200), unusable=Answer(200)),
    order_by="ts",
    fetches=slack_history.FETCHES,
)
