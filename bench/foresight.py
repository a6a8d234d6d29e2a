"""How good what customers and supervisors are told is: estimates of waits against the waits, breaches
foretold against breaches. Simulated days on the cores that production runs, with loads that change."""

import contextlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import yaml

from services.cli.simulate import _read, _yaml  # pyright: ignore[reportPrivateUsage]
from services.cli.simulated_clocks import ClockMaker, Clocks, clocks_for
from services.router.simulate.centre import hired
from services.router.simulate.replication import Replication
from shared.contracts.core import Emitted, Input, Outcome

DAYS = 2
HOURS = 8
PER_H = [150, 250, 330, 280, 330, 390, 300, 150]  # of 15 agents with 180 s: occupancy 0.5 to 1.3
TARGET_S = 60
SCENARIO: dict[str, Any] = {
    "version": "omniroute/scenario/v1",
    "workspace": {
        "version": "omniroute/v1",
        "workspace": "day",
        "channels": {"chat": {"cost": 100}},
        "queues": [{"id": "main", "select": "longest_idle"}],
        "calendars": [{"id": "always", "timezone": "UTC", "always_open": True}],
        "sla_policies": [
            {
                "id": "all",
                "calendar": "always",
                "targets": {"first_response": {"target_s": TARGET_S}},
            }
        ],
        "escalations": [
            {
                "id": "late",
                "levels": [
                    {
                        "name": "breached",
                        "when": {"sla": {"metric": "first_response", "breached": True}},
                        "do": [{"raise_priority": 0}],
                    }
                ],
            }
        ],
        "policies": [
            {"id": "default", "rules": [{"escalation": "late", "steps": [{"queue": "main"}]}]}
        ],
    },
    "seed": 1,
    "replications": DAYS,
    "horizon_s": HOURS * 3600,
    "periods_s": [hour * 3600 for hour in range(1, HOURS + 1)],
    "staff": [{"group": "all", "count": 15, "agent": {"capacity": 100, "channels": {"chat": 1}}}],
    "contacts": [
        {
            "class": "chat",
            "task": {"channel": "chat"},
            "arrivals": {"poisson_per_h": PER_H},
            "service": {"lognormal": {"mean_s": 180, "sd_s": 120}},
            "patience": {"exponential": {"mean_s": 600}},
        }
    ],
    "report": {"within_s": [20]},
}


class _Told(msgspec.Struct):
    estimated_s: float | None = None
    actual_s: float | None = None
    predicted: bool = False


_TOLD = msgspec.json.Decoder(_Told)


class Watched(Clocks):
    """The clocks of a day, which hear estimates too, and keep what had been told."""

    waits: list[tuple[float, float]]
    ends: Counter[tuple[str, bool]]

    def follow(self, now_us: int, events: list[Emitted]) -> list[Input]:
        found: list[Input] = []
        for event in events:
            if event.type == "routing.task.assigned.v1":
                self._keep_wait(_TOLD.decode(event.data))
            if event.type.startswith("routing.task."):
                found += self._apply(now_us, Input("event", event.type, event.data))
        return found

    def _keep_wait(self, told: _Told) -> None:
        if told.estimated_s is not None and told.actual_s is not None:
            self.waits.append((told.estimated_s, told.actual_s))

    def _tell(self, outcome: Outcome) -> list[Input]:
        for event in outcome.events:
            name = event.type.removeprefix("sla.clock.").removesuffix(".v1")
            if name in ("met", "breached"):
                self.ends[name, _TOLD.decode(event.data).predicted] += 1
        return super()._tell(outcome)


def watching(maker: ClockMaker, waits: list[tuple[float, float]], ends: Counter[tuple[str, bool]]):
    def opened(seed: int) -> Watched:
        made = maker(seed)
        watched = Watched(made._core, made._told)  # pyright: ignore[reportPrivateUsage]
        watched.waits, watched.ends = waits, ends
        return watched

    return opened


def run() -> dict[str, Any]:
    waits: list[tuple[float, float]] = []
    ends: Counter[tuple[str, bool]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(yaml.safe_dump(SCENARIO))
        scenario, document = _read(_yaml(path), path.parent)
    maker = clocks_for(document, scenario)
    assert isinstance(maker, ClockMaker), "a level waits for a clock"
    for number in range(DAYS):
        Replication(scenario, number, hired(scenario), watching(maker, waits, ends)).run()
    return {"estimates": of_waits(waits), "breaches": of_breaches(ends)}


def of_waits(waits: list[tuple[float, float]]) -> dict[str, float]:
    off = sorted(abs(actual - told) for told, actual in waits)
    n = max(1, len(waits))
    return {
        "n": len(waits),
        "mean_wait_s": sum(actual for _, actual in waits) / n,
        "mean_told_s": sum(told for told, _ in waits) / n,
        "mean_error_s": sum(off) / n,
        "median_error_s": off[len(off) // 2] if off else 0.0,
        "p90_error_s": off[int(len(off) * 0.9)] if off else 0.0,
    }


def of_breaches(ends: Counter[tuple[str, bool]]) -> dict[str, float | None]:
    foretold, missed = ends["breached", True], ends["breached", False]
    false = ends["met", True]
    with contextlib.suppress(ZeroDivisionError):
        return {
            "clocks": sum(ends.values()),
            "breached": foretold + missed,
            "foretold_of_breached": foretold / (foretold + missed),
            "breached_of_foretold": foretold / (foretold + false),
        }
    return {"clocks": sum(ends.values()), "breached": foretold + missed}


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(run()), indent=1).decode())
