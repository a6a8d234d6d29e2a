"""All calls of the SLA service."""

from fastapi import APIRouter

from services.sla.api import changes, clocks, figures, resources, stream

ROUTERS: tuple[APIRouter, ...] = (
    clocks.router,
    figures.router,
    changes.router,
    *(resources.resource_router(kind) for kind in resources.PATHS),
    resources.evaluations,
    stream.router,
)
