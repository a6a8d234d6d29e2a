"""The web chat of browsers: a visitor speaks and reads in his own conversation, with a token of his."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query, Request, Response

from services.channels import vendors
from services.channels.api.connectors import existing_connector
from services.channels.chat import (
    TICKET_LIFE_S,
    Claims,
    NewToken,
    Spoken,
    allowed_origin,
    read_ticket,
    read_token,
    request_of,
    shown_to_visitor,
    ticket_of,
    token_of,
)
from services.channels.connectors import registry
from services.channels.connectors.chat.web_chat import WebChatSettings
from services.channels.context import Channels, channels_of, wall_us
from services.channels.shapes import (
    ChatMessage,
    ChatMessages,
    ChatReceipt,
    ChatTicket,
    ChatToken,
)
from services.channels.store import StoredConnector
from shared.contracts import ids
from shared.contracts.instants import SECOND_US, format_instant
from shared.contracts.problems import Refused, conflict, not_found
from shared.db.engine import DatabaseUnavailable
from shared.http.auth import Caller, access_of, check_ids, require
from shared.http.bodies import read_body
from shared.http.calls import Call
from shared.http.problems import refusal
from shared.http.query import check_query
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.http.sse import SseEvent, event_stream, last_event_id
from shared.http.stopping import Stopping, stopping_of

CHAT_BODY_BYTES = 64 * 1024
MAX_WAIT_S = 25
PAGE = 100
IDLE_S = 30.0
AWAY_S = 1.0
KIND = "web_chat"
_ALLOW = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}

router = api_router("chat")
Service = Annotated[Channels, Depends(channels_of)]

_TOKEN = Call(
    body=NewToken,
    example={"conversation": "visit-7", "visitor": {"id": "v-7", "name": "Kim"}, "ttl_s": 900},
    answer=ChatToken,
    may=(409,),
)
_SPEAK = Call(
    body=Spoken,
    example={"id": "m-1", "text": "Where is my parcel?", "sequence": 1},
    answer=ChatReceipt,
    visitor=True,
)
_LISTEN = Call(answer=ChatMessages, visitor=True)
_TICKET = Call(answer=ChatTicket, visitor=True)
_STREAM = Call(events={"message": ChatMessage}, resumes=True, visitor=True)


@router.post("/connectors/{connector}/chat-tokens", status_code=201, openapi_extra=_TOKEN.extra)
async def create_chat_token(
    connector: str,
    request: Request,
    caller: Annotated[Caller, Depends(require("chat-tokens:create"))],
    channels: Service,
) -> Response:
    """A token for one visitor in one conversation: your server hands it to the visitor's page."""
    asked = await read_body(request, NewToken)
    stored, _ = await _web_chat(channels, caller.workspace, connector)
    keys = vendors.opened_secrets(stored, channels).get("browser_key", ())
    if not keys:
        raise conflict("state", "The connector has no `browser_key`, which signs visitors' tokens.")
    now_us = wall_us()
    token = token_of(asked, caller.workspace, connector, keys[0], now_us)
    address = f"{channels.public_url}/v1/workspaces/{caller.workspace}/connectors/{connector}"
    made = ChatToken(
        token=token,
        expires_at=format_instant((now_us // SECOND_US + asked.ttl_s) * SECOND_US),
        conversation_id=ids.conversation_id(
            caller.workspace, connector, "chat", asked.conversation
        ),
        messages_url=f"{address}/chat/messages",
        stream_url=f"{address}/chat/stream",
    )
    return json_reply(made, 201)


@router.options("/connectors/{connector}/chat/messages", include_in_schema=False)
@router.options("/connectors/{connector}/chat/stream", include_in_schema=False)
@router.options("/connectors/{connector}/chat/stream-tickets", include_in_schema=False)
async def preflight(
    workspace: str, connector: str, request: Request, channels: Service
) -> Response:
    """A browser's question whether a page may call."""

    async def allow(stored: StoredConnector) -> Response:
        return Response(status_code=204, headers=_ALLOW)

    return await _for_page(workspace, connector, request, channels, allow)


@router.post(
    "/connectors/{connector}/chat/messages",
    status_code=202,
    max_body_size=CHAT_BODY_BYTES,
    openapi_extra=_SPEAK.extra,
)
async def post_chat_message(
    workspace: str, connector: str, request: Request, channels: Service
) -> Response:
    """What the visitor says. The same `id` again counts once."""

    async def said(stored: StoredConnector) -> Response:
        claims = _claims(channels, stored, request)
        _admit(channels, request, claims)
        spoken = await read_body(request, Spoken)
        url = vendors.inbound_url(stored, channels)
        received = await vendors.accept(
            channels, stored, request_of(spoken, claims, url, wall_us())
        )
        return json_reply(_receipt(spoken, received.handled.events[0]), 202)

    return await _for_page(workspace, connector, request, channels, said)


@router.get("/connectors/{connector}/chat/messages", openapi_extra=_LISTEN.extra)
async def list_chat_messages(
    workspace: str,
    connector: str,
    request: Request,
    channels: Service,
    after: Annotated[int, Query(ge=0, lt=2**31, description="`next` of the call before")] = 0,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="seconds to wait for news")] = 0,
) -> Response:
    """The visitor's conversation after a sequence number, oldest first: his own words and what was
    answered. With `wait` the call returns as soon as there is something, or empty."""

    async def heard(stored: StoredConnector) -> Response:
        claims = _claims(channels, stored, request)
        _admit(channels, request, claims)
        place = (stored.workspace, claims.conversation_id)
        found = await _arrived(channels, place, after)
        wait_s = min(wait, claims.ends - wall_us() / SECOND_US)
        if not found and wait_s > 0:
            found = await _awaited(channels, place, after, wait_s, stopping_of(request))
        shown = [one for at, row in enumerate(found, after + 1) if (one := _shown(row, at))]
        return json_reply(ChatMessages(messages=shown, next=after + len(found)))

    return await _for_page(workspace, connector, request, channels, heard)


