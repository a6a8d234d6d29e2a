"""Every metric that dashboards, alerts and documents name is one that the code publishes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# How Prometheus names what a kind of metric publishes.
SUFFIXES = {
    "Counter": ("_total",),
    "Gauge": ("",),
    "Histogram": ("_bucket", "_count", "_sum"),
    "Summary": ("_count", "_sum"),
}
NAMED = re.compile(r"omniroute_[a-z0-9_]+")


def published() -> Iterator[tuple[str, str]]:
    """(kind, name) of each metric in the code."""
    for path in [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            kind = getattr(node.func, "id", getattr(node.func, "attr", ""))
            name = node.args[0]
            if kind in SUFFIXES and isinstance(name, ast.Constant):
                yield kind, str(name.value)


METRICS = sorted(set(published()))
QUERIED = {name + suffix for kind, name in METRICS for suffix in SUFFIXES[kind]}
DEPLOYED = [path for path in sorted(ROOT.glob("deploy/**/*")) if path.suffix in (".json", ".yaml")]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def test_there_is_something_to_compare() -> None:
    assert ("Gauge", "omniroute_sla_burn_alert") in METRICS
    assert any(NAMED.search(path.read_text()) for path in DEPLOYED)


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.name)
def test_what_is_queried_is_published(path: Path) -> None:
    expressions = [line for line in path.read_text().splitlines() if "expr" in line]
    named = {name for line in expressions for name in NAMED.findall(line)}
    assert named <= QUERIED, sorted(named - QUERIED)


@pytest.mark.parametrize("path", [*DEPLOYED, *DOCUMENTS], ids=lambda path: path.name)
def test_what_is_told_is_published(path: Path) -> None:
    """Text may also use a histogram's plain name."""
    known = QUERIED | {name for kind, name in METRICS if kind == "Histogram"}
    named = set(NAMED.findall(path.read_text()))
    assert named <= known, sorted(named - known)
