"""Customers from NDJSON and CSV: every row judged on its own, bad files refused as a whole."""

import pytest

from services.router import importing
from services.router.importing import CSV, NDJSON, rows, told
from shared.contracts.problems import Refused


def test_ndjson_rows_are_customers_or_say_what_is_wrong():
    body = b'{"id": "kim", "tier": "gold"}\n\n{"id": "x", "teir": "gold"}\nnonsense\n{"name": "no id"}\n'
    found = rows(body, NDJSON)
    assert [one.id for one in found] == ["kim", "x", "", ""]
    assert found[0].given == {"id": "kim", "tier": "gold"}
    assert [one.line for one in found] == [1, 3, 4, 5]
    faults = [(one.faults[0].pointer, one.faults[0].code) for one in found[1:]]
    assert faults == [("/1/teir", "unknown_field"), ("/2", "json"), ("/3/id", "missing")]


def test_csv_columns_become_fields_identities_and_attributes():
    text = "id,name,email,phone,identity.crm,attributes.contract,tier\n"
    text += 'kim,"Kim, A.",kim@example.org,,77,4711,\nben,Ben,,+49 151,,,gold\nshort,row\n'
    found = rows(("\ufeff" + text).encode(), CSV)
    assert found[0].given == {
        "id": "kim",
        "name": "Kim, A.",
        "identities": [
            {"scheme": "email", "value": "kim@example.org"},
            {"scheme": "crm", "value": "77"},
        ],
        "attributes": {"contract": "4711"},
    }
    assert found[1].given["tier"] == "gold"
    assert found[2].faults[0].code == "csv"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"name,tier\nKim,gold\n", CSV, "columns"),
        (b"id,colour\nkim,red\n", CSV, "columns"),
        (b"id,name,name\nkim,Kim,Kim\n", CSV, "columns"),
        (b"id,attributes.\nkim,1\n", CSV, "columns"),
        (b"", CSV, "columns"),
        (b"id,name\nkim,\xff\n", CSV, "encoding"),
        (b'id,name\nkim,"open\n', CSV, "csv"),
    ],
)
def test_a_file_that_is_none_is_refused_with_what_would_be_right(body: bytes, kind: str, code: str):
    with pytest.raises(Refused) as refused:
        rows(body, kind)
    assert refused.value.errors[0].code == code and refused.value.errors[0].expected


TABLE = "id,name,email\nkim,Kim,kim@example.org\n\n,,\nben,Ben,\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_as_spreadsheets_write_them(separator: str, end: str, encoding: str):
    text = TABLE.replace(",", separator).replace("\n", end)
    found = rows(text.encode(encoding), CSV)
    assert [(one.id, one.line, one.faults) for one in found] == [("kim", 2, []), ("ben", 5, [])]
    assert found[0].given["identities"] == [{"scheme": "email", "value": "kim@example.org"}]


def test_headers_and_cells_may_have_spaces_and_capitals_and_nameless_columns_nothing():
    text = "Id ; Name;E-Mail;;attributes.Team\n".replace("E-Mail", "Email")
    found = rows(f"{text} kim ;Kim;kim@example.org;;Red\nben;Ben;;lost;\n".encode(), CSV)
    assert (found[0].id, found[0].given["attributes"]) == ("kim", {"Team": "Red"})
    assert "lost" in found[1].faults[0].message


def test_a_huge_cell_is_told_of_its_row_alone():
    found = rows(f"id,attributes.x\nkim,{'x' * 200_000}\nben,1\n".encode(), CSV)
    assert found[0].faults[0].code == "too_large" and not found[1].faults


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'id,name\nben,Ben\n"a\nb",x\nkim,"open\nlee,Lee\n', "line 5"),
        ("id,name\nben,Ben\nkim,M\u00fcller\n".encode("latin-1"), "Line 3"),
    ],
)
def test_where_a_file_is_broken_is_said(body: bytes, says: str):
    with pytest.raises(Refused, match=says):
        rows(body, CSV)


def test_lines_in_another_encoding_hold_back_no_other():
    body = '\ufeff{"id": "kim"}\r\n'.encode() + '{"id": "x", "name": "\u00fc"}\n'.encode("latin-1")
    found = rows(body + b'{"id": "ben"}', NDJSON)
    assert [one.id for one in found] == ["kim", "", "ben"]
    assert found[1].faults[0].code == "json" and "UTF-8" in str(found[1].faults[0].expected)


def test_a_row_says_only_what_it_names():
    known = {
        "id": "kim",
        "name": "Kim",
        "never_pair": ["ana"],
        "identities": [{"scheme": "phone", "value": "+49 151"}],
        "attributes": {"contract": "1", "score": 5},
    }
    [row] = rows(
        b"id,tier,name,phone,email,attributes.contract\nkim,gold,,0049151,k@x.org,2\n", CSV
    )
    assert told(row, known).canonical == {
        **known,
        "tier": "gold",
        "identities": [*known["identities"], {"scheme": "email", "value": "k@x.org"}],
        "attributes": {"contract": "2", "score": 5},
    }
    [row] = rows(b'{"id": "kim", "name": null, "never_pair": [], "attributes": {"a": 1}}', NDJSON)
    assert told(row, known).canonical == {
        "id": "kim",
        "identities": known["identities"],
        "attributes": {"a": 1},
    }


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importing, "ROWS_MAX", 2)
    for endless in (b'{"id": "a"}\n' * 1_000_000, b"id\n" + b"a\n" * 4_000_000):
        with pytest.raises(Refused, match="more than 2 rows"):
            rows(endless, NDJSON if endless.startswith(b"{") else CSV)
    for blank in (b"\n" * 4_000_000, b"id\n" + b"\n" * 4_000_000):
        with pytest.raises(Refused, match="lines"):
            rows(blank, CSV if blank.startswith(b"id") else NDJSON)
    monkeypatch.setattr(importing, "BODY_MAX_BYTES", 10)
    with pytest.raises(Refused, match="larger"):
        rows(b'{"id": "a"}\n', NDJSON)


def test_lines_end_as_on_any_system():
    for end in (b"\n", b"\r\n", b"\r"):
        found = rows(end.join([b'{"id": "a"}', b"", b'{"id": "b"}']), NDJSON)
        assert [(row.line, row.id) for row in found] == [(1, "a"), (3, "b")]
