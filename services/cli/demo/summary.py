"""The demo's live summary: a table that stays in place in a terminal, else a line now and then."""

import asyncio

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli.demo.figures import Figures, Reader
from shared.contracts.problems import Refused

TABLE_EVERY_S = 1.0
LINE_EVERY_S = 5.0
PATIENCE_S = 5.0


async def summarise(reader: Reader, out: Console) -> None:
    """Show figures until cancelled."""
    if out.is_terminal:
        await _in_place(reader, out)
    else:
        await _line_by_line(reader, out)


async def _in_place(reader: Reader, out: Console) -> None:
    with Live(console=out, auto_refresh=False, transient=True) as live:
        while True:
            found = await _figures(reader)
            live.update(Text(found) if isinstance(found, str) else screen(found), refresh=True)
            await asyncio.sleep(TABLE_EVERY_S)


async def _line_by_line(reader: Reader, out: Console) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        found = await _figures(reader)
        shown = found if isinstance(found, str) else line(found)
        out.print(shown, highlight=False, markup=False, soft_wrap=True)


async def _figures(reader: Reader) -> Figures | str:
    """What there is to show; in words where the services cannot say."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except Refused as refused:
        return f"no figures just now: {refused.detail}"
    except (OSError, TimeoutError):
        return "no figures just now: the services do not answer"


def line(figures: Figures) -> str:
    """The figures in one line."""
    parts = (
        f"waiting {figures.total('waiting') + figures.total('offered')}",
        f"assigned {figures.total('assigned')}",
        f"served {figures.served}",
        f"first response {_seconds(figures.first_response_s)}",
        f"breaches {figures.breaches}",
        f"escalated {figures.escalated}",
        f"abandoned {figures.abandoned}",
        f"dead letters {figures.dead_letters}",
    )
    return " · ".join(parts)


def screen(figures: Figures) -> Group:
    """The latest events, a row per queue, and what concerns all of them."""
    return Group(*(Text(one) for one in figures.recent), _table(figures), Text(line(figures)))


def _table(figures: Figures) -> Table:
    shown = Table()
    shown.add_column("queue")
    for name in ("waiting", "offered", "assigned", "wrapping"):
        shown.add_column(name, justify="right")
    for queue, one in figures.queues.items():
        counts = (one.waiting, one.offered, one.assigned, one.wrapping)
        shown.add_row(queue, *(str(count) for count in counts))
    return shown


def _seconds(span_s: float | None) -> str:
    return "–" if span_s is None else f"{span_s:.1f} s"
