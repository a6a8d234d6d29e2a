"""`omniroute`: the commands, and what they say when they cannot go on."""

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import structlog
import typer
from rich.console import Console
from rich.markup import escape

from services.cli.complaints import JSON, Command, explained, say
from shared.settings import Settings, read_settings

T = TypeVar("T")

FORCE_AFTER_S = 1.0

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()
err = Console(stderr=True)

Target = Literal["all", "channels", "router", "sla"]
RoleName = Literal["platform", "agent", "supervisor", "ops", "admin"]


def command(work: Callable[..., Awaitable[T]]) -> Callable[..., T]:
    """An async command as typer wants it, with uvloop and explained errors."""

    @functools.wraps(work)
    def run(*arguments: Any, **options: Any) -> T:
        with explained(err, as_json=bool(options.get("as_json"))):
            return run_async(work(*arguments, **options))

    return run


def run_async(work: Awaitable[T]) -> T:
    import uvloop

    async def main() -> T:
        return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


@app.command()
@command
async def up(
    target: Annotated[Target, typer.Option(help="which services this process runs")] = "all",
    port: Annotated[int | None, typer.Option(help="overrides OMNIROUTE_PORT")] = None,
    demo: Annotated[bool, typer.Option(help="a demo workspace with traffic and agents")] = False,
) -> None:
    """Run the services until interrupted."""
    from services.cli.system import system
    from shared.http.logging import setup_logging

    settings = _settings(port)
    style = "console" if sys.stderr.isatty() else "json"
    setup_logging(_log_level(settings, demo), style)
    for doubt in settings.misspelt:
        structlog.get_logger(__name__).warning("setting.misspelt", why=doubt)
    stopped = _interrupted()
    async with system(settings, target) as running:
        say(out, f"Omniroute ({target}) listens on {running.url}")
        if demo:
            from services.cli.demo.show import demonstrated

            async with demonstrated(running, out):
                await stopped.wait()
        else:
            _say_next(running.url)
            await stopped.wait()
        out.print("stopping …")


def _log_level(settings: Settings, demo: bool) -> str:
    """At a terminal people see what needs them, unless they asked for more."""
    asked = bool(os.environ.get("OMNIROUTE_LOG_LEVEL"))
    return settings.log_level if asked or not (demo or sys.stderr.isatty()) else "warning"


def _interrupted() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM; another one, later than a second, ends the process at once.

    (A parent such as make or a supervisor may pass the first on, so that it comes twice.)
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            loop.call_later(FORCE_AFTER_S, obey)

    def obey() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


def _say_next(url: str) -> None:
    lines = (
        f"  {url}/docs",
        "  omniroute token --workspace NAME --role admin   makes a workspace, and a token to call with",
        "  omniroute apply -f workspace.yaml               sets it up",
        "Ctrl-C stops it; the data stays.",
    )
    for each in lines:
        say(out, each)


def _settings(port: int | None = None) -> Settings:
    settings = read_settings()
    if port is None:
        return settings
    from dataclasses import replace

    moved = f"http://127.0.0.1:{port}"
    advertised = settings.advertised_url
    same = advertised.endswith(f":{settings.port}")
    return replace(settings, port=port, advertised_url=moved if same else advertised)


@app.command()
@command
async def migrate() -> None:
    """Bring the database's schemas to this version."""
    from services.cli.foundation import reachable_database
    from shared.db import migrate as migrations

    async with reachable_database(read_settings()) as url:
        await migrations.upgrade(url)
    out.print("The database is up to date.")


@app.command()
@command
async def token(
    workspace: Annotated[str, typer.Option(help="created when there is none; '*' for all")],
    role: Annotated[RoleName, typer.Option()],
    agent: Annotated[str | None, typer.Option(help="the agent's id, for role agent")] = None,
    name: Annotated[str, typer.Option(help="what the key is called in lists")] = "command line",
) -> None:
    """Make an API key and print its token, and nothing else."""
    from services.cli.foundation import reachable_database
    from services.cli.tokens import make_token

    settings = read_settings()
    async with reachable_database(settings) as url:
        made = await make_token(url, settings, workspace, role, agent, name)
    print(made)


@app.command(cls=Command)
@command
async def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Look at database, bus, shards, spool and dead letters, and say what needs a person."""
    from services.cli.doctor import examine

    findings = await examine(read_settings())
    if as_json:
        print(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            mark = "[green]ok[/]  " if finding.ok else "[red]look[/]"
            found = escape(f"{finding.subject}: {finding.said}")
            out.print(f"{mark} {found}", highlight=False, soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command(cls=Command)
@command
async def replay(
    workspace: Annotated[str, typer.Option(help="whose inputs to apply again")],
    service: Annotated[Literal["router", "sla", "archive"], typer.Option()] = "router",
    until: Annotated[int | None, typer.Option(min=1, help="stop after this input number")] = None,
    dump: Annotated[Path | None, typer.Option(help="write the rebuilt state here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Rebuild a past moment from the stored inputs, and compare with what was stored."""
    from services.cli.replaying import replayed

    report = await replayed(read_settings(), workspace, service, until, dump)
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        say(out, report.said)
    if not report.identical:
        raise typer.Exit(1)


