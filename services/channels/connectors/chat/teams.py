"""Microsoft Teams and other Bot Framework channels: activities posted to a bot.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
https://github.com/microsoft/Agents/blob/main/specs/activity/protocol-activity.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.bearer import bearer_of, decode, in_time, public_keys
from services.channels.connectors.chat import teams_cards, teams_quotes
from services.channels.connectors.chat.teams_examples import ISSUER, examples
from services.channels.connectors.email.markup import safe, to_text
from services.channels.connectors.email.pictures import data_of
from services.channels.connectors.fetching import file
from services.channels.connectors.identities import EMAIL, email, identities
from services.channels.connectors.port import (
    Answer,
    Answers,
    Blob,
    Connector,
    Context,
    Fetch,
    Grant,
    InboundRequest,
    Normalised,
    Parsed,
    Secrets,
    Settings,
    Verdict,
)
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import any_same
from shared.contracts import interactions
from shared.contracts.interactions import Attachment, Author, Delivery

SKEW_S = 300

SETUP = """\
1. Register an Azure Bot, add the Teams channel and enter the connector's inbound URL as the
   messaging endpoint.
2. Put the bot's application id into `app_id`.
3. Put the JWK set found at the `jwks_uri` of
   `https://login.botframework.com/v1/.well-known/openidconfiguration` into `public_keys`, whole, as
   JSON. A connector does no I/O: when Microsoft rotates its keys (about monthly, announced five
   days ahead), put the new set beside the old one.
"""


@dataclass(frozen=True, slots=True)
class BotFrameworkToken:
    """Authorization: Bearer JWT, RS256, for our app id, whose `serviceurl` is the activity's.

    The body is parsed only once the token is known to be Microsoft's.
    """

    secret_names: tuple[str, ...] = ("app_id", "public_keys")

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        apps = secrets.get("app_id", ())
        keys = public_keys(secrets.get("public_keys", ()))
        if not apps or not secrets.get("public_keys"):
            return "none"
        token = bearer_of(request) or ""
        for attributes, key in keys:
            claims = decode(token, key, ["RS256"])
            if claims is not None:
                good = self._ours(claims, apps, request) and _vouches(attributes, claims, request)
                return "valid" if good else "invalid"
        return "invalid"

    def _ours(self, claims: dict[str, Any], apps: tuple[str, ...], request: InboundRequest) -> bool:
        audience = fields.text(claims, "aud") or ""
        return (
            claims.get("iss") == ISSUER
            and any_same(apps, audience)
            and in_time(claims, request.received_at_us, SKEW_S)
        )


def _vouches(key: Any, claims: dict[str, Any], request: InboundRequest) -> bool:
    """The activity is of the service that the token names, and of a channel that the key endorses."""
    activity = fields.decode_json(request.body, Parsed())
    claimed = fields.text(claims, "serviceurl") or fields.text(claims, "serviceUrl")
    if claimed is None or claimed != fields.text(activity, "serviceUrl"):
        return False
    endorsed = fields.texts(key, "endorsements")
    return not endorsed or fields.text(activity, "channelId") in endorsed


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    activity = payload_of(request, parsed)
    if not activity:
        return parsed
    kind = fields.text(activity, "type") or "?"
    if fields.key(activity, "conversation", "id") is None:
        parsed.lose("missing_conversation", "An activity has no conversation.")
        return parsed
    read = _READERS.get(kind)
    if read is None:
        parsed.note("not_an_interaction", f"The activity {kind[:64]!r} is no interaction.")
    else:
        read(activity, parsed)
    return parsed


def _event(activity: dict[str, Any], **more: Any) -> Normalised:
    """An event in its conversation; ids of a channel's threads end in `;messageid=`."""
    thread = fields.key(activity, "conversation", "id") or ""
    sender = fields.obj(activity, "from")
    bot = fields.text(sender, "role") == "bot" or (fields.key(sender, "id") or "").startswith("28:")
    vendor = given(activity, "id", "type", "channelId", "serviceUrl", "timestamp", "replyToId")
    vendor |= fields.known(
        conversation_id=thread,
        conversation_type=fields.key(activity, "conversation", "conversationType"),
        tenant_id=fields.key(activity, "conversation", "tenantId")
        or fields.key(activity, "channelData", "tenant", "id"),
    )
    stamp = fields.key(activity, "timestamp") or fields.key(activity, "localTimestamp")
    own = fields.key(activity, "id") or digest_of(stamp, activity.get("text"), sender.get("id"))
    return Normalised(
        vendor_id=f"{thread}:{own}:{more.pop('part', '')}".rstrip(":"),
        message_key=f"{thread}:{own}",
        conversation_key=thread,
        occurred_at_us=moment(activity, "timestamp") or moment(activity, "localTimestamp"),
        author=Author(
            "bot" if bot else "customer", fields.text(sender, "name"), fields.key(sender, "id")
        ),
        direction="outbound" if bot else "inbound",
        flags=["echo"] if bot else [],
        identities=[] if bot else _identities(sender),
        vendor=vendor,
        **more,
    )


