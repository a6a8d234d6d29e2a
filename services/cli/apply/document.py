"""`workspace.yaml`: read, checked as far as it can be without a server, in the order of applying."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from services.cli.apply import kinds
from services.cli.apply.tests_form import read_tests
from shared.calendars.overlaps import merge_overlaps
from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Fault, Refused

VERSION = "omniroute/v1"
MAX_BYTES = 10 * 1024 * 1024
SETTINGS = ("timezone", "languages", "channels", "lease_s", "rate")


class Entry(msgspec.Struct, frozen=True):
    """One resource. `body` is as written (connectors with their secrets by reference); `canonical`
    is what a server shows of it. `pointer` is its place in the file; `warnings` say what was
    changed in reading it."""

    kind: str
    id: str
    body: dict[str, Any]
    canonical: dict[str, Any]
    pointer: str
    warnings: list[str] = []


class Document(msgspec.Struct, frozen=True):
    """`settings` are the workspace's own; `entries` are in the order in which they refer to each
    other; `tests` are the file's."""

    workspace: str
    settings: dict[str, Any]
    entries: list[Entry]
    tests: list[dict[str, Any]]

    def of(self, kind: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == kind]


def read_document(path: Path) -> Document:
    """The file's content. Raises Refused (validation) with every fault, by pointer; OSError."""
    text = path.read_bytes()
    if len(text) > MAX_BYTES:
        raise Refused("too-large", f"{path} has {len(text)} bytes; at most {MAX_BYTES} are read.")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refused("validation", f"{path} is not YAML: {error}") from error
    return parse_document(content)


def parse_document(content: Any) -> Document:
    """YAML's or JSON's values -> document. Raises Refused (validation)."""
    if not isinstance(content, dict):
        raise Refused("validation", "The file is not a mapping.")
    given = cast("dict[str, Any]", content)
    faults = _head_faults(given)
    entries: list[Entry] = []
    for section, kind in kinds.SECTIONS.items():
        found, wrong = _section(section, kind, given.get(section))
        entries += found
        faults += wrong
    settings = {name: given[name] for name in SETTINGS if name in given}
    faults += kinds.settings_faults(settings)
    tests, wrong = read_tests(given.get("tests"))
    faults += wrong
    if faults:
        number = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise Refused("validation", f"The file has {number}.", errors=faults)
    return Document(given["workspace"], settings, entries, tests)


def _head_faults(given: Mapping[str, Any]) -> list[Fault]:
    known = ("version", "workspace", *SETTINGS, *kinds.SECTIONS, "tests")
    faults = [
        Fault(f"/{name}", "unknown_field", f"Unknown field {name!r}.", _nearest(str(name), known))
        for name in given
        if name not in known
    ]
    if given.get("version") != VERSION:
        faults.append(Fault("/version", "version", "The file's version is not known.", VERSION))
    name = given.get("workspace")
    if not isinstance(name, str) or not CLIENT_ID.match(name):
        faults.append(Fault("/workspace", "id", "The workspace has no id.", "[A-Za-z0-9_-]{1,64}"))
    return faults


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, 1)
    return close[0] if close else ", ".join(known)


def _too_many(section: str, kind: str, count: int) -> list[Fault]:
    most = kinds.MOST[kind]
    if count <= most:
        return []
    message = f"There are {count} {section} in the file, more than a workspace may have."
    return [Fault(f"/{section}/{most}", "limit", message, f"at most {most}")]


def _section(section: str, kind: str, content: Any) -> tuple[list[Entry], list[Fault]]:
    if content is None:
        return [], []
    if not isinstance(content, list):
        return [], [Fault(f"/{section}", "type", f"{section!r} is not a list.", "- {id: …}")]
    entries: list[Entry] = []
    faults = _too_many(section, kind, len(cast("list[Any]", content)))
    seen: set[str] = set()
    for index, one in enumerate(cast("list[Any]", content)):
        pointer = f"/{section}/{index}"
        name = cast("dict[str, Any]", one).get("id") if isinstance(one, dict) else None
        if not isinstance(name, str) or not CLIENT_ID.match(name):
            told = "The entry has no id." if name is None else f"{name!r} is no id."
            faults.append(Fault(f"{pointer}/id", "id", told, "1 to 64 of A-Z a-z 0-9 _ -"))
            continue
        if name in seen:
            faults.append(Fault(f"{pointer}/id", "duplicate", f"{name!r} is there twice.", None))
        seen.add(name)
        body, warnings = cast("dict[str, Any]", one), list[str]()
        if kind == "calendar":
            body, warnings = merge_overlaps(body, pointer)
        canonical, wrong = kinds.canonical(kind, body, name)
        faults += [msgspec.structs.replace(each, pointer=pointer + each.pointer) for each in wrong]
        entries.append(Entry(kind, name, body, canonical or {}, pointer, warnings))
    return entries, faults
