"""A measured figure beside its baseline: how it is printed, judged and kept in history.ndjson."""

import os
import platform
import subprocess
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from shared.contracts.instants import format_instant

HISTORY = Path(__file__).parent / "history.ndjson"


class Figure(msgspec.Struct, omit_defaults=True, kw_only=True):
    """`value` and `baseline` have the same `unit`; `ratio` is value / baseline. `target` is judged on
    the ratio where `of_ratio`, else on the value; `at_most`: smaller is better. None: informs only.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    target: float | None = None
    of_ratio: bool = False
    at_most: bool = False
    more: dict[str, float | str] = {}

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline

    @property
    def met(self) -> bool | None:
        judged = self.ratio if self.of_ratio else self.value
        if self.target is None or judged is None:
            return None
        return judged <= self.target if self.at_most else judged >= self.target


class Line(msgspec.Struct, omit_defaults=True):
    """One line of the history. `load` is the machine's one-minute load average before the bench
    began: what else was running there."""

    at: str
    commit: str
    cores: int
    python: str
    load: float
    bench: str
    figure: Figure
    ratio: float | None
    met: bool | None


def keep(bench: str, figures: list[Figure], load: float) -> None:
    """Append a line per figure to the history."""
    at, commit = format_instant(time.time_ns() // 1000), _commit()
    with HISTORY.open("ab") as history:
        for each in figures:
            ratio = None if each.ratio is None else round(each.ratio, 3)
            line = Line(
                at, commit, cores(), platform.python_version(), load, bench, each, ratio, each.met
            )
            history.write(msgspec.json.encode(line) + b"\n")


def show(console: Console, figures: list[Figure]) -> None:
    """The table that `make bench` ends with."""
    table = Table(title="Omniroute's speed", title_justify="left")
    for column in ("figure", "value", "baseline", "ratio", "target", "met"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for each in figures:
        table.add_row(*_cells(each))
    console.print(table)


def told(each: Figure) -> str:
    """The figure in one line, for while the benches run."""
    text = f"{each.name}: {_number(each.value)} {each.unit}"
    if each.baseline:
        text += f" ({each.ratio:.2f} of {_number(each.baseline)}, {each.baseline_name})"
    facts = ", ".join(f"{name} {_fact(fact)}" for name, fact in each.more.items())
    return f"{text}; {facts}" if facts else text


def cores() -> int:
    return len(os.sched_getaffinity(0))


def _cells(each: Figure) -> tuple[str, ...]:
    sign = "≤" if each.at_most else "≥"
    target = "" if each.target is None else f"{sign} {each.target:g}"
    if target and each.of_ratio:
        target += " of it"
    return (
        each.name,
        f"{_number(each.value)} {each.unit}",
        f"{_number(each.baseline)} {each.baseline_name}" if each.baseline else "",
        f"{each.ratio:.2f}" if each.ratio else "",
        target,
        {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[each.met],
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _fact(fact: float | str) -> str:
    return fact if isinstance(fact, str) else _number(fact)


def _commit() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=HISTORY.parent)
    return done.stdout.strip()
