"""`omniroute simulate`: a scenario read, run and told."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.apply.document import MAX_BYTES, VERSION, Document, parse_document
from services.cli.simulated_clocks import clocks_for, metrics_of
from services.router.domain.shift_zones import MARK, in_zone
from services.router.simulate import coverage, running
from services.router.simulate.beside import OpenBeside
from services.router.simulate.centre import hired
from services.router.simulate.forms import ScenarioForm
from services.router.simulate.reading import read_scenario
from services.router.simulate.report import report
from services.router.simulate.scenario import Scenario, Written
from services.router.simulate.tally import Sums
from shared.calendars import expand
from shared.calendars.zones import zone_names
from shared.contracts.instants import SECOND_US, parse_instant
from shared.contracts.problems import Fault, Refused, Warn

ARRIVALS_MAX_BYTES = 256 * 1024 * 1024
WORKSPACE = "simulation"
STDOUT = "-"
_ROUTER_KINDS = ("queue", "team", "escalation", "policy", "customer")


class Simulated(msgspec.Struct, frozen=True):
    """A scenario that was run. `sums`: of each replication; `report` as scenario.yaml has it."""

    scenario: Scenario
    sums: list[Sums]
    report: dict[str, Any]
    doubts: list[Warn]


def simulate(path: Path, workers: int, err: Console) -> Simulated:
    """Reads and runs a scenario file. Raises Refused (validation) with every fault, OSError."""
    scenario, document = _read(_yaml(path), path.parent)
    entities = hired(scenario)
    doubts = coverage.look(scenario, entities, metrics_of(document))
    beside = clocks_for(document, scenario)
    started = time.perf_counter()
    sums = _run(scenario, entities, workers, err, beside)
    wall_s = time.perf_counter() - started
    return Simulated(scenario, sums, report(scenario, sums, wall_s), doubts)


def asked(
    path: Path,
    as_json: str | None,
    png: Path | None,
    workers: int | None,
    out: Console,
    err: Console,
) -> None:
    """The command: simulate, then write and tell what was asked for. Raises Refused, OSError."""
    from services.cli.simulated import tell
    from services.cli.simulated_picture import draw

    for written in (as_json, png):
        _check_target(written, path)
    done = simulate(path, workers or len(os.sched_getaffinity(0)), err)
    if png is not None:
        draw(done, png)
    body = msgspec.json.format(msgspec.json.encode(done.report), indent=1).decode()
    if as_json == STDOUT:
        print(body)
        return
    if as_json is not None:
        Path(as_json).write_text(body + "\n")
    tell(done, out)


def _check_target(target: str | Path | None, scenario: Path) -> None:
    """Told before the long work: a place that cannot be written, or the scenario itself."""
    if target is None or target == STDOUT:
        return
    path = Path(target)
    if path.suffix in (".yaml", ".yml") or (path.exists() and path.samefile(scenario)):
        raise Refused("validation", f"The report would overwrite {path}; name another file.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {path.absolute().parent} to write {path.name} to."
        )


def _run(
    scenario: Scenario,
    entities: list[Any],
    workers: int,
    err: Console,
    beside: OpenBeside | None,
) -> list[Sums]:
    columns = (
        TextColumn("replications"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("", total=scenario.replications)

        def done(more: int) -> None:
            progress.advance(bar, more)

        return running.run(scenario, entities, workers, done, beside)


# -- reading


def read_file(path: Path) -> Scenario:
    """Raises Refused (validation), OSError."""
    return read(_yaml(path), path.parent)


def read(content: Any, folder: Path) -> Scenario:
    """A scenario's content; files that it names are looked for from `folder`.

    Raises Refused (validation).
    """
    return _read(content, folder)[0]


def _read(content: Any, folder: Path) -> tuple[Scenario, Document | None]:
    """The scenario, and the workspace as it was written."""
    if not isinstance(content, dict):
        raise Refused("validation", "The scenario is not a mapping.")
    given = cast("dict[str, Any]", content)
    document, pointer = _workspace(given.get("workspace"), folder)
    starts_at, zones = given.get("starts_at"), _zones(given.get("staff"))
    written = [] if document is None else _written(document, pointer, starts_at, zones)
    name = WORKSPACE if document is None else document.workspace

    def read_arrivals(file: str) -> tuple[int, ...]:
        return arrivals_in(folder / file)

    return read_scenario(given, name, written, read_arrivals), document


def _yaml(path: Path) -> Any:
    text = path.read_bytes()
    if len(text) > MAX_BYTES:
        raise Refused("too-large", f"{path} has {len(text)} bytes; at most {MAX_BYTES} are read.")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refused("validation", f"{path} is not YAML: {error}") from error


def _workspace(given: Any, folder: Path) -> tuple[Document | None, str]:
    """The workspace, inline or from its file, and what leads the pointers into it. None where it is
    no mapping: then the scenario's form says so."""
    if not isinstance(given, dict):
        return None, ""
    inline = cast("dict[str, Any]", given)
    if "file" not in inline:
        whole = {"version": VERSION, "workspace": WORKSPACE, **inline}
        return _parsed(whole, "/workspace"), "/workspace"
    if len(inline) > 1 or not isinstance(inline["file"], str):
        message = "A workspace is either written here or in a file."
        fault = Fault("/workspace", "one_of", message, "{file: workspace.yaml}")
        raise Refused("validation", message, errors=[fault])
    file = folder / inline["file"]
    try:
        content = _yaml(file)
    except OSError as error:
        fault = Fault("/workspace/file", "file", f"{error}", "a path from the scenario's folder")
        raise Refused("validation", fault.message, errors=[fault]) from error
    return _parsed(content, f"{inline['file']}:"), f"{inline['file']}:"


