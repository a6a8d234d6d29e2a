"""Customers from NDJSON or CSV: rows into what they say of a customer, each judged on its own.

A row says only what it names: the rest of a customer who is known stays as it is (`told`).
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from services.router import customer_tables
from services.router.domain.customers import normalise
from services.router.resources import Parsed, parse
from shared.contracts.faults import why_no_json
from shared.contracts.problems import Fault, Refused

ROWS_MAX = 50_000
LINES_MAX = customer_tables.LINES_MAX
BODY_MAX_BYTES = customer_tables.BODY_MAX_BYTES
NDJSON = "application/x-ndjson"
CSV = "text/csv"

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class ImportRow(msgspec.Struct, frozen=True):
    """`row` counts from 0, `line` (where it begins in the file) from 1. `faults` where it is no customer,
    else `id` and what is `given`. `adds`: to identities and attributes, which a table has by columns;
    else each field that is given is given whole."""

    row: int
    line: int
    id: str = ""
    given: dict[str, Any] = {}
    adds: bool = False
    faults: list[Fault] = []


def rows(body: bytes, content_type: str) -> list[ImportRow]:
    """Every row of the file. Raises Refused where the whole is no such file or too long."""
    if len(body) > BODY_MAX_BYTES:
        raise Refused("too-large", f"The file is larger than {BODY_MAX_BYTES} bytes.")
    adds = content_type == CSV
    found = customer_tables.customers(body) if adds else _ndjson(body)
    given = list(islice(found, ROWS_MAX + 1))  # the rest of too long a file is not even read
    if len(given) > ROWS_MAX:
        raise Refused("too-large", f"The file has more than {ROWS_MAX} rows; send it in parts.")
    return [_row(place, line, one, adds=adds) for place, (line, one) in enumerate(given)]


def told(row: ImportRow, known: dict[str, Any] | None) -> Parsed:
    """The customer as he is after the row; `known`: as he was written. Faults are those of the row."""
    merged = {**(known or {}), **row.given}
    if row.adds and known is not None:
        merged = {**merged, **_added(known, row.given)}
    given = {name: value for name, value in merged.items() if value is not None}
    parsed = parse("customer", given, row.id)
    return Parsed(
        parsed.resource, parsed.canonical, [_placed(row.row, one) for one in parsed.faults]
    )


def _added(known: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Identities and attributes with those of the row."""
    ours = known.get("identities", [])
    keys = {normalise(one["scheme"], one["value"]) for one in ours}
    new = [
        one
        for one in given.get("identities", ())
        if normalise(one["scheme"], one["value"]) not in keys
    ]
    return {
        "identities": [*ours, *new],
        "attributes": {**known.get("attributes", {}), **given.get("attributes", {})},
    }


def _row(place: int, line: int, given: dict[str, Any] | Fault, *, adds: bool) -> ImportRow:
    if isinstance(given, Fault):
        return ImportRow(place, line, faults=[_placed(place, given)])
    name = given.get("id")
    if not isinstance(name, str):
        missing = Fault("/id", "missing", "the customer has no id", "1 to 64 of A-Z a-z 0-9 _ -")
        return ImportRow(place, line, faults=[_placed(place, missing)])
    found = ImportRow(place, line, name, given, adds)
    faults = told(found, None).faults
    return msgspec.structs.replace(found, faults=faults) if faults else found


def _placed(place: int, fault: Fault) -> Fault:
    return msgspec.structs.replace(fault, pointer=f"/{place}{fault.pointer}")


def _ndjson(body: bytes) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    for number, line in enumerate(_lines(body.removeprefix(_BOM)), 1):
        if number > LINES_MAX:
            raise Refused("too-large", f"The file has more than {LINES_MAX} lines.")
        if line.strip():
            yield number, _object(line)


def _lines(body: bytes) -> Iterator[bytes]:
    """As `splitlines` has them, but one after another: a file of line ends alone would be a long list."""
    at = 0
    for end in _LINE_END.finditer(body):
        yield body[at : end.start()]
        at = end.end()
    yield body[at:]


def _object(line: bytes) -> dict[str, Any] | Fault:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.ValidationError:
        return Fault("", "json", "the row is JSON, but no object", "one object a line")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        because = why_no_json(line, error)
        return Fault("", "json", f"the row is no JSON: {because}", "one object a line, in UTF-8")
