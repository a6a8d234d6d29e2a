"""`omniroute renormalise`: a span of raw payloads read again, piece by piece, until it is done."""

import contextlib
from collections.abc import Generator
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.progress import Progress

from services.cli.apply.client import Api

MAX_SHOWN = 20
_COUNTS = ("requests", "events", "published", "changed", "new", "unchanged", "unusable")


class Renormalised(msgspec.Struct):
    """The sums over all pieces, with the first changes and failures that were listed."""

    workspace: str
    connector: str
    dry_run: bool
    run: str = ""
    requests: int = 0
    events: int = 0
    published: int = 0
    changed: int = 0
    new: int = 0
    unchanged: int = 0
    unusable: int = 0
    kept_from: str | None = None
    changes: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []

    def add(self, piece: dict[str, Any]) -> None:
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + piece[name])
        self.run = piece["run"]
        self.kept_from = self.kept_from or piece["kept_from"]
        self.changes += piece["changes"][: max(0, 10 * MAX_SHOWN - len(self.changes))]
        self.failures += piece["failures"][: max(0, MAX_SHOWN - len(self.failures))]


class Shown(Protocol):
    def __call__(self, done: float) -> None: ...


async def renormalised(
    api: Api,
    connector: str,
    since: str,
    until: str | None,
    dry_run: bool,
    out: Console | None,
) -> Renormalised:
    """Asks for piece after piece. `out` None: nothing is shown. Raises Refused, OSError."""
    report = Renormalised(api.workspace, connector, dry_run)
    path = f"/connectors/{connector}:renormalise"
    body: dict[str, Any] = {"from": since, "to": until, "dry_run": dry_run}
    with _progress(out) as show:
        while True:
            piece = await api.call("channels", "POST", path, body)
            report.add(piece)
            show(piece["progress"])
            if piece["next"] is None:
                break
            body = {"cursor": piece["next"]}
    if out is not None:
        _say(report, out)
    return report


@contextlib.contextmanager
def _progress(out: Console | None) -> Generator[Shown]:
    if out is None:
        yield lambda done: None
        return
    with Progress(console=out, transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda done: bar.update(task, completed=done)


def _say(report: Renormalised, out: Console) -> None:
    for one in report.changes[:MAX_SHOWN]:
        what = ", ".join(one["fields"]) or "not seen before"
        out.print(f"{one['message_id']} revision {one['revision']}: {what}", highlight=False)
    if report.changed + report.new > MAX_SHOWN:
        out.print("… (--json lists more)", highlight=False)
    for one in report.failures:
        text = f"[yellow]unusable[/] {one['received_at']} {one['code']}: {one['message']}"
        out.print(text, highlight=False)
    verb = "would be published" if report.dry_run else "published"
    count = report.events if report.dry_run else report.published
    out.print(
        f"{report.requests} payloads, {count} revisions {verb}: {report.changed} messages changed,"
        f" {report.new} new, {report.unchanged} unchanged; {report.unusable} payloads unusable.",
        highlight=False,
        soft_wrap=True,
    )
    if not report.requests:
        kept = f"since {report.kept_from}" if report.kept_from else "none at all"
        out.print(f"Nothing was received then; raw payloads are kept: {kept}.", highlight=False)
