"""The list of breaches, page by page, as a table too."""

import csv
import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from fastapi import Request

from services.sla.api.clocks import list_breaches

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


def breached(number: int) -> dict[str, Any]:
    at = AT - timedelta(minutes=number)
    names = ("queue", "agent_id", "task_id", "satisfied_at", "ended_at")
    return {
        "id": f"clk_{number}", "metric": "resolution", "cycle": 1, "state": "running",
        "started_at": at, "target_s": 60.0, "due_at": at, "breached_at": at, "elapsed_s": 61.0,
        "policy_id": "main", "policy_version": 1, "calendar": "always", "channel": "chat",
        "conversation_id": "cnv_1", "priority": 0.0, "warnings": [], **dict.fromkeys(names),
    }  # fmt: skip


class Store:
    """Three breaches."""

    async def breaches(self, *given: Any) -> list[dict[str, Any]]:
        after, limit = given[4], given[5]
        found = [breached(number) for number in range(3)]
        return [one for one in found if not after or (one["breached_at"], one["id"]) < after][
            :limit
        ]


class Runtime:
    """A workspace that has nothing in memory."""

    async def query(self, workspace: str, fn: Any) -> dict[str, Any]:
        return {}


async def table(query: str, cursor: str | None = None) -> tuple[list[str], str | None]:
    """The ids of a page, and the query of the next."""
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "server": ("x", 80), "path": "/breaches",
        "query_string": query.encode(), "headers": [],
    }  # fmt: skip
    reply = await list_breaches(
        cast("Any", SimpleNamespace(workspace="acme")),
        cast("Any", SimpleNamespace(store=Store(), runtime=Runtime())),
        Request(scope),
        filters={},
        cursor=cursor,
        limit=2,
        form="csv",
    )
    rows = list(csv.DictReader(io.StringIO(bytes(reply.body).decode())))
    return [row["id"] for row in rows], reply.headers.get("link")


async def test_a_table_that_goes_on_says_where():
    ids, link = await table("format=csv&limit=2&queue=a%26b")
    assert ids == ["clk_0", "clk_1"] and link is not None
    target, _, relation = link.partition("; ")
    assert relation == 'rel="next"'
    asked = parse_qs(urlsplit(target.strip("<>")).query)
    assert (asked["format"], asked["limit"], asked["queue"]) == (["csv"], ["2"], ["a&b"])
    ids, link = await table("", asked["cursor"][0])
    assert (ids, link) == (["clk_2"], None)