@app.command(cls=Command)
@command
async def renormalise(
    workspace: Annotated[str, typer.Option()],
    connector: Annotated[str, typer.Option(help="the connector whose payloads to read again")],
    since: Annotated[str, typer.Option("--from", help="received from this instant on (RFC 3339)")],
    until: Annotated[str | None, typer.Option("--to", help="and before this one; now")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    url: Annotated[str | None, typer.Option(help="where the channels service answers")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Read kept payloads again through today's codec, and publish new revisions, which only update.

    With OMNIROUTE_TOKEN as the token, else with a key of its own made in the database.
    """
    from services.cli.apply.commands import Addresses, reached
    from services.cli.renormalising import renormalised

    settings = read_settings()
    where = Addresses(url or f"http://127.0.0.1:{settings.port}")
    async with reached(settings, workspace, where) as api:
        report = await renormalised(api, connector, since, until, dry_run, None if as_json else out)
    if as_json:
        print(msgspec.json.encode(report).decode())


@app.command(cls=Command)
@command
async def realign(
    new_log: Annotated[
        bool, typer.Option("--new-log", help="Kafka was replaced: read it from its beginning")
    ] = False,
    yes: Annotated[bool, typer.Option(help="do not ask")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="for machines; with --yes it acts")
    ] = False,
) -> None:
    """Let PostgreSQL and Kafka go on together, after either was set back without the other.

    With all services stopped: after a restore of PostgreSQL from a backup, after Kafka lost records,
    and where a position lies outside the log. Shows first what would move.
    """
    from services.cli.realigning import realigned

    report = await realigned(read_settings(), new_log, yes, None if as_json else out)
    if as_json:
        print(msgspec.json.encode(report).decode())
    if not report.done and not as_json:
        raise typer.Exit(1)


@app.command(cls=Command)
@command
async def apply(
    file: Annotated[
        Path, typer.Option("-f", "--file", help="workspace.yaml", exists=True, dir_okay=False)
    ],
    url: Annotated[str | None, typer.Option(help="where the services answer")] = None,
    router_url: Annotated[str | None, typer.Option(help="the router's own address")] = None,
    sla_url: Annotated[str | None, typer.Option(help="the SLA service's own address")] = None,
    channels_url: Annotated[str | None, typer.Option(help="the channels service's own")] = None,
    check: Annotated[bool, typer.Option(help="only run the file's tests")] = False,
    yes: Annotated[bool, typer.Option(help="do not ask")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for machines; implies --yes")] = False,
) -> None:
    """Show what a workspace file would change, then change it.

    With OMNIROUTE_TOKEN as the token, else with a key of its own made in the database.
    """
    from services.cli.apply import commands

    settings = read_settings()
    base = url or router_url or sla_url or channels_url or f"http://127.0.0.1:{settings.port}"
    where = commands.Addresses(base, router_url, sla_url, channels_url)
    sure = yes or as_json
    await commands.apply(settings, file, where, out, check=check, yes=sure, as_json=as_json)


class _JsonTo(Command):
    """`--json` alone means standard output, `--json FILE` a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spelled: list[str] = []
        for place, one in enumerate(args):
            spelled.append(one)
            if one == JSON and (place + 1 == len(args) or args[place + 1].startswith("-")):
                spelled[-1] = f"{JSON}=-"
        return super().parse_args(ctx, spelled)


@app.command(cls=_JsonTo)
def simulate(
    scenario: Annotated[Path, typer.Argument(help="scenario.yaml", exists=True, dir_okay=False)],
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="[FILE]", help="the report; alone: to stdout")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="a picture of the day")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes side by side; default: one for each core")
    ] = None,
) -> None:
    """Try a centre in virtual time, on the core that production runs.

    The figures are the same with any number of workers.
    """
    with explained(err, as_json=as_json == "-"):
        from services.cli.simulate import asked

        asked(scenario, as_json, png, workers, out, err)


@app.command()
@command
async def export(
    workspace: Annotated[str, typer.Option()],
    url: Annotated[str | None, typer.Option(help="where the services answer")] = None,
    router_url: Annotated[str | None, typer.Option(help="the router's own address")] = None,
    sla_url: Annotated[str | None, typer.Option(help="the SLA service's own address")] = None,
    channels_url: Annotated[str | None, typer.Option(help="the channels service's own")] = None,
) -> None:
    """Write a workspace back in the form of workspace.yaml, to standard output."""
    from services.cli.apply import commands
    from services.cli.apply.export import export as written

    settings = read_settings()
    base = url or router_url or sla_url or channels_url or f"http://127.0.0.1:{settings.port}"
    where = commands.Addresses(base, router_url, sla_url, channels_url)
    async with commands.reached(settings, workspace, where) as api:
        print(await written(api), end="")
