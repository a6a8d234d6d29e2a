"""The kinds of resource in a workspace file: section, service, path, and the form in which a service
shows one. They are in the order in which they refer to each other."""

from collections.abc import Callable, Mapping
from typing import Any

from services.channels.resources import CONNECTORS_MAX, check_connector
from services.router.domain import room as router_room
from services.router.resources import parse
from services.sla.domain import room as sla_room
from services.sla.feeds import as_written
from services.sla.resources import read_calendar, read_policy
from shared.contracts.problems import Fault, Refused
from shared.http.resources import validate_resource
from shared.http.workspace_body import WorkspaceBody

# section of the file -> kind
SECTIONS: dict[str, str] = {
    "calendars": "calendar",
    "queues": "queue",
    "teams": "team",
    "agents": "agent",
    "escalations": "escalation",
    "policies": "policy",
    "customers": "customer",
    "sla_policies": "sla_policy",
    "connectors": "connector",
}
_PATHS: dict[str, tuple[str, str]] = {
    "calendar": ("sla", "calendars"),
    "queue": ("router", "queues"),
    "team": ("router", "teams"),
    "agent": ("router", "agents"),
    "escalation": ("router", "escalations"),
    "policy": ("router", "policies"),
    "customer": ("router", "customers"),
    "sla_policy": ("sla", "sla-policies"),
    "connector": ("channels", "connectors"),
}
# How many of a kind a workspace may have.
MOST: dict[str, int] = {
    **{kind: most for kind, (_, most) in (router_room.LIMITS | sla_room.LIMITS).items()},
    "connector": CONNECTORS_MAX,
}
# What services add to a resource's body when they show it.
_ADDED = frozenset({"warnings", "version", "inbound_url", "channel", "updated_at", "fetching"})

Canonical = dict[str, Any]


def service(kind: str) -> str:
    """Which service holds it; "platform" is answered by all."""
    return "platform" if kind == "workspace" else _PATHS[kind][0]


def path(kind: str, name: str) -> str:
    return "" if kind == "workspace" else f"/{_PATHS[kind][1]}/{name}"


def plural(kind: str) -> str:
    """The name of the list's field."""
    return _PATHS[kind][1].replace("-", "_")


def listing(kind: str) -> str:
    return f"/{_PATHS[kind][1]}"


def written(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A service's answer as an entry of the file."""
    if kind == "workspace":
        return {name: body[name] for name in WorkspaceBody.model_fields if name in body}
    if kind == "calendar":
        body = as_written(dict(body))
    added = _ADDED - {"channel"} if kind != "connector" else _ADDED
    return {name: value for name, value in body.items() if name not in added}


def shown(kind: str, body: Mapping[str, Any]) -> Canonical:
    """A service's answer in the form of `canonical`."""
    entry = written(kind, body)
    if _CANONICAL.get(kind) is not _of_router:
        return entry
    return canonical(kind, entry, str(entry["id"]))[0] or entry


def canonical(kind: str, body: dict[str, Any], name: str) -> tuple[Canonical | None, list[Fault]]:
    """(what a service would show of it, its faults by pointer)."""
    try:
        return _CANONICAL[kind](kind, body, name), []
    except Refused as refused:
        return None, refused.errors or [Fault("", refused.kind, refused.detail)]


def settings_faults(settings: dict[str, Any]) -> list[Fault]:
    try:
        validate_resource(settings, WorkspaceBody)
    except Refused as refused:
        return refused.errors
    return []


def _of_router(kind: str, body: dict[str, Any], name: str) -> Canonical:
    parsed = parse(kind, dict(body), name)
    if parsed.canonical is None:
        raise Refused("validation", "not valid", errors=list(parsed.faults))
    return parsed.canonical


def _of_sla(kind: str, body: dict[str, Any], name: str) -> Canonical:
    if kind == "calendar":
        return as_written(read_calendar(dict(body), name))
    return read_policy(dict(body), name)


def _connector(kind: str, body: dict[str, Any], name: str) -> Canonical:
    faults = _reference_faults(body.get("secrets") or {})
    if faults:
        raise Refused("validation", faults[0].message, errors=faults)
    named = dict.fromkeys(body.get("secrets") or {}, "from the environment")
    return check_connector(name, {**body, "secrets": named}).shown()


def _reference_faults(secrets: Mapping[str, Any]) -> list[Fault]:
    """Secrets are references: a secret itself in the file is refused, and not repeated."""
    faults: list[Fault] = []
    for name, reference in secrets.items():
        several: list[Any] = reference if isinstance(reference, list) else [reference]
        if not all(isinstance(one, dict) and list(one) == ["env"] for one in several):
            message = "Secrets do not belong into the file."
            faults.append(Fault(f"/secrets/{name}", "secret", message, "{env: NAME_OF_A_VARIABLE}"))
    return faults


_CANONICAL: dict[str, Callable[[str, dict[str, Any], str], Canonical]] = {
    **dict.fromkeys(("queue", "team", "agent", "escalation", "policy", "customer"), _of_router),
    "calendar": _of_sla,
    "sla_policy": _of_sla,
    "connector": _connector,
}
