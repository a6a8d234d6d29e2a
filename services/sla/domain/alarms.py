"""Alarms of promises that burn: told once when one begins and once when it ends.

They are kept in the journal (so live screens get them) and not on the bus: they belong to no clock.
"""

import msgspec

from services.sla.domain.burn import Severity
from services.sla.domain.shapes import BurnAlert
from shared.contracts.core import Emitted
from shared.contracts.instants import format_instant

FIRING = "sla.burn_rate.firing.v1"
RESOLVED = "sla.burn_rate.resolved.v1"
_JSON = msgspec.json.Encoder()


class Alarm(msgspec.Struct, gc=False):
    """A queue's promise for a metric, at one severity."""

    queue: str
    metric: str
    severity: Severity
    firing: bool
    goal: float = 0
    threshold_s: float = 0
    burn_long: float | None = None
    burn_short: float | None = None
    long_s: int = 0
    short_s: int = 0
    judged: int = 0
    missed: int = 0
    since_us: int = 0

    @property
    def key(self) -> str:
        return f"{self.queue}/{self.metric}/{self.severity}"


def shown_alarm(alarm: Alarm) -> BurnAlert:
    """An alarm that fires, as calls and events show it."""
    return {
        "queue": alarm.queue,
        "metric": alarm.metric,
        "severity": alarm.severity,
        "goal": alarm.goal,
        "threshold_s": alarm.threshold_s,
        "burn_long": alarm.burn_long,
        "burn_short": alarm.burn_short,
        "long_s": alarm.long_s,
        "short_s": alarm.short_s,
        "judged": alarm.judged,
        "missed": alarm.missed,
        "since": format_instant(alarm.since_us),
    }


def alarm_event(
    workspace: str, seq: int, now_us: int, alarm: Alarm, before: Alarm | None
) -> Emitted:
    """The event that it begins, or (with `before`) that it has ended."""
    about = alarm if before is None else before
    data = {"workspace": workspace, "seq": seq, "at": format_instant(now_us), **shown_alarm(about)}
    kind = FIRING if alarm.firing else RESOLVED
    return Emitted(seq, kind, "", f"burn:{alarm.key}", _JSON.encode(data))
