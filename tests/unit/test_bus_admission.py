"""What is refused before anything is sent: each record by itself, however many come together."""

import pytest

from shared.bus.admission import admit
from shared.bus.port import MAX_RECORD_BYTES, Outgoing, RecordRefused

LARGE = MAX_RECORD_BYTES // 2
HEADERS = (("ce_id", b"1"), ("größe", b"x" * 20))


def sized(bytes_: int, number: int = 0) -> Outgoing:
    """A record of so many bytes in all, an umlaut in a header's name being two."""
    held = Outgoing("t", 0, b"%03d" % number, b"", HEADERS).size()
    return Outgoing("t", 0, b"%03d" % number, b"v" * (bytes_ - held), HEADERS)


def test_many_that_fit_by_themselves_are_taken_together() -> None:
    admit([])
    admit([sized(LARGE, number) for number in range(5)])
    admit([sized(MAX_RECORD_BYTES), Outgoing("t", 0, b"k", None), Outgoing("t", 0, None, b"")])


@pytest.mark.parametrize("place", [0, 99, 100, 249])
def test_one_that_is_too_large_is_named_among_many(place: int) -> None:
    records = [sized(100, number) for number in range(250)]
    records[place] = sized(MAX_RECORD_BYTES + 1, place)
    with pytest.raises(RecordRefused, match=rf"key b'{place:03d}': {MAX_RECORD_BYTES + 1} bytes"):
        admit(records)


def test_large_headers_count() -> None:
    headers = (("ce_id", b"x" * MAX_RECORD_BYTES),)
    with pytest.raises(RecordRefused, match="bytes"):
        admit([Outgoing("t", 0, b"k", b"v"), Outgoing("t", 0, b"k", b"v", headers)])


def test_one_without_key_and_value_is_refused_among_many() -> None:
    with pytest.raises(RecordRefused, match="a key or a value"):
        admit([Outgoing("t", 0, b"k", b"v"), Outgoing("t", 0, None, None)])
