"""Figures: service level under its named definitions, compliance, and what is due soon."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Response
from msgspec.structs import asdict

from services.sla import live
from services.sla.api.context import Service, instant, span
from shared.contracts.service_level import Counts, service_levels
from shared.http.auth import Caller, require
from shared.http.replies import json_reply
from shared.http.routes import api_router

router = api_router("figures")
Reads = Annotated[Caller, Depends(require("figures:read"))]

DEFAULT_THRESHOLD_S = 20.0
HORIZONS_S = (300, 900, 3600)
Group = Literal["queue", "channel", "agent", "policy", "priority"]
_COLUMNS = {
    "queue": "queue",
    "channel": "channel",
    "agent": "agent_id",
    "policy": "policy_id",
    "priority": "priority",
}


@router.get("/service-level")
async def service_level(
    caller: Reads,
    service: Service,
    metric: str = "first_response",
    since: Annotated[str | None, Query(alias="from")] = None,
    until: Annotated[str | None, Query(alias="to")] = None,
    by: Group = "queue",
    threshold_s: Annotated[float | None, Query(gt=0)] = None,
) -> Response:
    """Clocks started in [from, to), by group. The threshold is the one asked for, else the queue's
    own, else 20 s. Open ones count with the time they have had until now."""
    start, end = span(since, until)
    promised = await service.thresholds(caller.workspace, metric)
    rows = await service.store.started(caller.workspace, metric, start, end, _COLUMNS[by])
    # An open clock's stored figure is that of its last change; it has run on since.
    current = await service.runtime.query(
        caller.workspace, lambda core: live.open_elapsed(core, metric)
    )
    groups: dict[Any, tuple[float, Counts]] = {}
    for group, name, state, elapsed_s, answered in rows:
        own = promised.get(str(group), DEFAULT_THRESHOLD_S) if by == "queue" else None
        limit = threshold_s or own or DEFAULT_THRESHOLD_S
        _, counts = groups.setdefault(group, (limit, Counts()))
        counts.add(state, current.get(name, elapsed_s), answered, limit)
    shown = [
        {
            by: group,
            "metric": metric,
            "threshold_s": limit,
            "counts": asdict(counts),
            "service_level": service_levels(counts),
        }
        for group, (limit, counts) in sorted(groups.items(), key=lambda one: str(one[0]))
    ]
    return json_reply({"from": instant(start), "to": instant(end), "rows": shown})


@router.get("/compliance")
async def compliance(
    caller: Reads,
    service: Service,
    cohort: Literal["started", "due", "finished"] = "due",
    since: Annotated[str | None, Query(alias="from")] = None,
    until: Annotated[str | None, Query(alias="to")] = None,
    by: Group = "queue",
) -> Response:
    """met / (met + missed) of the clocks that started, were due, or finished in [from, to); an open
    clock that is breached already counts as missed; running ones in time do not count."""
    start, end = span(since, until)
    rows = await service.store.compliance(caller.workspace, cohort, start, end, _COLUMNS[by])
    shown = [_compliance(row, by) for row in rows]
    answer = {"from": instant(start), "to": instant(end), "cohort": cohort, "rows": shown}
    return json_reply(answer)


def _compliance(row: dict[str, Any], by: str) -> dict[str, Any]:
    missed = row["missed"] + row["breached_open"]
    judged = row["met"] + missed
    return {
        by: row["group"],
        "metric": row["metric"],
        "counts": {
            "met": row["met"],
            "missed": missed,
            "breached_open": row["breached_open"],
            "closed_unanswered": row["closed_unanswered"],
        },
        "compliance": row["met"] / judged if judged else None,
    }


@router.get("/forecast")
async def forecast(caller: Reads, service: Service) -> Response:
    """How many running clocks are due within 300, 900 and 3600 s, and how many are overdue."""
    now = datetime.now(UTC)
    due = [
        {
            "within_s": horizon,
            "due": await service.store.due_within(
                caller.workspace, now, now + timedelta(seconds=horizon)
            ),
        }
        for horizon in HORIZONS_S
    ]
    overdue = await service.runtime.query(caller.workspace, live.overdue)
    return json_reply({"at": instant(now), "due": due, "overdue": overdue})
