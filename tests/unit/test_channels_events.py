"""`POST events`, the pure part: what is accepted, what is refused, and where the fault is."""

import base64
import json
from hashlib import sha256

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.channels.events import (
    MAX_ROWS,
    Accepted,
    Intake,
    Rejected,
    read_batch,
    read_binary,
    read_ndjson,
    read_single,
)
from shared.contracts import ids, interactions
from shared.contracts.envelope import from_record, to_headers
from shared.contracts.instants import format_instant
from shared.contracts.interactions import Interaction
from shared.contracts.problems import Refused

NOW_US = 1_795_000_000_000_000


def event(**changes):
    """The example of API.md; `data__x` changes a field of the data, None drops it."""
    made = {
        "specversion": "1.0",
        "id": "m-1",
        "source": "crm",
        "type": "interaction.message.v1",
        "time": "2026-11-22T09:00:00Z",
        "data": {
            "channel": "chat",
            "conversation_key": "thread-77",
            "direction": "inbound",
            "author": {"role": "customer", "name": "Kim"},
            "identities": [{"scheme": "email", "value": "kim@example.org"}],
            "text": "My invoice is wrong",
            "attributes": {"topic": "billing"},
        },
    }
    for name, value in changes.items():
        inner, _, field = name.rpartition("__")
        place = made[inner] if inner else made
        place.pop(field, None)
        if value is not ...:
            place[field] = value
    return made


def intake(languages=lambda text: None):
    return Intake("w", NOW_US, languages)


def read(body, **more):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_single(content, intake(**more))


def data_of(row):
    return msgspec.json.decode(row.envelope.data, type=Interaction)


def fault_of(body):
    row = read(body)
    assert isinstance(row, Rejected), row
    return row.problem.errors[0]


def test_the_documented_example_is_normalised():
    row = read(event())
    assert isinstance(row, Accepted)
    data = data_of(row)
    assert row.envelope.id == ids.event_id("w", "events", "3:crmm-1")
    assert data.message_id == ids.message_id("w", "events", "3:crmm-1")
    assert data.conversation_id == ids.conversation_id("w", "events", "chat", "thread-77")
    assert (data.conversation_key, data.text) == ("thread-77", "My invoice is wrong")
    assert data.vendor == {"id": "m-1", "source": "crm"}
    assert data.received_at == format_instant(NOW_US)
    assert row.envelope.time == "2026-11-22T09:00:00Z"
    assert row.envelope.partitionkey == data.conversation_id