@router.post(
    "/connectors/{connector}/chat/stream-tickets", status_code=201, openapi_extra=_TICKET.extra
)
async def create_chat_ticket(
    workspace: str, connector: str, request: Request, channels: Service
) -> Response:
    """A ticket for the visitor's stream, as `?ticket=`, good for a minute: a browser's EventSource
    sends no token."""

    async def made(stored: StoredConnector) -> Response:
        claims = _claims(channels, stored, request)
        _admit(channels, request, claims)
        now_us, (key, *_) = wall_us(), _keys(channels, stored)
        ticket = ticket_of(claims, stored.workspace, stored.id, key, now_us)
        ends = (now_us // SECOND_US + TICKET_LIFE_S) * SECOND_US
        return json_reply(ChatTicket(ticket=ticket, expires_at=format_instant(ends)), 201)

    return await _for_page(workspace, connector, request, channels, made)


@router.get("/connectors/{connector}/chat/stream", openapi_extra=_STREAM.extra)
async def stream_chat(
    workspace: str, connector: str, request: Request, channels: Service
) -> Response:
    """The visitor's conversation as Server-Sent Events, each message as soon as it is there: the
    shape of `GET chat/messages`, `id` its sequence. Resumed by Last-Event-ID (or `?after=`). It ends
    when the visitor's token does."""

    async def opened(stored: StoredConnector) -> Response:
        claims = _claims(channels, stored, request, ticket=True)
        _admit(channels, request, claims)
        channels.chat_waits.check_room()
        after = last_event_id(request) or 0
        place = (stored.workspace, claims.conversation_id)
        return event_stream(request, _told(channels, place, after, claims.ends))

    return await _for_page(workspace, connector, request, channels, opened)


async def _told(
    channels: Channels, place: tuple[str, str], after: int, ends: float
) -> AsyncIterator[SseEvent]:
    """What there is after a sequence number, and what comes, until the token ends."""
    async with channels.chat_waits.waiting(place) as news:
        while (left_s := ends - wall_us() / SECOND_US) > 0:
            news.clear()
            try:
                found = await _arrived(channels, place, after)
            except DatabaseUnavailable:
                await asyncio.sleep(AWAY_S)
                continue
            for row in found:
                after += 1
                if shown := _shown(row, after):
                    yield SseEvent(msgspec.json.encode(shown), str(after))
            if not found:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, IDLE_S)):
                        await news.wait()


