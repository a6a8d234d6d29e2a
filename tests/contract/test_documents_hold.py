"""README and docs against the code: settings, calls with their parameters, commands with their options,
files and links that they name, and settings that they leave out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from prometheus_client import CollectorRegistry

from services.channels.api.routers import ROUTERS as CHANNELS
from services.cli.app import app
from services.router.api.routers import ROUTERS as ROUTER
from services.sla.api.routers import ROUTERS as SLA
from shared.http.app import create_app
from shared.http.idempotency import MemoryReplies
from shared.http.platform_api import platform_router
from shared.http.tickets import MemoryTickets

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
# Of who calls, and of benchmarks.
OF_OTHERS = {"OMNIROUTE_TOKEN", "OMNIROUTE_BENCH_SAMPLES"}
CALL = re.compile(r"`(GET|PUT|POST|DELETE) (/?[a-z][^ `]*)[^`]*`")
COMMAND = re.compile(r"omniroute ([a-z]+)((?: +(?:--?[a-z-]+|[A-Za-z0-9_.\[\]]+))*)")


def document(path: Path) -> str:
    return path.read_text()


def each(pattern: re.Pattern[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in DOCUMENTS:
        for found in pattern.findall(document(path)):
            yield path.name, found


# -- settings


def settings_in_code() -> set[str]:
    tree = ast.parse((ROOT / "shared/settings.py").read_text())
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "take"
        and isinstance(node.args[0], ast.Constant)
    }


def settings_in_table() -> set[str]:
    """The first column; `OMNIROUTE_MAIL_TLS_CERT`, `_KEY` are two that share a beginning."""
    table = document(ROOT / "docs/operations.md").partition("## Settings")[2].partition("\n## ")[0]
    known = settings_in_code()
    named = set[str]()
    for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE):
        first, *others = re.findall(r"`([A-Z_]+)`", row)
        named.add(first)
        for other in others:
            beginnings = [first[:end] for end in range(len(first), 0, -1)]
            full = (b + other for b in beginnings if other.startswith("_") and b + other in known)
            named.add(next(full, other))
    return named


def test_every_setting_is_in_the_table_and_the_table_has_no_other() -> None:
    assert settings_in_table() == settings_in_code()


def test_settings_that_are_named_anywhere_exist() -> None:
    known = settings_in_code() | OF_OTHERS
    texts = [*DOCUMENTS, *ROOT.glob("deploy/**/*.yaml")]
    named = {
        name for path in texts for name in re.findall(r"\bOMNIROUTE_[A-Z_]+[A-Z]\b", document(path))
    }
    assert named <= known, named - known


# -- calls


def described() -> dict[tuple[str, str], set[str]]:
    """(method, path with every name as {}) -> its query parameters."""
    routers = [
        platform_router(None, MemoryTickets(), MemoryReplies()),  # pyright: ignore[reportArgumentType]
        *CHANNELS, *ROUTER, *SLA,
    ]  # fmt: skip

    async def ready() -> dict[str, bool | str]:
        return {}

    whole = create_app(
        "Omniroute", "", routers,
        version="1", access=None, ready=ready, registry=CollectorRegistry(),  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    found: dict[tuple[str, str], set[str]] = {}
    for path, methods in whole.openapi()["paths"].items():
        for method, one in methods.items():
            asked = {each["name"] for each in one.get("parameters", ()) if each["in"] == "query"}
            found[method.upper(), _plain(path.removeprefix("/v1/workspaces/{workspace}"))] = asked
    return found | {("GET", "/metrics"): set()}


def _plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_calls_that_are_named_exist_with_their_parameters() -> None:
    calls = described()
    named = list(each(CALL))
    assert len(named) > 30
    for where, (method, target) in named:
        path, _, query = target.partition("?")
        path = path.removeprefix("/v1/workspaces/{workspace}")
        key = (method, _plain(path if path.startswith("/") else f"/{path}"))
        assert key in calls, (where, method, target)
        for pair in query.split("&") if query else ():
            assert pair.partition("=")[0] in calls[key], (where, target)


# -- commands


def test_commands_and_options_that_are_named_exist() -> None:
    group = typer.main.get_command(app)
    commands = {
        name: {option for parameter in one.params for option in parameter.opts}
        for name, one in group.commands.items()  # type: ignore[attr-defined]
    }
    named = list(each(COMMAND))
    assert len(named) > 10
    for where, (name, line) in named:
        if name not in commands:
            assert not re.search(r"(?:^|\s)--", line), (where, name, line)
            continue
        for option in re.findall(r"(?:^|\s)(--?[a-z][a-z-]*)", line):
            assert option in commands[name], (where, name, option)


# -- files and links


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document(path)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    named = r"`((?:bench|deploy|docs|services|shared|tests)/[\w./-]+)`"
    for name in re.findall(named, document(path)):
        assert (ROOT / name).exists(), name