def _identities(sender: dict[str, Any]) -> list[Any]:
    address = fields.text(sender, "email") or fields.text(sender, "userPrincipalName")
    return identities(
        teams=fields.key(sender, "id"),
        aad_object_id=fields.key(sender, "aadObjectId"),
        **{EMAIL: email(address)},
    )


def _message(activity: dict[str, Any], parsed: Parsed) -> None:
    event = _event(activity, in_reply_to=fields.key(activity, "replyToId"))
    _say(event, activity, parsed)
    parsed.events.append(event)


def _say(event: Normalised, activity: dict[str, Any], parsed: Parsed) -> None:
    text = without_mentions(activity)
    event.attachments = [
        file for each in fields.items(activity, "attachments") if (file := _file(each, parsed))
    ]
    if text and fields.text(activity, "textFormat") in ("xml", "html"):
        event.html, text = safe(text), to_text(text).strip() or None
    quoted = teams_quotes.quoted(activity)
    event.in_reply_to = event.in_reply_to or fields.key(quoted, "messageId")
    teams_quotes.answer(event, activity)
    event.text = text or _shown(activity) or _chosen(activity) or fields.text(activity, "summary")
    event.text = event.text or fields.text(quoted, "messagePreview")
    event.attributes = fields.known(mentions=[name for name, _ in mentions(activity)])
    if not event.text and not event.attachments:
        names = [fields.text(each, "contentType") for each in fields.items(activity, "attachments")]
        shown = ", ".join(name for name in names if name)[:64] or "empty"
        event.text, event.generated = f"(unsupported message: {shown})", True
        event.flags = [*event.flags, "unsupported"]


def mentions(activity: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, marked-up text) of everybody mentioned, from the activity's entities."""
    found: list[tuple[str, str]] = []
    for entity in fields.items(activity, "entities"):
        if fields.text(entity, "type") == "mention":
            marked = fields.text(entity, "text") or ""
            found.append((fields.text(entity, "mentioned", "name") or marked, marked))
    return found


def without_mentions(activity: dict[str, Any]) -> str | None:
    """The text with mentions of the bot taken out and those of others as their names."""
    said = fields.text(activity, "text")
    if said is None:
        return None
    bot = fields.key(activity, "recipient", "id")
    for entity in fields.items(activity, "entities"):
        marked = fields.text(entity, "text")
        if fields.text(entity, "type") != "mention" or not marked:
            continue
        name = fields.text(entity, "mentioned", "name") or ""
        ours = fields.key(entity, "mentioned", "id") == bot
        said = said.replace(marked, "" if ours else name)
    return said.strip() or None


def _shown(activity: dict[str, Any]) -> str | None:
    """The words of what is attached, where the activity has none of its own: the HTML copy of the
    text, or a card's."""
    for each in fields.items(activity, "attachments"):
        if (fields.text(each, "contentType") or "").startswith("text/html"):
            words = to_text(fields.text(each, "content") or "").strip()
        else:
            words = teams_cards.words_of(fields.obj(each, "content"))
        if words:
            return words
    return None


def _chosen(activity: dict[str, Any]) -> str | None:
    """What was chosen on a card: the words of its value."""
    value = activity.get("value")
    if isinstance(value, str):
        return fields.clean(value) or None
    pairs = fields.obj(activity, "value").items()
    shown = [f"{str(k)[:64]}: {v}" for k, v in pairs if isinstance(v, str | int | float)]
    return fields.clean("\n".join(shown[:20])) or None


def _file(raw: dict[str, Any], parsed: Parsed) -> Attachment | None:
    """A file or picture; cards and the HTML copy of the text are none."""
    kind = fields.text(raw, "contentType") or ""
    content = fields.obj(raw, "content")
    if (told := _embedded(raw)) is not None:
        media, data = told
        blob = Blob(sha256(data).hexdigest(), data)
        parsed.blobs.append(blob)
        name = fields.text(raw, "name")
        return Attachment(name=name, content_type=media, size=len(data), sha256=blob.sha256)
    url = fields.text(content, "downloadUrl") or fields.text(raw, "contentUrl")
    if url is None or kind.startswith("text/html"):
        return None
    media = None if kind.startswith("application/vnd.microsoft") or kind == "image/*" else kind
    return Attachment(
        name=fields.text(raw, "name"),
        content_type=media or None,
        url=url,
        vendor_id=fields.key(content, "uniqueId"),
    )


def _embedded(raw: dict[str, Any]) -> tuple[str, bytes] | None:
    """A file that stands in its address, as channels other than Teams send it."""
    address = fields.at(raw, "contentUrl")
    return data_of(address) if isinstance(address, str) else None


def _pressed(activity: dict[str, Any], parsed: Parsed) -> None:
    """A button of an Adaptive Card that asks the bot itself (Action.Execute). Teams shows an error
    where no answer of this form comes back."""
    name, action = fields.text(activity, "name") or "?", fields.obj(activity, "value", "action")
    if name != "adaptiveCard/action" or not action:
        parsed.note("not_an_interaction", f"The call {name[:64]!r} is no interaction.")
        return
    event = _event(activity, in_reply_to=fields.key(activity, "replyToId"))
    chosen = _chosen({"value": action.get("data")})
    event.text = fields.text(action, "title") or chosen or fields.text(action, "verb")
    event.attributes = fields.known(button=fields.text(action, "verb"))
    if event.text is None:
        event.text, event.generated = "(button)", True
    parsed.events.append(event)
    parsed.answer = teams_cards.RECEIVED


