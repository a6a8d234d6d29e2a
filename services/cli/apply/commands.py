"""The commands `apply` and `export`: where the services are, with which token, and what is said."""

import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import typer
from rich.console import Console

from services.cli.apply.checks import Checked, check_tests
from services.cli.apply.client import Api
from services.cli.apply.document import Document, read_document
from services.cli.apply.plan import Change, carry_out, plan
from services.cli.foundation import ready_database
from shared.contracts.problems import not_found
from shared.db.key_store import KeyStore
from shared.db.platform_store import PlatformStore
from shared.settings import Settings

_COLOUR = {"create": "green", "update": "yellow", "keep": "dim"}


class Addresses(msgspec.Struct, frozen=True):
    """Where the services answer; a service without its own address answers at `url`."""

    url: str
    router: str | None = None
    sla: str | None = None
    channels: str | None = None

    def others(self) -> dict[str, str]:
        named = {"router": self.router, "sla": self.sla, "channels": self.channels}
        return {name: url for name, url in named.items() if url}


@contextlib.asynccontextmanager
async def reached(
    settings: Settings, workspace: str, addresses: Addresses, *, create: bool = False
) -> AsyncGenerator[Api]:
    """The API with OMNIROUTE_TOKEN, else with an admin key made for the block and then revoked.

    Without OMNIROUTE_TOKEN a workspace that is not there is made (`create`), or Refused (not-found).
    """
    given = os.environ.get("OMNIROUTE_TOKEN")
    if given:
        async with Api(addresses.url, given, workspace, addresses.others()) as api:
            yield api
        return
    async with ready_database(settings) as engine:
        keys, platform = KeyStore(engine), PlatformStore(engine)
        if create:
            await platform.create_workspace(workspace, settings.partitions)
        elif await platform.workspace(workspace) is None:
            raise not_found("workspace", workspace)
        key, token = await keys.create(workspace, "omniroute apply", "admin")
        try:
            async with Api(addresses.url, token, workspace, addresses.others()) as api:
                yield api
        finally:
            await keys.revoke(workspace, key.id)


async def apply(
    settings: Settings,
    path: Path,
    addresses: Addresses,
    out: Console,
    *,
    check: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Plan, ask, change. With `check` run the file's tests and change nothing."""
    document = read_document(path)
    results = check_tests(document)
    if check or not all(one.passed for one in results):
        _say_checked(results, out, as_json)
        if not all(one.passed for one in results):
            raise typer.Exit(1)
        if check:
            return
    async with reached(settings, document.workspace, addresses, create=True) as api:
        changes = await plan(api, document)
        todo = [one for one in changes if one.verb != "keep"]
        if not as_json:
            _say_plan(changes, out)
        if todo and not yes and not _agreed(out):
            raise typer.Exit(1)
        await _carry_out(api, document, changes, out, as_json)


def _agreed(out: Console) -> bool:
    if not sys.stdin.isatty():
        out.print("Nothing is changed: say --yes to apply without being asked.")
        return False
    return typer.confirm("Apply?")


async def _carry_out(
    api: Api, document: Document, changes: list[Change], out: Console, as_json: bool
) -> None:
    warnings: list[str] = []
    done = 0
    async for one in carry_out(api, changes):
        warnings += one.warnings
        if one.change.verb == "keep":
            continue
        done += 1
        if not as_json:
            colour = _COLOUR[one.change.verb]
            out.print(f"[{colour}]{one.change.verb}d[/] {one.change.title}", highlight=False)
    if as_json:
        report = {
            "workspace": document.workspace,
            "changes": [{"verb": one.verb, "what": one.title} for one in changes],
            "warnings": warnings,
        }
        print(msgspec.json.encode(report).decode())
        return
    for warning in warnings:
        out.print(f"[yellow]warning[/] {warning}", highlight=False)
    out.print(f"{done} changed, {len(changes) - done} kept.", highlight=False)


def _say_plan(changes: list[Change], out: Console) -> None:
    for change in changes:
        if change.verb == "keep":
            continue
        fields = f" ({', '.join(change.fields)})" if change.fields else ""
        colour = _COLOUR[change.verb]
        out.print(f"[{colour}]{change.verb}[/] {change.title}{fields}", highlight=False)
    kept = sum(change.verb == "keep" for change in changes)
    out.print(f"Plan: {len(changes) - kept} to change, {kept} as they are.", highlight=False)


def _say_checked(results: list[Checked], out: Console, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(results).decode())
        return
    for one in results:
        mark = "[green]passed[/]" if one.passed else "[red]failed[/]"
        out.print(f"{mark} {one.name}", highlight=False)
        for fault in one.faults:
            out.print(f"  {fault}", highlight=False)
