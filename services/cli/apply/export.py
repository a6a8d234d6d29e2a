"""`omniroute export`: a workspace written back in the form of `workspace.yaml`."""

from typing import Any

import yaml

from services.cli.apply import kinds
from services.cli.apply.client import Api
from services.cli.apply.document import VERSION
from shared.contracts.problems import not_found


async def export(api: Api) -> str:
    """The file's text. Secrets become references to variables that are still to be named.

    Raises Refused, OSError.
    """
    settings = await api.get("platform", "")
    if settings is None:
        raise not_found("workspace", api.workspace)
    document: dict[str, Any] = {"version": VERSION, "workspace": api.workspace}
    document |= {k: v for k, v in kinds.written("workspace", settings).items() if k != "id"}
    for section, kind in kinds.SECTIONS.items():
        entries = [_entry(kind, one) for one in await _all(api, kind)]
        if entries:
            document[section] = entries
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


async def _all(api: Api, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        answer = await api.call(kinds.service(kind), "GET", kinds.listing(kind), params=query)
        found += answer[kinds.plural(kind)]
        if answer["next"] is None:
            return found
        query["cursor"] = answer["next"]


def _entry(kind: str, one: dict[str, Any]) -> dict[str, Any]:
    entry = kinds.written(kind, one)
    if kind == "connector":
        names = entry.pop("secrets", [])
        if names:
            entry["secrets"] = {name: {"env": _variable(entry["id"], name)} for name in names}
    return {"id": entry.pop("id"), **entry}


def _variable(connector: str, secret: str) -> str:
    return f"{connector}_{secret}".upper().replace("-", "_")
