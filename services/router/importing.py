"""Customers from NDJSON or CSV: rows into resources, each judged on its own."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from services.router.resources import parse
from shared.contracts.problems import Fault, Refused

ROWS_MAX = 50_000
BODY_MAX_BYTES = 32 * 1024 * 1024
NDJSON = "application/x-ndjson"
CSV = "text/csv"

_PLAIN = ("id", "name", "tier", "language", "timezone")
_SCHEMES = ("email", "phone")
_ATTRIBUTES = "attributes."
_IDENTITIES = "identity."


class ImportRow(msgspec.Struct, frozen=True):
    """`row` counts from 0; `faults` where it is no customer, else `id` and canonical `body`."""

    row: int
    id: str = ""
    body: bytes = b""
    faults: list[Fault] = []


def rows(body: bytes, content_type: str) -> list[ImportRow]:
    """Every row of the file. Raises Refused where the whole is no such file or too long."""
    if len(body) > BODY_MAX_BYTES:
        raise Refused("too-large", f"The file is larger than {BODY_MAX_BYTES} bytes.")
    given = list(_csv(body) if content_type == CSV else _ndjson(body))
    if len(given) > ROWS_MAX:
        raise Refused("too-large", f"The file has {len(given)} rows; send at most {ROWS_MAX}.")
    return [_row(place, one) for place, one in enumerate(given)]


def _row(place: int, given: dict[str, Any] | Fault) -> ImportRow:
    if isinstance(given, Fault):
        return ImportRow(place, faults=[_placed(place, given)])
    name = given.get("id")
    if not isinstance(name, str):
        missing = Fault("/id", "missing", "the customer has no id", "1 to 64 of A-Z a-z 0-9 _ -")
        return ImportRow(place, faults=[_placed(place, missing)])
    parsed = parse("customer", given, name)
    if parsed.faults:
        return ImportRow(place, name, faults=[_placed(place, one) for one in parsed.faults])
    return ImportRow(place, name, msgspec.json.encode(parsed.canonical))


def _placed(place: int, fault: Fault) -> Fault:
    return msgspec.structs.replace(fault, pointer=f"/{place}{fault.pointer}")


def _ndjson(body: bytes) -> Iterator[dict[str, Any] | Fault]:
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            yield Fault("", "json", f"the row is no JSON object: {error}", "one object a line")


def _csv(body: bytes) -> Iterator[dict[str, Any] | Fault]:
    """Columns id, name, tier, language, timezone, email, phone, `identity.<scheme>`,
    `attributes.<name>`; an empty cell is absent."""
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        names = list(reader.fieldnames or ())
        unknown = [name for name in names if not _is_column(name)]
        if "id" not in names or unknown:
            raise Refused("validation", _columns(unknown), errors=[_column_fault(unknown)])
        for cells in reader:
            yield _from_cells(cells)
    except (UnicodeDecodeError, csv.Error) as error:
        fault = Fault("", "csv", f"the file is no CSV in UTF-8: {error}", "a header, then rows")
        raise Refused("validation", fault.message, errors=[fault]) from error


def _is_column(name: str) -> bool:
    return name in (*_PLAIN, *_SCHEMES) or name.startswith((_ATTRIBUTES, _IDENTITIES))


def _columns(unknown: list[str]) -> str:
    return f"There is no column {unknown[0]!r}." if unknown else "There is no column id."


def _column_fault(unknown: list[str]) -> Fault:
    expected = ", ".join((*_PLAIN, *_SCHEMES, "identity.<scheme>", "attributes.<name>"))
    return Fault("", "columns", _columns(unknown), expected)


def _from_cells(cells: dict[str, Any]) -> dict[str, Any] | Fault:
    if None in cells or None in cells.values():
        return Fault("", "csv", "the row has not as many cells as the header", "one cell a column")
    given: dict[str, Any] = {name: cells[name] for name in _PLAIN if cells.get(name)}
    identities: list[dict[str, str]] = []
    attributes: dict[str, str] = {}
    for name, cell in cells.items():
        if not cell:
            continue
        if name in _SCHEMES:
            identities.append({"scheme": name, "value": cell})
        elif name.startswith(_IDENTITIES):
            identities.append({"scheme": name.removeprefix(_IDENTITIES), "value": cell})
        elif name.startswith(_ATTRIBUTES):
            attributes[name.removeprefix(_ATTRIBUTES)] = cell
    if identities:
        given["identities"] = identities
    if attributes:
        given["attributes"] = attributes
    return given
