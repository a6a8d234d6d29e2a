"""What every twin refuses before it sends anything."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shared.bus.port import MAX_RECORD_BYTES, Outgoing, RecordRefused, TopicPartition

_SLICE = 100  # records that are measured together
_encode = msgspec.msgpack.Encoder().encode


def places(records: Iterable[Outgoing]) -> set[TopicPartition]:
    """Where they go."""
    return {(each.topic, each.partition) for each in records}


def admit(records: Sequence[Outgoing]) -> None:
    """Raises RecordRefused, naming the record, when one can never be taken. Few are looked at by
    themselves: most are, many together, smaller than one may be."""
    for start in range(0, len(records), _SLICE):
        its = records[start : start + _SLICE]
        if not _surely_fit(its):
            for record in its:
                _admit_one(record)


def _surely_fit(records: Sequence[Outgoing]) -> bool:
    """Whether each has a value, and all together are no more than one may be. To encode them is the
    quickest way to measure them: that holds all their bytes and some more."""
    values = [each.value for each in records if each.value is not None]
    if len(values) < len(records) or sum(map(len, values)) > MAX_RECORD_BYTES:
        return False
    return len(_encode(records)) <= MAX_RECORD_BYTES


def _admit_one(record: Outgoing) -> None:
    if record.key is None and record.value is None:
        raise RecordRefused(f"{_name(record)}: a record needs a key or a value")
    if (size := record.size()) > MAX_RECORD_BYTES:
        raise RecordRefused(
            f"{_name(record)}: {size} bytes, but a record has at most {MAX_RECORD_BYTES}"
        )


def refuse_unknown(wanted: Iterable[TopicPartition], partitions: Mapping[str, int]) -> None:
    """Raise RecordRefused when there is no such topic or partition."""
    for topic, number in wanted:
        count = partitions.get(topic)
        if count is None:
            raise RecordRefused(f"there is no topic {topic!r}")
        if not 0 <= number < count:
            raise RecordRefused(f"{topic} has partitions 0 to {count - 1}, not {number}")


def strangers(wanted: Iterable[TopicPartition], partitions: Mapping[str, int]) -> bool:
    """Whether any of these is not among the partitions known so far."""
    return any(not 0 <= number < partitions.get(topic, 0) for topic, number in wanted)


def _name(record: Outgoing) -> str:
    return f"{record.topic}[{record.partition}] key {record.key!r}"
