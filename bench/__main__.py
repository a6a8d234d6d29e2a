"""`python -m bench [name …]`: measure, print a table, and append a line per figure to the history."""

import argparse
import os
import signal
import sys
from collections.abc import Callable

from rich.console import Console

from bench import (
    clocks,
    deadlines,
    desks,
    explanation,
    figures_query,
    language,
    latency,
    mail,
    posts,
    rates,
    router,
    simulate,
    volume,
)
from bench.core import run as core
from bench.figures import Figure, cores, keep, show, told
from shared.testing.kafka import why_no_kafka

Bench = Callable[[], list[Figure]]

BENCHES: dict[str, tuple[Bench, bool, str]] = {
    "post": (posts.one, True, "POST events, one event each, against a bare endpoint"),
    "batch": (posts.batches, True, "POST events, batches, against a bare endpoint"),
    "webhook": (posts.webhooks, True, "vendors' signed webhooks, against a bare endpoint"),
    "core": (core, False, "the router's core alone, 50 skills, 10,000 tasks waiting"),
    "simulate": (
        simulate.run,
        False,
        "contacts a second of omniroute simulate, rules and journal on",
    ),
    "explanation": (
        explanation.run,
        False,
        f"explanations among {explanation.AGENTS:,} agents and {explanation.WAITING:,} tasks, cold",
    ),
    "deadlines": (deadlines.run, False, "business-time deadlines on a cached calendar"),
    "language": (language.run, False, "the language of a chat message"),
    "mail": (mail.run, False, "mails of 10 KB, from bytes to an event"),
    "latency": (latency.run, False, "event posted to offer in the long-poll, one process"),
    "rates": (rates.run, False, "CPU time of an event in one process, at three rates"),
    "desks": (desks.run, False, f"{desks.AGENTS:,} agents at their desktops, one process"),
    "burst": (router.burst, True, "new conversations into free capacity, Kafka and PostgreSQL"),
    "lives": (router.lives, True, "event, offer, accept, complete; Kafka and PostgreSQL"),
    "memory": (router.soak, True, f"memory and disk over {router.SOAK_EVENTS:,} events"),
    "volume": (volume.run, False, "what remembering every event for eight days costs"),
    "figures": (figures_query.run, False, f"figures over {figures_query.FEW:,} finished clocks"),
    "clocks": (clocks.run, False, f"{clocks.CLOCKS:,} running clocks in one process, no database"),
    "figures-full": (
        figures_query.full,
        False,
        f"figures over {figures_query.MANY:,} finished clocks",
    ),
    "soak": (lambda: router.soak(1_000_000), True, "the same over 1,000,000 events"),
}
LONG = {"desks", "explanation", "rates", "soak", "figures", "figures-full", "clocks"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    parser.add_argument("--no-history", action="store_true", help="do not append to the history")
    options = parser.parse_args()
    # So that what was started is also ended when the bench is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unknown = set(options.names) - BENCHES.keys()
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(BENCHES)}")
    console = Console(width=120)
    console.print(f"{cores()} cores; load, broker, server and PostgreSQL share them")
    figures: list[Figure] = []
    for name in options.names or [each for each in BENCHES if each not in LONG]:
        figures += _run(console, name, not options.no_history)
    show(console, figures)


def _run(console: Console, name: str, kept: bool) -> list[Figure]:
    run, on_kafka, says = BENCHES[name]
    if on_kafka and (reason := why_no_kafka()) is not None:
        console.print(f"{name}: skipped, {reason}")
        return []
    console.print(f"[bold]{name}[/]: {says}")
    load = os.getloadavg()[0]
    figures = run()
    for figure in figures:
        console.print(f"  {told(figure)}", highlight=False)
    if kept:
        keep(name, figures, load)
    return figures


if __name__ == "__main__":
    main()