def test_the_same_source_and_id_is_the_same_event_and_others_are_not():
    assert read(event()).envelope.id == read(event(data__text="other")).envelope.id
    assert read(event(source="crmm", id="-1")).envelope.id != read(event()).envelope.id
    assert read(event(source="erp")).envelope.id != read(event()).envelope.id


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"id": ...}, "/id", "missing"),
        ({"id": None}, "/id", "missing"),
        ({"id": ""}, "/id", "length"),
        ({"id": "x" * 513}, "/id", "length"),
        ({"id": 7}, "/id", "type"),
        ({"source": ...}, "/source", "missing"),
        ({"specversion": "0.3"}, "/specversion", "value"),
        ({"type": "interaction.mesage.v1"}, "/type", "unknown_type"),
        ({"time": "yesterday"}, "/time", "instant"),
        ({"time": "2026-11-22T09:00:00"}, "/time", "instant"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "/time", "range"),
        ({"time": "9999-12-31T23:59:59-23:59"}, "/time", "range"),
        ({"data": ...}, "/data", "missing"),
        ({"data": []}, "/data", "type"),
        ({"datacontenttype": "text/xml"}, "/datacontenttype", "unsupported"),
        ({"Extension": "x"}, "/Extension", "unknown_field"),
        ({"extensions": {"a": "b"}}, "/extensions", "type"),
        ({"ext": {"a": 1}}, "/ext", "type"),
        ({"data__channel": "fax"}, "/data/channel", "value"),
        ({"data__channel": ...}, "/data/channel", "missing"),
        ({"data__direction": ...}, "/data/direction", "missing"),
        ({"data__author": {"name": "Kim"}}, "/data/author/role", "missing"),
        ({"data__author": {"role": "customer", "nick": "K"}}, "/data/author/nick", "unknown_field"),
        ({"data__conversation_key": ...}, "/data/conversation_key", "missing"),
        ({"data__conversation_id": "cnv_1"}, "/data/conversation_id", "format"),
        ({"data__text": ...}, "/data/text", "missing"),
        ({"data__text": "a\x00b"}, "/data/text", "nul"),
        ({"data__txt": "hello"}, "/data/txt", "unknown_field"),
        ({"data__flags": ["loud"]}, "/data/flags/0", "value"),
        ({"data__identities": [{"scheme": "email"}]}, "/data/identities/0/value", "missing"),
        ({"data__identities": [{"scheme": "", "value": "x"}]}, "/data/identities/0/scheme", "length"),
        ({"data__attributes": {"n": 10**30}}, "/data/attributes/n", "range"),
        ({"data__agent_id": "a b"}, "/data/agent_id", "format"),
        ({"data__attachments": [{"size": -1}]}, "/data/attachments/0/size", "range"),
        (
            {"data__attachments": [{"content_base64": "%%%"}]},
            "/data/attachments/0/content_base64",
            "base64",
        ),
        ({"type": interactions.MESSAGE_EDITED}, "/data/replaces", "missing"),
        ({"type": interactions.TRANSCRIPT_SEGMENT}, "/data/segment", "missing"),
        (
            {"type": interactions.TRANSCRIPT_SEGMENT, "data__segment": {"index": -1}},
            "/data/segment/index",
            "range",
        ),
        ({"type": interactions.DELIVERY_STATUS}, "/data/delivery_status", "missing"),
        ({"type": interactions.FEEDBACK}, "/data/survey", "missing"),
    ],
)  # fmt: skip
def test_each_fault_has_its_place(changes, pointer, code):
    fault = fault_of(event(**changes))
    assert (fault.pointer, fault.code) == (pointer, code)


def test_an_unknown_field_is_refused_with_a_hint():
    assert "conversation_key" in str(fault_of(event(data__conversation_kez="x")))
    assert fault_of(event(type="interaction.mesage.v1")).expected == "interaction.message.v1"


def test_nesting_is_bounded_and_never_crashes():
    deep = b'{"a":' * 40 + b"1" + b"}" * 40
    whole = json.dumps(event()).encode().replace(b'{"topic": "billing"}', deep)
    assert fault_of(whole).code == "depth"
    bottomless = b"[" * 200_000
    assert fault_of(bottomless).code == "json"
    with pytest.raises(Refused, match="not a JSON array"):
        read_batch(bottomless, intake())


@pytest.mark.parametrize("body", [b"", b"nonsense", b'"\\ud800"', b"\xff", b"1e999", b"[1]", b"{"])
def test_what_is_no_event_is_refused(body):
    assert isinstance(read(body), Rejected)


def test_a_null_attribute_is_absent():
    plain = read(event())
    assert read(event(subject=None, dataschema=None, traceid=None)).envelope == plain.envelope
    assert read(event(data__html=None, data__subject=None)).envelope == plain.envelope


def test_extension_attributes_ride_on_the_bus():
    row = read(event(traceparent="00-ab", tenant="x", sampled=True, subject="s/1"))
    headers = dict(to_headers(row.envelope))
    assert headers["ce_traceparent"] == b"00-ab"
    assert headers["ce_sampled"] == b"true"
    assert headers["ce_subject"] == b"s/1"


def test_our_own_attributes_cannot_be_forged():
    row = read(event(workspace="other", sequence="abc", partitionkey="p"))
    record = from_record(to_headers(row.envelope), row.envelope.data)
    assert (record.workspace, record.sequence) == ("w", None)
    assert record.partitionkey == row.conversation_id
    kept = data_of(row).vendor["extensions"]
    assert kept == {"workspace": "other", "sequence": "abc", "partitionkey": "p"}


