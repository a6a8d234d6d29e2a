"""The documentation says what desktops and supervisors send, so that clients can be made from it."""

from typing import Any

from services.router.api import agents, tasks

WITHOUT_BODY = {"/tasks/{task}:resume", "/agents/{agent}/offers/{offer}:accept"}


def described() -> dict[str, Any]:
    """The bodies by path, below the workspace."""
    found: dict[str, Any] = {}
    for route in (*agents.router.routes, *tasks.router.routes):
        if getattr(route, "methods", set()) & {"POST", "PUT"}:
            extra = getattr(route, "openapi_extra", None) or {}
            path = (
                getattr(route, "path", "")
                .replace(":name}", "}")
                .removeprefix("/v1/workspaces/{workspace}")
            )
            found[path] = extra.get("requestBody")
    return found


def test_every_call_that_takes_a_body_says_which() -> None:
    bodies = described()
    assert len(bodies) > 12
    assert {path for path, body in bodies.items() if body is None} == WITHOUT_BODY
    assert bodies["/tasks"]["required"] is True
    assert bodies["/tasks/{task}:complete"]["required"] is False