async def _web_chat(
    channels: Channels, workspace: str, connector: str
) -> tuple[StoredConnector, WebChatSettings]:
    stored = await existing_connector(channels, workspace, connector)
    if stored.kind != KIND or not stored.enabled:
        raise not_found("connector", connector)
    settings = registry.get(KIND).settings.model_validate(stored.settings)
    assert isinstance(settings, WebChatSettings)
    return stored, settings


async def _for_page(
    workspace: str,
    connector: str,
    request: Request,
    channels: Channels,
    act: Callable[[StoredConnector], Awaitable[Response]],
) -> Response:
    """`act`, for a page of an origin that is configured; its refusals are readable to the page."""
    check_ids({"workspace": workspace, "connector": connector})
    stored, settings = await _web_chat(channels, workspace, connector)
    origin = request.headers.get("origin")
    if not allowed_origin(settings, channels.public_url + "/", origin):
        raise Refused("forbidden", "The page's origin is not among the connector's `origins`.")
    try:
        response = await act(stored)
    except Refused as refused:
        response = refusal(refused)
    response.headers["Vary"] = "Origin"
    response.headers["Cache-Control"] = "no-store"
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
    return response


def _keys(channels: Channels, stored: StoredConnector) -> tuple[str, ...]:
    return vendors.opened_secrets(stored, channels).get("browser_key", ())


def _claims(
    channels: Channels, stored: StoredConnector, request: Request, *, ticket: bool = False
) -> Claims:
    """Whose token the request carries, or whose ticket where that is enough. Raises Refused
    (unauthenticated)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    keys = _keys(channels, stored)
    place = (stored.workspace, stored.id)
    claims, given = None, request.query_params.get("ticket")
    if scheme.lower() == "bearer" and keys:
        claims = read_token(token.strip(), *place, keys, wall_us())
    elif ticket and given and keys:
        claims = read_ticket(given, *place, keys, wall_us())
    if claims is None:
        raise Refused(
            "unauthenticated",
            "The visitor's token is missing, forged or expired: get a new one from your server.",
            reason="invalid_token",
        )
    return claims


def _admit(channels: Channels, request: Request, claims: Claims) -> None:
    """Count the call, for the visitor's conversation and for the workspace. Raises Refused, for a query
    parameter that the call does not have too."""
    check_query(request.scope)
    channels.chat_rates.admit(claims.conversation_id)
    limiter = access_of(request).limiter
    if limiter is not None:
        limiter.admit(request.path_params["workspace"])


def _receipt(spoken: Spoken, event: Any) -> ChatReceipt:
    return {
        "id": spoken.id,
        "event_id": event.envelope.id,
        "message_id": event.interaction.message_id,
        "conversation_id": event.interaction.conversation_id,
        "sequence": spoken.sequence,
        "status": "accepted",
    }


async def _awaited(
    channels: Channels, place: tuple[str, str], after: int, wait_s: float, stopping: Stopping
) -> list[dict[str, Any]]:
    """What arrives within the time, as soon as it does."""
    until = time.monotonic() + wait_s
    async with channels.chat_waits.waiting(place) as news:
        while not (found := await _arrived(channels, place, after)):
            left_s = until - time.monotonic()
            if left_s <= 0 or not await stopping.wait_for(news.wait(), left_s):
                break
            news.clear()
    return found


async def _arrived(channels: Channels, place: tuple[str, str], after: int) -> list[dict[str, Any]]:
    return await channels.store.arrived(*place, after, PAGE)


def _shown(row: dict[str, Any], sequence: int) -> ChatMessage | None:
    return shown_to_visitor(row, sequence)
