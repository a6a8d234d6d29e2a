"""`POST connectors:preview`: what a request would become, with nothing published."""

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.channels import resources
from services.channels.connectors import registry as kinds
from services.channels.connectors.handling import Event, Handled, handle
from services.channels.connectors.port import Answer, InboundRequest
from services.channels.shapes import Preview, PreviewAnswer
from shared.contracts.ids import CLIENT_ID
from shared.contracts.instants import parse_instant
from shared.contracts.problems import invalid


class PreviewBody(BaseModel):
    """The body of `POST connectors:preview`. `connector` stands for the id that events derive
    theirs from; without it the kind does."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    connector: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, str | list[str] | None] | None = Field(default=None, repr=False)
    method: str = Field(default="POST", max_length=16)
    url: str = Field(default="", max_length=8192)
    headers: list[tuple[str, str]] = Field(default_factory=list, max_length=200)
    body_base64: str | None = None
    received_at: str | None = None


def preview(body: object, *, workspace: str, now_us: int, languages: Iterable[str] = ()) -> Preview:
    """The answer of the call, as JSON-able data. Raises Refused (validation).

    `now_us` stands in for `received_at` where that is not given.
    """
    try:
        asked = PreviewBody.model_validate(body)
    except ValidationError as error:
        raise resources.refused(error, PreviewBody) from None
    connector = kinds.get(asked.kind)
    settings = resources.check_settings(connector, asked.settings, "/settings")
    secrets = resources.check_secrets(connector, asked.secrets or {}, "/secrets")
    if asked.connector is not None and not CLIENT_ID.match(asked.connector):
        raise invalid("/connector", "id", "The connector's id is not one.", "[A-Za-z0-9_-]{1,64}")
    handled = handle(
        connector,
        settings,
        secrets,
        _request(asked, now_us),
        connector_id=asked.connector or connector.kind,
        workspace=workspace,
        languages=languages,
        trial=True,
    )
    return _shown(handled)


def _request(asked: PreviewBody, now_us: int) -> InboundRequest:
    try:
        content = base64.b64decode(asked.body_base64 or "", validate=True)
    except (binascii.Error, ValueError):
        raise invalid("/body_base64", "base64", "The body is not base64.") from None
    try:
        received = now_us if asked.received_at is None else parse_instant(asked.received_at)
    except (ValueError, OverflowError):
        expected = "RFC 3339 with an offset"
        raise invalid("/received_at", "instant", "That is no instant.", expected) from None
    headers = tuple(asked.headers)
    return InboundRequest(asked.method, asked.url, headers, content, received)


def _shown(handled: Handled) -> Preview:
    return {
        "verdict": handled.verdict,
        "answer": _answer(handled.answer),
        "events": [structured(event) for event in handled.events],
        "problems": [{"code": each.code, "message": each.message} for each in handled.problems],
    }


def _answer(answer: Answer) -> PreviewAnswer:
    headers = [list(pair) for pair in answer.headers]
    return {"status": answer.status, "headers": headers, "body": answer.body}


_ALWAYS: dict[str, Any] = {
    "revision": 0,
    "flags": [],
    "identities": [],
    "attachments": [],
    "attributes": {},
    "vendor": {},
}


def structured(event: Event) -> dict[str, Any]:
    """The event in CloudEvents' structured mode, with the fields that may be empty spelled out."""
    envelope = event.envelope
    data = {**_ALWAYS, **msgspec.to_builtins(event.interaction)}
    data["attachments"] = [{"inline": False, **each} for each in data["attachments"]]
    if "email" in data:
        lists = ("from", "to", "cc", "reply_to", "in_reply_to", "references")
        data["email"] = {**{name: [] for name in lists}, **data["email"]}
    return {
        "specversion": "1.0",
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "time": envelope.time,
        "datacontenttype": "application/json",
        "workspace": envelope.workspace,
        "partitionkey": envelope.partitionkey,
        "data": data,
    }
