"""All calls of the router."""

from fastapi import APIRouter

from services.router.api import agents, customers, journal, resources, tasks

ROUTERS: tuple[APIRouter, ...] = (
    agents.router,
    tasks.router,
    resources.queues,
    resources.teams,
    customers.router,
    *(resources.resource_router(kind) for kind in resources.PLURALS),
    journal.router,
)
