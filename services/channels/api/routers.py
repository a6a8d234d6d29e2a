"""All calls of the channels service."""

from fastapi import APIRouter

from services.channels.api import (
    chat,
    connectors,
    conversations,
    dead_letters,
    events,
    inbound,
    renormalise,
    vcons,
)

ROUTERS: tuple[APIRouter, ...] = (
    events.router,
    inbound.router,
    connectors.router,
    renormalise.router,
    chat.router,
    conversations.router,
    vcons.router,
    dead_letters.router,
)
