"""What `omniroute simulate` tells: tables of a report."""

from typing import Any

from rich.console import Console
from rich.table import Table

from services.cli.simulate import Simulated
from services.router.simulate.report import CLOCK_COUNTS

Shown = dict[str, Any]
# figure, its name in tables, how it is told
_FIGURES = (
    ("arrived", "arrived", "count"),
    ("served", "served", "count"),
    ("abandoned", "abandoned", "count"),
    ("blocked", "blocked", "count"),
    ("retried", "tried again", "count"),
    ("p_wait", "waited", "share"),
    ("wait_s", "wait, s", "span"),
    ("wait_served_s", "wait of served, s", "span"),
    ("queue_length", "queue length", "span"),
)


def tell(done: Simulated, out: Console) -> None:
    """Classes, service level, periods and groups, each figure with its half-width."""
    report = done.report
    for doubt in done.doubts:
        said = f"[yellow]look[/] {doubt.pointer}: {doubt.message}"
        out.print(said, highlight=False, soft_wrap=True)
    run = report["run"]
    share = f"{run['confidence']:.0%}"
    title = f"{report['name'] or 'simulation'}: {run['replications']} replications, ± at {share}"
    out.print(_contacts(title, {**report["classes"], "total": report["total"]}))
    if len(report["total"]["by_period"]) > 1:
        out.print(_periods(done))
    out.print(_groups(report))
    if "clocks" in report:
        out.print(_clocks(report["clocks"]))
    out.print(_run(run), highlight=False)


def _contacts(title: str, columns: dict[str, Shown]) -> Table:
    """A column for each class: the tables of many classes are long, not wide."""
    table = _table(title, "", *columns)
    for key, name, kind in _FIGURES:
        table.add_row(name, *(told(figures[key], kind) for figures in columns.values()))
    for limit, first in next(iter(columns.values()))["within"].items():
        table.add_section()
        for name in first["service_level"]:
            levels = [each["within"][limit]["service_level"][name] for each in columns.values()]
            cells = [told(one, "share") for one in levels]
            table.add_row(f"within {limit} s, {_words(name)}", *cells)
    return table


def _periods(done: Simulated) -> Table:
    table = _table(
        "by period of arrival",
        "until, s",
        "arrived",
        "served",
        "abandoned",
        "wait, s",
        "queue length",
    )
    for place, figures in enumerate(done.report["total"]["by_period"]):
        until = done.scenario.span(place)[1] / 1e6
        keys = ("arrived", "served", "abandoned")
        table.add_row(
            f"{until:,.0f}",
            *(told(figures[key], "count") for key in keys),
            told(figures["wait_s"], "span"),
            told(figures["queue_length"], "span"),
        )
    return table


def _groups(report: Shown) -> Table:
    classes = list(report["classes"])
    table = _table(
        "groups", "group", "occupancy", "staffed, h", *(f"served {one}" for one in classes)
    )
    for name, figures in report["groups"].items():
        staffed = figures["staffed_s"]["mean"]
        served = figures["served_by_class"]
        table.add_row(
            name,
            told(figures["occupancy"], "share"),
            "" if staffed is None else f"{staffed / 3600:,.1f}",
            *(told(served[one], "count") for one in classes),
        )
    return table


def _clocks(clocks: dict[str, Shown]) -> Table:
    table = _table("clocks", "metric", *CLOCK_COUNTS)
    for metric, figures in clocks.items():
        table.add_row(metric, *(told(figures[name], "count") for name in CLOCK_COUNTS))
    return table


def _run(run: Shown) -> str:
    speed = f"{run['contacts_per_s']:,.0f} contacts/s" if run["contacts_per_s"] else ""
    return (
        f"{run['contacts']:,} contacts, {run['inputs']:,} inputs of the core in {run['wall_s']:.1f} s"
        f" ({speed}); seed {run['seed']}"
    )


def told(figure: Shown, kind: str) -> str:
    """A figure with its half-width: as many digits as mean something."""
    mean, half = figure["mean"], figure["half_width"]
    if mean is None:
        return "–"
    digits = {"share": 1, "span": 2, "count": 1}[kind]
    scale, sign = (100, " %") if kind == "share" else (1, "")
    text = f"{mean * scale:,.{digits}f}"
    return f"{text}{sign}" if half is None else f"{text} ± {half * scale:,.{digits}f}{sign}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