def _update(activity: dict[str, Any], parsed: Parsed) -> None:
    stamp = fields.key(activity, "timestamp") or digest_of(activity.get("text"))
    event = _event(activity, type=interactions.MESSAGE_EDITED, part=f"update:{stamp}")
    event.replaces, event.original_id = event.message_key, fields.key(activity, "id")
    if fields.text(activity, "channelData", "eventType") == "undeleteMessage":
        event.attributes["undeleted"] = True
    _say(event, activity, parsed)
    parsed.events.append(event)


def _delete(activity: dict[str, Any], parsed: Parsed) -> None:
    stamp = fields.key(activity, "timestamp") or ""
    event = _event(activity, type=interactions.MESSAGE_DELETED, part=f"delete:{stamp}")
    event.replaces, event.original_id = event.message_key, fields.key(activity, "id")
    parsed.events.append(event)


def _reaction(activity: dict[str, Any], parsed: Parsed) -> None:
    for name, verb in (("reactionsAdded", "Reacted"), ("reactionsRemoved", "Removed the reaction")):
        for index, each in enumerate(fields.items(activity, name)):
            shown = fields.text(each, "type") or "?"
            event = _event(activity, part=f"{name}:{index}:{activity.get('timestamp')}")
            event.message_key = None
            event.text, event.generated = f"{verb} {shown[:64]}", True
            event.flags = [*event.flags, "suppress"]
            event.in_reply_to = fields.key(activity, "replyToId") or fields.key(activity, "id")
            event.attributes = {
                "reaction": fields.known(name=shown, removed=verb != "Reacted" or None)
            }
            parsed.events.append(event)


def _told(activity: dict[str, Any], parsed: Parsed) -> None:
    """An event: that somebody has read up to a message of ours; nothing else of them is for us."""
    name, read = fields.text(activity, "name") or "?", fields.obj(activity, "value")
    last = fields.key(read, "lastReadMessageId")
    if name != "application/vnd.microsoft.readReceipt" or last is None:
        parsed.note("not_an_interaction", f"The event {name[:64]!r} is no interaction.")
        return
    event = _event(activity, type=interactions.DELIVERY_STATUS, part=f"read:{last}")
    event.message_key, event.direction, event.author = None, "outbound", Author("system")
    event.delivery_status = Delivery(message_id=last, status="read")
    parsed.events.append(event)


def _conversation(activity: dict[str, Any], parsed: Parsed) -> None:
    """The bot was added to, or removed from, a conversation."""
    bot = fields.key(activity, "recipient", "id")
    added = [fields.key(each, "id") for each in fields.items(activity, "membersAdded")]
    removed = [fields.key(each, "id") for each in fields.items(activity, "membersRemoved")]
    action = fields.text(activity, "action")
    if bot in added or action == "add":
        parsed.events.append(_event(activity, type=interactions.CONVERSATION_STARTED))
    elif bot in removed or action == "remove" or activity.get("type") == "endOfConversation":
        event = _event(activity, type=interactions.CONVERSATION_ENDED, reason="ended")
        parsed.events.append(event)
    else:
        parsed.note("not_an_interaction", "Others joined or left; that is no interaction.")


_READERS: dict[str, Callable[[dict[str, Any], Parsed], None]] = {
    "message": _message,
    "messageUpdate": _update,
    "messageDelete": _delete,
    "messageReaction": _reaction,
    "event": _told,
    "invoke": _pressed,
    "conversationUpdate": _conversation,
    "contactRelationUpdate": _conversation,
    "installationUpdate": _conversation,
    "endOfConversation": _conversation,
}


CONNECTOR = Connector(
    kind="teams",
    channel="chat",
    title="Microsoft Teams (Bot Framework)",
    setup=SETUP,
    signature=BotFrameworkToken(),
    parse=parse,
    examples=examples,
    secrets={
        "app_id": "The bot's application id: tokens must be for it.",
        "public_keys": "Microsoft's signing keys: a JWK set as JSON, or a PEM.",
        "bot_token": "Access token of the bot, for files, where you renew it yourself.",
        "app_password": "The bot's client secret, for files. Not needed to receive messages.",
    },
    answers=Answers(bad_signature=Answer(403)),
    covers_body=False,
    order_by="timestamp",
    fetches=(
        Fetch(
            "media",
            "GET {url}",
            secret="bot_token",
            hosts=("smba.trafficmanager.net", "botframework.com"),
            grant=Grant(
                "https://login.microsoftonline.com/botframework.com/oauth2/v2.0/token",
                {
                    "grant_type": "client_credentials",
                    "client_id": "{app_id}",
                    "client_secret": "{app_password}",
                    "scope": "https://api.botframework.com/.default",
                },
            ),
            read=file,
        ),
    ),
)