def _parsed(content: Any, pointer: str) -> Document:
    try:
        return parse_document(content)
    except Refused as refused:
        errors = [
            msgspec.structs.replace(one, pointer=pointer + one.pointer) for one in refused.errors
        ]
        raise Refused("validation", refused.detail, errors=errors) from refused


def _written(document: Document, pointer: str, starts_at: Any, zones: list[str]) -> list[Written]:
    """The resources that a router takes; agents come from the scenario's staff."""
    settings = _encoded(document.settings)
    found = [Written("workspace", document.workspace, settings, pointer)]
    for one in document.of("calendar"):
        at = pointer + one.pointer
        for name, body in _on_clocks(one.id, one.canonical, document, zones):
            windows = expand(body, _start_us(starts_at)).windows
            found.append(Written("calendar", name, _encoded(body), at, list(windows)))
    for kind in _ROUTER_KINDS:
        for one in document.of(kind):
            at = pointer + one.pointer
            found.append(Written(cast("Any", kind), one.id, _encoded(one.canonical), at))
    return found


def _on_clocks(
    name: str, body: dict[str, Any], document: Document, zones: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calendar, and where it is that of shifts, its hours on the clocks of those who work them."""
    yield name, body
    shifts = [shift for one in document.of("team") for shift in one.canonical.get("shifts") or ()]
    if "calendars" not in body and any(shift["calendar"] == name for shift in shifts):
        for zone in zones:
            yield f"{name}{MARK}{zone}", in_zone(body, zone)


def _zones(staff: Any) -> list[str]:
    """The time zones of the scenario's staff, as far as it is well written."""
    groups = cast("list[Any]", staff) if isinstance(staff, list) else []
    agents = [cast("Any", one).get("agent") for one in groups if isinstance(one, dict)]
    found = [cast("Any", one).get("timezone") for one in agents if isinstance(one, dict)]
    return sorted({zone for zone in found if isinstance(zone, str)} & zone_names())


def _start_us(given: Any) -> int:
    """Where the scenario starts; its own fault is told when the rest of it is read."""
    try:
        return parse_instant(str(given))
    except ValueError:
        return parse_instant(str(ScenarioForm.model_fields["starts_at"].default))


def _encoded(body: Any) -> bytes:
    return msgspec.json.encode(body)


class _Arrival(msgspec.Struct, forbid_unknown_fields=True):
    at_s: float


def arrivals_in(path: Path) -> tuple[int, ...]:
    """NDJSON: a line `{"at_s": 12.5}` or a bare number for each arrival, in any order -> sorted
    microseconds from the start. Raises ValueError with the line, OSError."""
    if path.stat().st_size > ARRIVALS_MAX_BYTES:
        raise ValueError(f"{path} is larger than {ARRIVALS_MAX_BYTES} bytes")
    decoder = msgspec.json.Decoder(_Arrival | float)
    found: list[int] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                found.append(_instant(decoder, line, f"{path}, line {number}"))
    return tuple(sorted(found))


def _instant(decoder: msgspec.json.Decoder[Any], line: bytes, place: str) -> int:
    try:
        given = decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: {error}") from error
    at_s = given.at_s if isinstance(given, _Arrival) else given
    if not 0 <= at_s < 1e12:
        raise ValueError(f"{place}: {at_s} is before the start")
    return round(at_s * SECOND_US)
