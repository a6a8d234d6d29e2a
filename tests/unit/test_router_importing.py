"""Customers from NDJSON and CSV: every row judged on its own, bad files refused as a whole."""

import msgspec
import pytest

from services.router import importing
from services.router.importing import CSV, NDJSON, rows
from shared.contracts.problems import Refused


def test_ndjson_rows_are_customers_or_say_what_is_wrong():
    body = b'{"id": "kim", "tier": "gold"}\n\n{"id": "x", "teir": "gold"}\nnonsense\n{"name": "no id"}\n'
    found = rows(body, NDJSON)
    assert [one.id for one in found] == ["kim", "x", "", ""]
    assert msgspec.json.decode(found[0].body) == {"id": "kim", "tier": "gold"}
    faults = [(one.faults[0].pointer, one.faults[0].code) for one in found[1:]]
    assert faults == [("/1/teir", "unknown_field"), ("/2", "json"), ("/3/id", "missing")]


def test_csv_columns_become_fields_identities_and_attributes():
    text = "id,name,email,phone,identity.crm,attributes.contract,tier\n"
    text += 'kim,"Kim, A.",kim@example.org,,77,4711,\nben,Ben,,+49 151,,,gold\nshort,row\n'
    found = rows(("\ufeff" + text).encode(), CSV)
    assert msgspec.json.decode(found[0].body) == {
        "id": "kim",
        "name": "Kim, A.",
        "identities": [
            {"scheme": "email", "value": "kim@example.org"},
            {"scheme": "crm", "value": "77"},
        ],
        "attributes": {"contract": "4711"},
    }
    assert msgspec.json.decode(found[1].body)["tier"] == "gold"
    assert found[2].faults[0].code == "csv"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"name,tier\nKim,gold\n", CSV, "columns"),
        (b"id,colour\nkim,red\n", CSV, "columns"),
        (b"id,name\nkim,\xff\n", CSV, "csv"),
        (b'id,name\nkim,"open\n', CSV, "csv"),
    ],
)
def test_a_file_that_is_none_is_refused_with_what_would_be_right(body: bytes, kind: str, code: str):
    with pytest.raises(Refused) as refused:
        rows(body, kind)
    assert refused.value.errors[0].code == code and refused.value.errors[0].expected


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importing, "ROWS_MAX", 2)
    with pytest.raises(Refused, match="at most 2"):
        rows(b'{"id": "a"}\n' * 3, NDJSON)
    monkeypatch.setattr(importing, "BODY_MAX_BYTES", 10)
    with pytest.raises(Refused, match="larger"):
        rows(b'{"id": "a"}\n', NDJSON)
