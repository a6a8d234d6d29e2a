"""`omniroute realign`: after a restore of PostgreSQL, or a loss in Kafka, both go on together."""

import contextlib
import sys
from collections.abc import AsyncGenerator

import msgspec
import typer
from rich.console import Console

from services.cli.foundation import ready_database
from shared.bus.open import open_bus
from shared.bus.port import Bus, BusUnavailable
from shared.contracts import topics
from shared.runtime import realign
from shared.runtime.realign import Plan
from shared.runtime.store.port import Store, StoreUnavailable
from shared.runtime.store.postgres import PostgresStore
from shared.settings import Settings

__all__ = ["realigned"]


class Report(msgspec.Struct, frozen=True):
    """`done`: it was carried out."""

    done: bool
    plan: Plan


async def realigned(settings: Settings, new_log: bool, yes: bool, out: Console | None) -> Report:
    """Say what would move, ask, and do it. `out` None: nothing is said.

    Raises Refused (services run, or what was lost is taken in already), BusUnavailable.
    """
    async with _parts(settings) as (stores, bus):
        await realign.refuse_while_running(stores, settings.lease_s)
        made = await realign.plan(stores, bus, new_log=new_log)
        if out is not None:
            _say(made, out)
        done = made.is_empty or yes or (out is not None and _agreed(out))
        if done:
            await realign.carry_out(stores, made)
    return Report(done, made)


@contextlib.asynccontextmanager
async def _parts(settings: Settings) -> AsyncGenerator[tuple[dict[str, Store], Bus]]:
    async with ready_database(settings) as engine:
        stores: dict[str, Store] = {name: PostgresStore(engine, name) for name in topics.CONSUMES}
        bus = open_bus(settings.kafka, engine)
        try:
            await bus.start()
            # A new Kafka has none of them yet; a start of the services would make them, too.
            await bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, settings.partitions))
            yield stores, bus
        except StoreUnavailable as away:
            raise BusUnavailable(str(away)) from away
        finally:
            await bus.stop()


def _say(made: Plan, out: Console) -> None:
    lines = [
        f"{each.service} {'trusts its own' if each.own else 'reads'} {each.topic}[{each.partition}]"
        f" from {each.to} on (was {each.position})"
        + (f"; {each.gone} records before it are gone from the log" if each.gone else "")
        for each in made.moves
    ]
    lines += [
        f"{each.service} sends what it wrote to {each.topic}[{each.partition}] again"
        f" from journal position {each.to + 1} on"
        for each in made.rewinds
    ]
    lines += [
        f"{each.service} shard {each.partition} goes on: {each.halted}" for each in made.releases
    ]
    for line in lines or ["Everything stands where it should: nothing has to move."]:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _agreed(out: Console) -> bool:
    if not sys.stdin.isatty():
        out.print("Nothing is changed: say --yes to do it without being asked.")
        return False
    return typer.confirm("Go on?")
