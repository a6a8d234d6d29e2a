"""Finding a call's route by its subject, the word after the workspace, instead of trying them all.

FastAPI tries routes one after another; three services in one process have many.
"""

from collections.abc import Iterable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from shared.http.routes import WORKSPACE_PREFIX, Route

_FOUND = "omniroute.found_route"
_ALLOWED = "omniroute.allowed_methods"
ROOT = WORKSPACE_PREFIX.partition("{")[0]
_SUBJECT_AT = WORKSPACE_PREFIX.count("/") + 1


class Subjects(BaseRoute):
    """All routes below the workspace, by subject. Within one, the order is that of their making."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._by_subject: dict[str, list[Route]] = {}
        for route in self.routes:
            self._by_subject.setdefault(subject_of(route.path_format), []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path: str = scope["path"]
        if scope["type"] != "http" or not path.startswith(ROOT):
            return Match.NONE, {}
        allowed: set[str] = set()
        partial: Scope | None = None
        for route in self._by_subject.get(subject_of(path), ()):
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                child_scope[_FOUND] = route
                return match, child_scope
            if match is Match.PARTIAL:
                partial = partial or child_scope
                allowed.update(route.methods or ())
        if partial is None:
            return Match.NONE, {}
        partial[_ALLOWED] = ", ".join(sorted(allowed))
        return Match.PARTIAL, partial

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _ALLOWED in scope:
            raise HTTPException(405, headers={"Allow": scope[_ALLOWED]})
        await scope[_FOUND].handle(scope, receive, send)


def install(app: FastAPI, routes: Iterable[BaseRoute]) -> list[Route]:
    """Serve `routes` of workspaces, and return them. They must be made by `routes.api_router`."""
    made = list(routes)
    assert all(isinstance(route, Route) for route in made), "use shared.http.routes.api_router"
    subjects = Subjects(route for route in made if isinstance(route, Route))
    # First: nearly all calls are theirs.
    app.router.routes.insert(0, subjects)
    app.state.subjects = subjects
    return subjects.routes


def subject_of(path: str) -> str:
    """The word after the workspace, without an action; "" where there is none."""
    parts = path.split("/", _SUBJECT_AT + 1)
    return parts[_SUBJECT_AT].partition(":")[0] if len(parts) > _SUBJECT_AT else ""
