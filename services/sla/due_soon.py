"""Running clocks that are due soon, and those overdue, of one group: what a forecast says of it."""

from datetime import datetime, timedelta

from services.sla.domain import shapes
from services.sla.figures_rows import Waiting

HORIZONS_S = (300, 900, 3600)


class Due:
    """What is due soon, of one group."""

    def __init__(self) -> None:
        self.due = dict.fromkeys(HORIZONS_S, 0)
        self.chance = dict.fromkeys(HORIZONS_S, 0.0)
        self.unknown = dict.fromkeys(HORIZONS_S, 0)
        self.overdue = 0

    def add(self, one: Waiting, now: datetime, chance: float | None) -> None:
        for horizon in HORIZONS_S:
            if is_due(one, now, horizon):
                self.due[horizon] += 1
                self.chance[horizon] += chance or 0.0
                self.unknown[horizon] += chance is None

    def take(self, other: "Due") -> None:
        self.overdue += other.overdue
        for horizon in HORIZONS_S:
            self.due[horizon] += other.due[horizon]
            self.chance[horizon] += other.chance[horizon]
            self.unknown[horizon] += other.unknown[horizon]

    def shown(self) -> shapes.DueSoon:
        """`predicted_to_breach` is the expected number; null where nothing like them has ended."""
        return {
            "due": [
                {
                    "within_s": horizon,
                    "due": self.due[horizon],
                    "predicted_to_breach": round(self.chance[horizon], 2)
                    if self.due[horizon] > self.unknown[horizon] or not self.due[horizon]
                    else None,
                    "not_predicted": self.unknown[horizon],
                }
                for horizon in HORIZONS_S
            ],
            "overdue": self.overdue,
        }


def is_late(one: Waiting, now: datetime) -> bool:
    return one.breached_at is not None or (one.due_at is not None and one.due_at < now)


def is_due(one: Waiting, now: datetime, within_s: int) -> bool:
    return one.due_at is not None and now <= one.due_at < now + timedelta(seconds=within_s)
