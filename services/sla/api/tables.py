"""Answers made of rows: JSON, or CSV that no spreadsheet runs as formulas."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query, Request, Response

from shared.http.calls import Call
from shared.http.replies import json_reply

CSV_TYPE = "text/csv; charset=utf-8"
Format = Annotated[
    Literal["json", "csv"] | None,
    Query(alias="format", description="`csv` for a table; else as `Accept` prefers"),
]

CSV_TEXT = {"text/csv": {"type": "string", "description": "the rows, nested names by dots"}}

# What a spreadsheet takes for the start of a formula (OWASP, «CSV injection»).
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def table_call(answer: Any) -> Call:
    """A call that is answered with `table_reply`."""
    return Call(answer=answer, media=CSV_TEXT)


def wants_csv(request: Request, form: str | None) -> bool:
    """`?format=` decides; without it, whether `Accept` prefers CSV to JSON."""
    if form is not None:
        return form == "csv"
    weights = _weights(request.headers.get("accept", ""))
    plain = max(weights.get("application/json", 0.0), weights.get("*/*", 0.0))
    return weights.get("text/csv", 0.0) > plain


def table_reply(
    request: Request,
    form: str | None,
    rows: Sequence[Mapping[str, Any]],
    name: str = "rows",
    **around: Any,
) -> Response:
    """Rows with what stands around them as JSON; as CSV the rows alone, nested names by dots."""
    if wants_csv(request, form):
        return Response(as_csv(rows), media_type=CSV_TYPE, headers={"Vary": "Accept"})
    return json_reply({**around, name: rows}, headers={"Vary": "Accept"})


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """A header and a line for each row (RFC 4180). Columns in the order in which they first come."""
    flat = [dict(_flat(row)) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([[_cell(row.get(name)) for name in columns] for row in flat])
    return out.getvalue()


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, found in row.items():
        value = msgspec.structs.asdict(found) if isinstance(found, msgspec.Struct) else found
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping) and "within_s" in value[0]:  # fmt: skip
            for one in value:
                rest = {key: each for key, each in one.items() if key != "within_s"}
                yield from _flat(rest, f"{prefix}{name}.{one['within_s']}.")
        else:
            yield f"{prefix}{name}", value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RISKY) else value
    if isinstance(value, bool | int | float | datetime):
        return msgspec.json.encode(value).decode().strip('"')
    return _cell(msgspec.json.encode(value).decode())


def _weights(accept: str) -> dict[str, float]:
    """Media types of an Accept header with their weights; a malformed weight counts as 0."""
    found: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                weight = float(parameter[2:]) if parameter[2:].replace(".", "", 1).isdigit() else 0
        found[kind.lower()] = weight
    return found
