"""Records of the log: what is written by hand for speed says the same as the general way."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bus.port import Record
from shared.contracts import topics
from shared.contracts.deadletter import DEAD_LETTER
from shared.contracts.envelope import Envelope, from_record, to_headers
from shared.contracts.instants import format_instant
from shared.runtime.arrivals import of_record, seen_key
from shared.runtime.deadletters import bury
from shared.runtime.outbox import event_id, to_outgoing
from shared.runtime.store.port import JournalRow

NOW_US = 1_800_000_000_000_000
names = st.text("abcXYZ-_09 äß", min_size=1, max_size=12)
rows = st.builds(
    JournalRow,
    position=st.integers(1, 10**9),
    workspace=names,
    seq=st.integers(1, 10**12),
    previous=st.integers(-1, 10**12),
    type=names,
    topic=st.just(topics.ROUTING_EVENTS),
    key=names,
    data=st.binary(max_size=20),
    at_us=st.integers(NOW_US, NOW_US + 10**9),
)


def record(headers, value=b"{}", topic=topics.ROUTING_EVENTS):
    return Record(topic, 3, 7, NOW_US // 1000, None, value, tuple(headers))


@given(rows)
def test_a_published_row_is_a_cloud_event(row):
    sent = to_outgoing("router", 3, row)
    envelope = Envelope(
        id=event_id("router", row.workspace, row.seq),
        source="/router",
        type=row.type,
        time=format_instant(row.at_us),
        workspace=row.workspace,
        data=row.data,
        sequence=row.seq,
        partitionkey=row.key,
        extensions=(("previous", str(row.previous)),) if row.previous >= 0 else (),
    )
    assert sorted(sent.headers) == sorted(to_headers(envelope))
    assert (sent.key, sent.value) == (row.key.encode(), row.data)
    back = from_record(sent.headers, sent.value)
    assert msgspec.structs.replace(back, extensions=()) == msgspec.structs.replace(
        envelope, extensions=()
    )


@given(rows)
def test_what_arrives_is_what_was_published(row):
    sent = to_outgoing("sla", 3, row)
    workspace, arrival = of_record(record(sent.headers, sent.value, topics.SLA_EVENTS))
    assert workspace == row.workspace
    assert (arrival.sequence, arrival.previous, arrival.seen_key) == (row.seq, row.previous, None)
    assert (arrival.what.name, arrival.what.time_us) == (row.type, row.at_us)
    assert arrival.what.source == "/sla"


def test_a_dead_letter_is_known_by_its_key():
    row = JournalRow(1, "w", 0, -1, DEAD_LETTER, topics.DEADLETTER, "dl_1", b"{}", NOW_US)
    assert dict(to_outgoing("router", 0, row).headers)["ce_id"] == b"dl_1"


def test_an_event_of_others_is_known_by_its_id():
    headers = to_headers(Envelope("m-1", "crm", "t", "", "w", b"{}"))
    workspace, arrival = of_record(record(headers, topic=topics.INTERACTIONS["chat"]))
    assert workspace == "w" and arrival.sequence == 0
    assert arrival.seen_key == seen_key("w", "crm", "m-1")
    assert arrival.what.time_us == NOW_US, "without a time of its own, the record's"


GOOD = dict(to_headers(Envelope("m-1", "crm", "t", format_instant(NOW_US), "w", b"{}", sequence=1)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ce_id": None}, "ce_id"),
        ({"ce_specversion": None}, "ce_specversion"),
        ({"ce_workspace": b""}, "ce_workspace"),
        ({"ce_source": b"\xff"}, "UTF-8"),
        ({"ce_time": b"yesterday"}, "yesterday"),
        ({"ce_time": b"0001-01-01T00:00:00+14:00"}, "1970"),
        ({"ce_time": b"1969-12-31T23:59:59Z"}, "1970"),
        ({"ce_sequence": b"-1"}, "sequence"),
        ({"ce_sequence": b"9" * 19}, "sequence"),
        ({"ce_sequence": b"9" * 5_000}, "sequence"),
    ],
)
def test_what_is_no_cloud_event_says_why(change, told):
    headers = {name: text for name, text in (GOOD | change).items() if text is not None}
    workspace, arrival = of_record(record(headers.items()))
    assert (workspace, arrival.what) == ("", None)
    assert told in arrival.fault


def test_a_dead_letter_says_nothing_that_postgresql_refuses():
    letter = bury(record([("ce_id", b"a\x00b")]), "router", "", "r", "d", NOW_US)
    assert letter is not None and letter.event_id == "a\ufffdb"


def test_a_record_without_value_is_no_event():
    assert "no value" in of_record(record(GOOD.items(), None))[1].fault


def test_a_record_is_read_once_for_all_services_of_a_process():
    headers = to_headers(
        Envelope(
            id="evt_1",
            source="/router",
            type="routing.task.queued.v1",
            time=format_instant(NOW_US),
            workspace="w",
            data=b"{}",
            sequence=4,
        )
    )
    for topic in (topics.ROUTING_EVENTS, topics.INTERACTIONS["chat"]):
        shared = record(headers, topic=topic)
        (name, first), (again, second) = of_record(shared), of_record(shared)
        assert name == again == "w" and first.what is second.what
        first.done = True
        assert not second.done and second == msgspec.structs.replace(first, done=False)