def test_structured_data_in_base64():
    made = event()
    content = base64.b64encode(json.dumps(made.pop("data")).encode()).decode()
    assert read({**made, "data_base64": content}).envelope == read(event()).envelope
    assert fault_of({**made, "data_base64": "%"}).pointer == "/data_base64"


def test_binary_mode_equals_structured_mode():
    made = event(subject="Grüße 100%")
    body = json.dumps(made["data"]).encode()
    headers = [(b"content-type", b"application/json"), (b"ce-subject", b"Gr%C3%BC%C3%9Fe%20100%25")]
    headers += [
        (f"ce-{name}".encode(), made[name].encode())
        for name in ("specversion", "id", "source", "type", "time")
    ]
    assert read_binary(headers, body, intake()).envelope == read(made).envelope


def test_binary_mode_names_what_is_missing():
    headers = [(b"ce-specversion", b"1.0"), (b"ce-id", b"x"), (b"ce-type", b"t")]
    row = read_binary(headers, b"{}", intake())
    assert (row.id, row.problem.errors[0].pointer) == ("x", "/source")
    row = read_binary([*headers, (b"ce-source", b"%ff")], b"{}", intake())
    assert row.problem.errors[0].code == "encoding"
    row = read_binary([*headers, (b"ce-source", b"a%00")], b"{}", intake())
    assert row.problem.errors[0].code == "nul"


def test_a_bad_row_does_not_hold_back_the_others():
    rows = [event(id="a"), event(id="b", data__channel="fax"), 7, event(id="c")]
    found = list(read_batch(json.dumps(rows).encode(), intake()))
    assert [isinstance(row, Accepted) for row in found] == [True, False, False, True]
    assert found[1].problem.errors[0].pointer == "/1/data/channel"
    assert found[1].id == "b"
    assert (found[2].id, found[2].problem.errors[0].pointer) == (None, "/2")


def test_ndjson_counts_lines_and_passes_over_empty_ones():
    lines = [json.dumps(event(id="a")), "", json.dumps(event(id="b", data__text=...)), ""]
    found = list(read_ndjson("\r\n".join(lines).encode(), intake()))
    assert [row.index for row in found] == [0, 2]
    assert found[1].problem.errors[0].pointer == "/2/data/text"


def test_batches_have_limits():
    with pytest.raises(Refused) as refused:
        read_batch(b"[" + b"1," * MAX_ROWS + b"1]", intake())
    assert refused.value.kind == "too-large"
    assert len(list(read_batch(b"[" + b"1," * (MAX_ROWS - 1) + b"1]", intake()))) == MAX_ROWS
    for empty in (b"[]", b"[ ]"):  # valid in a request, too (CloudEvents, JSON batch format)
        assert list(read_batch(empty, intake())) == []
    with pytest.raises(Refused, match="no event"):
        read_ndjson(b"\n\n", intake())


def test_attachments_go_to_the_blob_store():
    content = b"\x00\x01" * 500_000
    given = [
        {"name": "a.bin", "content_base64": base64.b64encode(content).decode()},
        {"url": "https://u.example/"},
    ]
    shared = intake()
    row = read_single(json.dumps(event(data__text=..., data__attachments=given)).encode(), shared)
    assert isinstance(row, Accepted), "an attachment does not count towards an event's size"
    first, second = data_of(row).attachments
    name = sha256(content).hexdigest()
    assert (first.sha256, first.size, first.content_base64) == (name, len(content), None)
    assert second.url == "https://u.example/"
    assert shared.blobs == {name: content}
    assert len(row.envelope.data) < 2000


