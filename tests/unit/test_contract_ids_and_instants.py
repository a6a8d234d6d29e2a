"""Ids are deterministic and collision-free over their parts; instants survive the round trip."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import ids
from shared.contracts.envelope import Envelope, EnvelopeError, from_record, to_headers
from shared.contracts.instants import (
    InstantOutOfRange,
    format_instant,
    normal_instant,
    parse_instant,
)

words = st.text(max_size=12)


@given(st.lists(words, min_size=1, max_size=4), st.lists(words, min_size=1, max_size=4))
def test_different_parts_give_different_ids(one: list[str], other: list[str]) -> None:
    assert (ids.derive("x", *one) == ids.derive("x", *other)) == (one == other)


@given(words, words, st.integers(0, 2**40))
def test_sequenced_ids_are_derived_from_service_workspace_and_number(
    service: str, workspace: str, number: int
) -> None:
    made = ids.sequenced_id("tsk", service, workspace, number)
    assert made == ids.derive("tsk", service, workspace, number)


def test_known_id_never_changes() -> None:
    assert ids.event_id("acme", "events", "m-1") == ids.event_id("acme", "events", "m-1", 0)
    assert ids.event_id("a", "b", "c") == "evt_7133c197c30011af454d6445d35d99bf"
    assert ids.event_id("a", "b", "c", 1) != ids.event_id("a", "b", "c")


def test_dedupe_key_is_the_hash_itself_or_a_hash_of_foreign_text() -> None:
    event = ids.event_id("a", "b", "c")
    assert ids.dedupe_key(event).hex() == event[4:]
    assert len(ids.dedupe_key("somebody-elses-id")) == 16
    assert ids.dedupe_key("x_" + "z" * 32) != ids.dedupe_key("x_" + "y" * 32)


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000))
def test_instants_round_trip(instant_us: int) -> None:
    assert parse_instant(format_instant(instant_us)) == instant_us


@given(words, words, words, words, st.integers(0, 99))
def test_ids_of_what_vendors_send_are_derived_from_their_parts(
    workspace: str, connector: str, one: str, other: str, revision: int
) -> None:
    parts = (workspace, connector, one)
    assert ids.event_id(*parts, revision) == ids.derive("evt", *parts, revision)
    assert ids.message_id(*parts) == ids.derive("msg", *parts)
    assert ids.conversation_id(*parts, other) == ids.derive("cnv", *parts, other)


@given(
    st.datetimes(datetime(1969, 12, 30), datetime(9999, 12, 31, 23, 59, 59)),
    st.sampled_from(("", ".1", ".25", ".000", ".123456", ".1234567", ".000000")),
    st.sampled_from(("Z", "+00:00", "+05:30", "z", "")),
)
def test_a_normal_instant_is_the_one_that_is_formatted(
    moment: datetime, fraction: str, offset: str
) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + offset
    try:
        expected = parse_instant(text)
    except ValueError:
        with pytest.raises(ValueError, match="."):
            normal_instant(text)
        return
    if 0 <= expected < 253_402_300_800_000_000:
        assert normal_instant(text) == format_instant(expected)
    else:
        with pytest.raises(InstantOutOfRange):
            normal_instant(text)


@pytest.mark.parametrize(
    "text", ["2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-13-01T00:00:00Z"]
)
def test_days_and_times_that_do_not_exist_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        normal_instant(text)


def test_instants_are_read_with_any_offset_and_refused_without() -> None:
    expected = int(datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp() * 1_000_000)
    assert parse_instant("2026-11-23T10:00:00+01:00") == expected
    assert parse_instant("2026-11-23T09:00:00Z") == expected
    with pytest.raises(ValueError, match="no UTC offset"):
        parse_instant("2026-11-23T09:00:00")


header_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(header_text, header_text, st.binary(max_size=50), st.none() | st.integers(0, 10**9))
def test_envelope_round_trip(name: str, source: str, data: bytes, sequence: int | None) -> None:
    event = Envelope(
        id=name, source=source, type="t.v1", time="2026-11-23T09:00:00Z", workspace="w", data=data,
        sequence=sequence, partitionkey="k", extensions=(("traceparent", "00-1"),),
    )  # fmt: skip
    assert from_record(to_headers(event), event.data) == event


@pytest.mark.parametrize(
    ("headers", "value", "said"),
    [
        ([], b"{}", "ce_id"),
        ([("ce_id", b"\xff")], b"{}", "UTF-8"),
        ([(f"ce_{n}", b"1") for n in ("id", "source", "type", "specversion", "workspace")], None, "value"),
    ],
)  # fmt: skip
def test_a_record_that_is_no_event_says_what_is_missing(headers, value, said) -> None:
    with pytest.raises(EnvelopeError, match=said):
        from_record(headers, value)
