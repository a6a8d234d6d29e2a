"""The picture of a simulation: waits, occupancy and queue over the day."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.cli.simulate import Simulated
from services.router.simulate.statistics import Estimate, mean, ratio
from services.router.simulate.tally import cell_edges

Series = list[Estimate]
_HOUR_US = 3_600_000_000
_DPI = 120
_COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#9b8400", "#d44c47", "#5f6b7a")


def draw(done: Simulated, path: Path) -> None:
    """Writes a PNG. The bands are confidence intervals over replications. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scenario = done.scenario
    figure = Figure(figsize=(11, 10), layout="constrained")
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    hours = [edge / _HOUR_US for edge in cell_edges(scenario)]
    classes = [one.name for one in scenario.classes]
    groups = [one.name for one in scenario.groups]
    _panel(top, "mean wait by arrival, s", hours, dict(zip(classes, waits(done), strict=True)))
    _panel(middle, "occupancy", hours, dict(zip(groups, occupancy(done), strict=True)), 1.02)
    _panel(bottom, "contacts waiting", hours, dict(zip(classes, queue(done), strict=True)))
    for axes in (top, middle, bottom):
        for start in scenario.starts_us():
            axes.axvline(start / _HOUR_US, color="#bbbbbb", linewidth=0.8, linestyle=":")
        axes.axvspan(0, scenario.warm_up_us / _HOUR_US, color="#eeeeee", zorder=0)
    bottom.set_xlabel("hours from the start")
    bottom.set_xlim(0, scenario.horizon_us / _HOUR_US)
    count, share = len(done.sums), f"{scenario.confidence:.0%}"
    band = f", bands: {share} confidence" if count > 1 else ""
    figure.suptitle(f"{scenario.name or 'simulation'} ({count} replications{band})")
    figure.savefig(path, dpi=_DPI, format="png")


def waits(done: Simulated) -> list[Series]:
    """Mean wait in seconds of each class, by cell of arrival."""
    return [
        [
            ratio(
                [one.waits[place][cell] / 1e6 for one in done.sums],
                [one.admitted[place][cell] for one in done.sums],
                done.scenario.confidence,
            )
            for cell in _cells(done)
        ]
        for place in range(len(done.scenario.classes))
    ]


def queue(done: Simulated) -> list[Series]:
    """How many of each class wait, averaged over each cell of time."""
    edges = cell_edges(done.scenario)
    return [
        [
            mean(
                [one.queue[place][cell] / (edges[cell + 1] - edges[cell]) for one in done.sums],
                done.scenario.confidence,
            )
            for cell in _cells(done)
        ]
        for place in range(len(done.scenario.classes))
    ]


def occupancy(done: Simulated) -> list[Series]:
    """Share of each group's time on duty that is work, by cell of time."""
    return [
        [
            ratio(
                [one.busy[place][cell] for one in done.sums],
                [one.staffed[place][cell] for one in done.sums],
                done.scenario.confidence,
            )
            for cell in _cells(done)
        ]
        for place in range(len(done.scenario.groups))
    ]


def _cells(done: Simulated) -> range:
    return range(len(cell_edges(done.scenario)) - 1)


def _panel(
    axes: Any,
    title: str,
    hours: Sequence[float],
    curves: dict[str, Series],
    most: float | None = None,
) -> None:
    """`most`: where the axis ends; without it as high as the curves need, bands cut."""
    for place, (name, series) in enumerate(curves.items()):
        _curve(axes, hours, series, name, _COLOURS[place % len(_COLOURS)])
    highest = max((one.mean or 0.0 for series in curves.values() for one in series), default=0.0)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylim(0, most or 1.4 * highest or 1.0)
    axes.grid(visible=True, axis="y", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _curve(axes: Any, hours: Sequence[float], series: Series, name: str, colour: str) -> None:
    nan = float("nan")
    # Each value holds until the next edge; the last is drawn to the end.
    steps = [*series, series[-1]]
    middle = [nan if one.mean is None else one.mean for one in steps]
    half = [one.half_width or 0.0 for one in steps]
    low = [max(0.0, value - width) for value, width in zip(middle, half, strict=True)]
    high = [value + width for value, width in zip(middle, half, strict=True)]
    axes.plot(hours, middle, drawstyle="steps-post", color=colour, label=name)
    axes.fill_between(hours, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