def test_files_of_a_rejected_row_are_not_kept():
    def file(content):
        return {"name": "a", "content_base64": base64.b64encode(content).decode()}

    rows = [
        event(data__attachments=[file(b"one"), {"name": "b", "content_base64": "?"}]),
        event(id="m-2", data__attributes={"x": "y" * 950_000}, data__attachments=[file(b"two")]),
        event(id="m-3"),
        event(id="m-4", data__attachments=[file(b"three")]),
    ]
    for read in (read_batch, read_ndjson):
        body = json.dumps(rows) if read is read_batch else "\n".join(map(json.dumps, rows))
        shared = intake()
        read_rows = list(read(body.encode(), shared))
        assert [type(row) for row in read_rows] == [Rejected, Rejected, Accepted, Accepted]
        assert list(shared.blobs.values()) == [b"three"]


def test_an_event_that_no_record_holds_is_refused():
    big = "€" * 200_000
    fault = fault_of(event(data__text=big, data__html=big))
    assert fault.code == "too_large"


def test_edits_and_deletions_name_what_they_replace():
    row = read(event(id="m-2", type=interactions.MESSAGE_EDITED, data__replaces="m-1"))
    data = data_of(row)
    assert data.replaces == "m-1"
    assert data.replaces_message_id == data_of(read(event())).message_id
    assert data.flags == ["edited"]
    gone = event(id="m-3", type=interactions.MESSAGE_DELETED, data__replaces="m-1", data__text=...)
    assert data_of(read(gone)).flags == ["deleted"]


def test_language_is_detected_for_what_customers_say_and_nothing_else():
    told = []

    def detect(text):
        told.append(text)
        return "de"

    assert data_of(read(event(), languages=detect)).language == "de"
    assert data_of(read(event(data__language="fr"), languages=detect)).language == "fr"
    agent = event(data__author={"role": "agent"}, data__direction="outbound")
    assert data_of(read(agent, languages=detect)).language is None
    assert told == ["My invoice is wrong"]


def test_an_end_without_a_reason_has_ended():
    ended = event(type=interactions.CONVERSATION_ENDED, data__text=...)
    assert data_of(read(ended)).reason == "ended"
    ended["data"]["reason"] = "abandoned"
    assert data_of(read(ended)).reason == "abandoned"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PATHS = [
    (), ("id",), ("source",), ("type",), ("time",), ("data",), ("specversion",), ("newattribute",),
    ("data_base64",), ("extensions",), ("data", "channel"), ("data", "author"), ("data", "text"),
    ("data", "attributes"), ("data", "attributes", "topic"), ("data", "identities"),
    ("data", "attachments"), ("data", "segment"), ("data", "conversation_key"), ("data", "flags"),
    ("data", "conversation_id"), ("data", "replaces"), ("data", "score"), ("data", "new"),
    ("data", "delivery_status"), ("data", "author", "role"), ("data", "task_id"),
]  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL, "x"]),
    st.lists(st.tuples(st.sampled_from(PATHS), JSON), max_size=3),
)
def test_whatever_is_posted_is_accepted_or_refused_at_a_place(event_type, changes):
    made = event(type=event_type)
    for path, value in changes:
        made = _changed(made, path, value)
    row = read(json.dumps(made).encode())
    if isinstance(row, Accepted):
        record = from_record(to_headers(row.envelope), row.envelope.data)
        assert (record.id, record.workspace) == (row.envelope.id, "w")
        assert data_of(row).conversation_id == row.conversation_id
    else:
        assert row.problem.status == 400
        assert all(one.pointer == "" or one.pointer[0] == "/" for one in row.problem.errors)
        assert row.problem.errors
        assert all(one.message and one.code for one in row.problem.errors)


def _changed(made, path, value):
    if not path:
        return value
    if not isinstance(made, dict):
        return made
    return {**made, path[0]: _changed(made.get(path[0], {}), path[1:], value)}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(body):
    assert isinstance(read(body), (Accepted, Rejected))
    for reader in (read_batch, read_ndjson):
        try:
            list(reader(body, intake()))
        except Refused as refused:
            assert refused.kind == "validation"
