"""What queues promise: thresholds, whose counts must be exact, and goals, which are watched."""

import msgspec

from services.sla.domain.columns import Columns
from services.sla.domain.histogram import on_grid
from shared.contracts.core import Row
from shared.contracts.instants import span_us

TABLE = "edge"
EDGES_MAX = 256  # declared thresholds off the grid that a workspace's histograms keep

# (name, type, nullable)
COLUMNS: Columns = (
    ("workspace", "text", False),
    ("edge_us", "bigint", False),
)


class Promise(msgspec.Struct, frozen=True):
    """`service_level.<metric>` of a queue: `goal` is the share to be answered within the threshold."""

    threshold_s: float
    goal: float | None = None


def edges_of(
    workspace: str, promised: dict[str, Promise], known: list[int]
) -> tuple[list[int], list[Row]]:
    """The edges that histograms need from now on, and their rows."""
    wanted = {span_us(promise.threshold_s) for promise in promised.values()}
    added = sorted(edge for edge in wanted if not on_grid(edge) and edge not in known)
    added = added[: max(0, EDGES_MAX - len(known))]
    return added, [Row(TABLE, {"workspace": workspace, "edge_us": edge}) for edge in added]
