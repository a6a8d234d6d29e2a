"""Figures: service level under its named definitions, compliance, forecast, and all the others."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Depends, Query, Request, Response

from services.sla import live
from services.sla.api.context import Service, instant, span
from services.sla.api.tables import Format, table_call, table_reply
from services.sla.domain import shapes
from services.sla.domain.alarms import shown_alarm
from services.sla.figures_rows import TooMany
from services.sla.readings import REPEAT_S, SERIES_ROWS_MAX
from shared.calendars.zones import zone as time_zone
from shared.calendars.zones import zone_names
from shared.contracts.problems import invalid
from shared.http.auth import Caller, require
from shared.http.routes import api_router

router = api_router("figures")
Reads = Annotated[Caller, Depends(require("figures:read"))]

SLOTS_MAX = 1_500  # steps of a series
GROUPS_MAX = 50  # named in one question
DAY_S = 86_400
By = Annotated[shapes.By, Query(description="what the rows are groups of")]
Since = Annotated[
    str | None,
    Query(alias="from", description="RFC 3339, inclusive; by default 24 hours before `to`"),
]
Until = Annotated[str | None, Query(alias="to", description="RFC 3339, exclusive; by default now")]
Metric = Annotated[
    str,
    Query(
        max_length=64,
        description="a target of policies, a named clock, `speed_of_answer` or `handle_time`",
    ),
]
Metrics = Annotated[
    list[str] | None, Query(alias="metric", max_length=20, description="only these; by default all")
]
Cohort = Annotated[
    Literal["started", "finished"],
    Query(description="of clocks that started, or ended, in the span"),
]
Groups = Annotated[
    list[str] | None,
    Query(max_length=GROUPS_MAX, description="only these, as named in answers; empty: `null`"),
]
Threshold = Annotated[
    float | None, Query(gt=0, le=315_360_000, description="seconds, in place of the queues' own")
]

Zone = Annotated[
    str | None,
    Query(max_length=64, description="whose days; IANA name, with `step_s=86400`; by default UTC"),
]


@router.get("/service-level", openapi_extra=table_call(shapes.ServiceLevels).extra)
async def get_service_level(
    request: Request,
    caller: Reads,
    service: Service,
    metric: Metric = "first_response",
    since: Since = None,
    until: Until = None,
    by: By = "queue",
    threshold_s: Threshold = None,
    form: Format = None,
) -> Response:
    """Clocks started in [from, to), by group, under six named definitions; null where the denominator
    is 0. The threshold is the one asked for, else the queue's own, else the one that all queues share,
    else 20 s. Open ones count with the open time they have had until now. `exact` is false where the
    threshold is neither declared by a queue nor an edge of the histograms: then those up to 2.5 %
    below it may be missing from `…_within`."""
    start, end = span(since, until)
    rows = await service.readings.service_level(
        caller.workspace, metric, start, end, by, threshold_s
    )
    around: dict[str, Any] = {"from": instant(start), "to": instant(end)}
    return table_reply(request, form, rows, **around)


@router.get("/compliance", openapi_extra=table_call(shapes.Compliance).extra)
async def get_compliance(
    request: Request,
    caller: Reads,
    service: Service,
    cohort: Annotated[
        Literal["started", "due", "finished"], Query(description="which clocks are judged")
    ] = "due",
    metric: Metrics = None,
    since: Since = None,
    until: Until = None,
    by: By = "queue",
    form: Format = None,
) -> Response:
    """met / (met + missed) of the clocks that started, were due, or finished in [from, to). An open
    clock that is breached counts as missed, and so does one that was closed unanswered after its
    breach; running ones in time, abandoned and cancelled ones are not judged."""
    start, end = span(since, until)
    rows = await service.readings.compliance(caller.workspace, metric, cohort, start, end, by)
    around: dict[str, Any] = {"from": instant(start), "to": instant(end), "cohort": cohort}
    return table_reply(request, form, rows, **around)


@router.get("/forecast", openapi_extra=table_call(shapes.Forecast).extra)
async def get_forecast(
    request: Request,
    caller: Reads,
    service: Service,
    metric: Metrics = None,
    by: By = "queue",
    form: Format = None,
) -> Response:
    """How many running clocks are due within 300, 900 and 3600 s, how many of them are likely to
    breach (the expected number, from how long clocks of the metric and queue took in the last seven
    days), and how many open ones are overdue: in all, and by group."""
    found = await service.readings.forecast(caller.workspace, metric, by)
    around: dict[str, Any] = {
        "at": instant(datetime.now(UTC)),
        "by": by,
        "due": found["due"],
        "overdue": found["overdue"],
    }
    return table_reply(request, form, found["rows"], **around)


@router.get("/figures", openapi_extra=table_call(shapes.Figures).extra)
async def get_figures(
    request: Request,
    caller: Reads,
    service: Service,
    since: Since = None,
    until: Until = None,
    by: By = "queue",
    cohort: Cohort = "finished",
    repeat_within_s: Annotated[
        int,
        Query(ge=0, le=90 * DAY_S, description="within which a new task is a repeated contact"),
    ] = REPEAT_S,
    form: Format = None,
) -> Response:
    """By group: speed of answer (its mean is ASA), time to abandon, abandonment, first and next
    response, resolution (open time and by the clock on the wall), handle time, contacts (first-contact
    resolution, reopened, repeated), backlog, feedback (CSAT, NPS, CES), deadlines due soon; occupancy
    of all agents, and of each by agent. `repeat_within_s`: within which a new task of the same customer
    or conversation is a repeat."""
    start, end = span(since, until)
    found = await service.readings.figures(
        caller.workspace, start, end, by, cohort, repeat_within_s
    )
    rows = found.pop("rows")
    around: dict[str, Any] = {
        "from": instant(start),
        "to": instant(end),
        "by": by,
        "cohort": cohort,
        **found,
    }
    return table_reply(request, form, rows, **around)


@router.get("/figures/series", openapi_extra=table_call(shapes.FiguresSeries).extra)
async def get_figures_series(
    request: Request,
    caller: Reads,
    service: Service,
    metric: Metric = "first_response",
    since: Since = None,
    until: Until = None,
    by: By = "queue",
    cohort: Cohort = "finished",
    step_s: Annotated[
        int, Query(ge=60, le=366 * DAY_S, multiple_of=60, description="length of a step in seconds")
    ] = 3600,
    threshold_s: Threshold = None,
    group: Groups = None,
    zone: Zone = None,
    form: Format = None,
) -> Response:
    """One metric over time, in steps of whole minutes since the epoch (so `at` of the first may lie
    before `from`), or by days of a `zone` (`step_s=86400`): how long it took, counts, service level and
    compliance of what has ended. A month by hour of some hundred agents is more than one answer holds: ask
    for some of them by `group`."""
    start, end = span(since, until)
    place = _zone(zone, step_s)
    if (end - start).total_seconds() / step_s > SLOTS_MAX:
        raise invalid(
            "/query/step_s",
            "too_many",
            f"The span has more than {SLOTS_MAX} steps.",
            f"at least {-(-(end - start).total_seconds() // SLOTS_MAX // 60) * 60:.0f} s",
        )
    try:
        rows = (
            await service.readings.series(
                caller.workspace, metric, start, end, by, cohort, step_s, threshold_s, group
            )
            if place is None
            else await service.readings.daily(
                caller.workspace, metric, start, end, by, cohort, place, threshold_s, group
            )
        )
    except TooMany as many:
        raise invalid(
            "/query/step_s",
            "too_many",
            f"The answer has more than {SERIES_ROWS_MAX} rows.",
            "a longer step, a shorter span, or groups by `group`",
        ) from many
    around: dict[str, Any] = {
        "from": instant(start),
        "to": instant(end),
        "step_s": step_s,
        "zone": zone,
        "cohort": cohort,
    }
    return table_reply(request, form, rows, **around)


def _zone(name: str | None, step_s: int) -> ZoneInfo | None:
    if name is None:
        return None
    if name not in zone_names():
        message = f"{name[:64]!r} is no time zone."
        raise invalid("/query/zone", "time_zone", message, "such as Europe/Berlin")
    if step_s != DAY_S:
        message = "Only days differ by zone."
        raise invalid("/query/step_s", "zone", message, f"{DAY_S}, or no zone")
    return time_zone(name)


@router.get("/burn-alerts", openapi_extra=table_call(shapes.BurnAlerts).extra)
async def list_burn_alerts(
    request: Request, caller: Reads, service: Service, form: Format = None
) -> Response:
    """The promises of queues that are missed too fast just now: over a long and a short window of
    open hours, both beyond the threshold."""
    alarms = await service.runtime.query(caller.workspace, live.alarms)
    return table_reply(request, form, [shown_alarm(one) for one in alarms], "alerts")
