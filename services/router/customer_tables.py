"""Customers in a table (CSV), as spreadsheets write it: separated by commas, semicolons or tabs, with or
without a byte order mark, in UTF-8 or (where it has its mark) UTF-16."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from shared.contracts.problems import Fault, Refused

BODY_MAX_BYTES = 32 * 1024 * 1024
LINES_MAX = 200_000

_PLAIN = ("id", "name", "tier", "language", "timezone")
_SCHEMES = ("email", "phone")
_ATTRIBUTES = "attributes."
_IDENTITIES = "identity."
_SEPARATORS = ",;\t"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

# A cell is as long as the file lets it be: what is too long for a customer is told of its row.
csv.field_size_limit(BODY_MAX_BYTES)


def customers(body: bytes) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """The line where each row begins (from 1) and what it says: columns id, name, tier, language,
    timezone, email, phone, `identity.<scheme>`, `attributes.<name>`; an empty cell says nothing. Raises
    Refused where the file is no table, or its header none of customers."""
    text = _decoded(body)
    given = _records(text, _separator(text))
    names = [_column(name) for name in next(given, (0, []))[1]]
    _check_columns(names)
    for line, cells in given:
        yield line, _from_cells(names, cells)


def _decoded(body: bytes) -> str:
    encoding = "utf-16" if body.startswith(_UTF_16) else "utf-8-sig"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        message = f"Line {line} of the file is not in UTF-8."
        raise _refused("encoding", message, "CSV in UTF-8") from error


def _separator(text: str) -> str:
    """By which the first line has a column id."""
    first = text.lstrip().partition("\n")[0].partition("\r")[0]
    for one in _SEPARATORS:
        if "id" in (_column(name.strip('"')) for name in first.split(one)):
            return one
    return _SEPARATORS[0]


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the line where each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for number, cells in enumerate(reader, 1):
            if number > LINES_MAX:
                raise Refused("too-large", f"The file has more than {LINES_MAX} lines.")
            if any(cells):
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"The row that begins in line {line} is no CSV: {error}."
        if "end of data" in str(error):
            message = f"A quotation mark in the row that begins in line {line} is never closed."
        raise _refused("csv", message, 'a " within quotation marks is written twice') from error


def _column(name: str) -> str:
    """Fields are found in any case; names of schemes and attributes are as they are."""
    name = name.strip()
    return name.lower() if name.lower() in (*_PLAIN, *_SCHEMES) else name


def _check_columns(names: list[str]) -> None:
    known = ", ".join((*_PLAIN, *_SCHEMES, "identity.<scheme>", "attributes.<name>"))
    for place, name in enumerate(names):
        if name and not _is_column(name):
            raise _refused("columns", f"There is no column {name[:80]!r}.", known)
        if name and name in names[:place]:
            raise _refused("columns", f"The column {name!r} is there twice.", "each column once")
    if "id" not in names:
        raise _refused("columns", "There is no column id.", known)


def _is_column(name: str) -> bool:
    prefixed = name.startswith((_ATTRIBUTES, _IDENTITIES)) and not name.endswith(".")
    return name in (*_PLAIN, *_SCHEMES) or prefixed


def _refused(code: str, message: str, expected: str) -> Refused:
    return Refused("validation", message, errors=[Fault("", code, message, expected)])


def _from_cells(names: list[str], cells: list[str]) -> dict[str, Any] | Fault:
    if len(cells) != len(names):
        message = f"the row has {len(cells)} cells, the header {len(names)}"
        return Fault("", "csv", message, "one cell a column")
    given: dict[str, Any] = {}
    identities: list[dict[str, str]] = []
    attributes: dict[str, str] = {}
    for name, cell in zip(names, cells, strict=True):
        if not cell:
            continue
        if name in _PLAIN:
            given[name] = cell
        elif name in _SCHEMES or name.startswith(_IDENTITIES):
            identities.append({"scheme": name.removeprefix(_IDENTITIES), "value": cell})
        elif name.startswith(_ATTRIBUTES):
            attributes[name.removeprefix(_ATTRIBUTES)] = cell
        else:
            return Fault(
                "", "csv", f"{cell[:80]!r} is in a column without a name", "a named column"
            )
    if identities:
        given["identities"] = identities
    if attributes:
        given["attributes"] = attributes
    return given
