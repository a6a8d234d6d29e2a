"""What a command says when it cannot go on: lines for people, one JSON document for machines.

Exit status 1; 2 where the command line itself is wrong (`Command`). With --json standard output holds a
problem as HTTP answers have it (RFC 9457), standard error the lines all the same.
"""

import contextlib
from collections.abc import Generator
from typing import Any

import msgspec
import typer
import typer.core
from rich.console import Console
from rich.markup import escape

from shared.contracts.problems import Fault, Problem, Refused
from shared.settings import SettingsError

JSON = "--json"
_USAGE_STATUS = 400


@contextlib.contextmanager
def explained(err: Console, *, as_json: bool = False) -> Generator[None]:
    """Errors that a person can act on, in one line each; exit status 1."""
    from shared.bus.port import BusUnavailable
    from shared.db.embedded import EmbeddedPostgresError
    from shared.db.failures import DatabaseUnavailable, DatabaseUnfit

    try:
        yield
    except SettingsError as error:
        for fault in error.faults:
            _complain(err, "settings", fault)
        _fail(_of_settings(error), as_json, error)
    except Refused as refused:
        _complain(err, refused.kind, refused.detail)
        for fault in refused.errors:
            hint = f" (right: {fault.expected})" if fault.expected else ""
            say(err, f"  {fault.pointer or '/'}: {fault.message}{hint}")
        _fail(refused.problem(), as_json, refused)
    except (DatabaseUnavailable, DatabaseUnfit, BusUnavailable, OSError) as error:
        _complain(err, "error", str(error))
        _fail(_problem("unavailable", 503, str(error)), as_json, error)
    except EmbeddedPostgresError as error:
        _complain(err, "error", str(error))
        _fail(_problem("unavailable", 503, str(error)), as_json, error)


def say(console: Console, text: str) -> None:
    """As it stands, on one line however long: scripts read it, too."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


class Command(typer.core.TyperCommand):
    """A command with --json: what is wrong with its line is told as JSON, too (exit status 2)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        as_json = any(one == JSON or one.startswith(f"{JSON}=") for one in args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # typer brings its own click, and names what both raise for a wrong line nowhere.
            told = getattr(error, "format_message", None)
            if as_json and told is not None:
                _print(_problem("usage", _USAGE_STATUS, told()))
            raise


def _complain(err: Console, kind: str, text: str) -> None:
    err.print(f"[red]{kind}:[/] {escape(text)}", highlight=False, soft_wrap=True)


def _fail(problem: Problem, as_json: bool, cause: Exception) -> None:
    if as_json:
        _print(problem)
    raise typer.Exit(1) from cause


def _print(problem: Problem) -> None:
    print(msgspec.json.encode(problem).decode())


def _problem(kind: str, status: int, detail: str, errors: list[Fault] | None = None) -> Problem:
    return Problem(
        type=f"/problems/{kind}",
        title=kind.capitalize(),
        status=status,
        detail=detail,
        errors=errors or [],
    )


def _of_settings(error: SettingsError) -> Problem:
    """Each fault names its variable: the pointer is into the environment."""
    faults = [
        Fault(f"/{name}", "setting", said.strip())
        for name, _, said in (fault.partition(":") for fault in error.faults)
    ]
    return _problem("settings", _USAGE_STATUS, "The settings have faults.", faults)
