"""Every metric that dashboards, alerts and documents name is one that the code publishes."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# How Prometheus names what a kind of metric publishes.
SUFFIXES = {
    "Counter": ("_total",),
    "Gauge": ("",),
    "Histogram": ("_bucket", "_count", "_sum"),
    "Summary": ("_count", "_sum"),
}
SUFFIXES |= {f"{kind}MetricFamily": suffixes for kind, suffixes in SUFFIXES.items()}
TREES = [
    ast.parse(text)
    for path in [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]
    if "prometheus_client" in (text := path.read_text())
]
NAMED = re.compile(r"omniroute_[a-z0-9_]+")


def published() -> Iterator[tuple[str, str]]:
    """(kind, name) of each metric in the code."""
    for tree in TREES:
        for node in ast.walk(tree):
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


def labels_of() -> Iterator[tuple[str, set[str]]]:
    """(name, its labels) of each metric in the code; `le` of histograms, too."""
    for tree in TREES:
        named = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            kind = getattr(node.func, "id", getattr(node.func, "attr", ""))
            name = node.args[0]
            if kind not in SUFFIXES or not isinstance(name, ast.Constant):
                continue
            given: ast.expr | None = node.args[2] if len(node.args) > 2 else None
            for keyword in node.keywords:
                given = keyword.value if keyword.arg in ("labels", "labelnames") else given
            labels = set(texts(given, named))
            for suffix in SUFFIXES[kind]:
                yield f"{name.value}{suffix}", labels | ({"le"} if suffix == "_bucket" else set())


def texts(given: ast.expr | None, named: dict[str, ast.expr]) -> Iterator[str]:
    """The texts of a tuple, which may be named and hold others."""
    if isinstance(given, ast.Constant):
        yield str(given.value)
    elif isinstance(given, ast.Name):
        yield from texts(named[given.id], named)
    elif isinstance(given, ast.Starred):
        yield from texts(given.value, named)
    elif isinstance(given, ast.Tuple | ast.List):
        for one in given.elts:
            yield from texts(one, named)


LABELS = dict(labels_of())
# What Prometheus adds to whatever it reads.
SCRAPED = {"instance", "job"}
SELECTED = re.compile(r"(omniroute_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def expressions() -> Iterator[tuple[str, str, str]]:
    """(where, PromQL, text that may quote labels of its result)."""
    for path in DEPLOYED:
        if path.parent.name == "alerts":
            for group in yaml.safe_load(path.read_text())["groups"]:
                for rule in group["rules"]:
                    yield rule["alert"], rule["expr"], str(rule["annotations"])
        elif path.parent.name == "grafana":
            for panel in json.loads(path.read_text())["panels"]:
                for target in panel.get("targets", ()):
                    yield panel["title"], target["expr"], target.get("legendFormat", "")


@pytest.mark.parametrize(("where", "query", "told"), list(expressions()))
def test_labels_that_are_asked_for_are_published(where: str, query: str, told: str) -> None:
    metrics = set(NAMED.findall(query))
    assert metrics, where
    known = set[str]().union(*(LABELS[name] for name in metrics)) | SCRAPED
    for name, selection in SELECTED.findall(query):
        asked = set(re.findall(r"(\w+)\s*[=!]~?", selection))
        assert asked <= LABELS[name] | SCRAPED, (where, name)
    for group in GROUPED.findall(query):
        assert {one.strip() for one in group.split(",") if one.strip()} <= known, where
    quoted = re.findall(r"\$labels\.(\w+)", told) + re.findall(r"\{\{(\w+)\}\}", told)
    assert set(quoted) <= known, where


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_alert_has_a_section_that_tells_what_to_do() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^#+ (.+)\n+((?:(?!#).*\n?)+)", runbook, re.MULTILINE))
    alerts = [
        rule
        for path in DEPLOYED
        if path.parent.name == "alerts"
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    assert alerts
    for rule in alerts:
        assert len(sections.get(rule["alert"], "")) > 80, rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{anchor(rule['alert'])}"
