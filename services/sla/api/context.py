"""What the SLA service's calls share."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request

from services.sla.domain.shapes import ShownClock
from services.sla.dry_run import DryRuns
from services.sla.feeds import FeedReader
from services.sla.readings import Readings
from services.sla.store import ClockStore
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.problems import invalid
from shared.runtime.port import RuntimePort

DAY = timedelta(hours=24)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sla:
    runtime: RuntimePort
    store: ClockStore
    readings: Readings
    dry_runs: DryRuns
    feeds: FeedReader


async def sla_of(request: Request) -> Sla:
    return request.app.state.sla


Service = Annotated[Sla, Depends(sla_of)]


def moment(name: str, text: str | None, default: datetime) -> datetime:
    """A query's instant. Raises Refused (validation)."""
    if text is None:
        return default
    try:
        return _EPOCH + timedelta(microseconds=parse_instant(text))
    except (ValueError, OverflowError) as error:
        expected = "RFC 3339 with an offset"
        raise invalid(f"/query/{name}", "instant", f"{error}.", expected) from error


def span(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    """[from, to); by default the last 24 hours. Raises Refused (validation)."""
    end = moment("to", until, datetime.now(UTC))
    start = moment("from", since, max(end, _FIRST + DAY) - DAY)
    if start >= end:
        raise invalid("/query/from", "range", "The span is empty.", "from before to")
    return start, end


def instant(at: datetime | None) -> str | None:
    """A stored moment as RFC 3339."""
    return None if at is None else format_instant((at - _EPOCH) // timedelta(microseconds=1))


def stored_clock(row: dict[str, Any]) -> ShownClock:
    """A clock that is history, as `live.shown_clock` shows a present one."""
    elapsed, target = row["elapsed_s"], row["target_s"]
    return {
        "id": row["id"],
        "metric": row["metric"],
        "cycle": row["cycle"],
        "state": row["state"],
        "started_at": instant(row["started_at"]) or "",
        "target_s": target,
        "due_at": instant(row["due_at"]),
        "satisfied_at": instant(row["satisfied_at"]),
        "breached_at": instant(row["breached_at"]),
        "ended_at": instant(row["ended_at"]),
        "elapsed_s": elapsed,
        "remaining_s": target - elapsed,
        "policy": {"id": row["policy_id"], "version": row["policy_version"]},
        "calendar": row["calendar"],
        "conversation_id": row["conversation_id"],
        "task_id": row["task_id"],
        "channel": row["channel"],
        "queue": row["queue"],
        "agent_id": row["agent_id"],
        "priority": row["priority"],
        "warnings": [
            {"level": one["level"], "at": format_instant(one["at_us"])} for one in row["warnings"]
        ],
    }
