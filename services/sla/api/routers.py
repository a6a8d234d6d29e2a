"""All calls of the SLA service."""

from fastapi import APIRouter

from services.sla.api import clocks, figures, resources, stream

ROUTERS: tuple[APIRouter, ...] = (
    clocks.router,
    figures.router,
    *(resources.resource_router(kind) for kind in resources.PATHS),
    resources.evaluations,
    stream.router,
)
