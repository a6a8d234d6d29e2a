"""Sunshine Conversations' older webhooks (v1.1), told as the present ones would tell them.

https://docs.smooch.io/rest/v1/#webhooks
"""

from collections.abc import Iterator
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.reading import digest_of

_DELIVERIES = ("message:delivery:channel", "message:delivery:user", "message:delivery:failure")
_CONVERSATIONS = {"conversation:start": "conversation:create"}


def as_v2(old: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a payload that names a `trigger`; one of an unknown trigger keeps its name."""
    trigger = fields.text(old, "trigger") or "?"
    if trigger in ("message:appUser", "message:appMaker"):
        return [_event(old, "conversation:message", message=each) for each in _messages(old)]
    if trigger == "postback":
        found = fields.items(old, "postbacks")
        pressed = (fields.obj(each, "action") for each in found)
        return [_event(old, "conversation:postback", postback=each) for each in pressed]
    if trigger in _DELIVERIES:
        message = {"id": fields.key(old, "message", "_id")}
        error = fields.obj(old, "error")
        return [_event(old, f"conversation:{trigger}", message=message, error=error)]
    return [_event(old, _CONVERSATIONS.get(trigger, trigger))]


def _event(old: dict[str, Any], kind: str, **more: Any) -> dict[str, Any]:
    person = fields.obj(old, "appUser")
    user = {
        "id": fields.key(person, "_id"),
        "externalId": fields.key(person, "userId"),
        "profile": {n: person.get(n) for n in ("givenName", "surname", "email")},
    }
    conversation = fields.key(old, "conversation", "_id") or user["id"]
    stamp = fields.at(old, "timestamp")
    payload = {"conversation": {"id": conversation}, "user": user, **more}
    own = digest_of(kind, stamp, more)
    return {"id": own, "type": kind, "createdAt": stamp, "payload": payload}


def _messages(old: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in (*fields.items(old, "messages"), *fields.items(old, "message")):
        ours = fields.text(each, "role") == "appMaker"
        author = {
            "type": "business" if ours else "user",
            "userId": fields.key(each, "authorId") or fields.key(old, "appUser", "_id"),
            "displayName": fields.text(each, "name"),
        }
        yield {
            "id": fields.key(each, "_id"),
            "received": each.get("received"),
            "author": author,
            "source": fields.obj(each, "source"),
            "content": {**each, "type": fields.text(each, "type") or "text"},
        }
