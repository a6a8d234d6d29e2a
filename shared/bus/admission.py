"""What every twin refuses before it sends anything."""

from collections.abc import Iterable, Mapping, Sequence

from shared.bus.port import MAX_RECORD_BYTES, Outgoing, RecordRefused, TopicPartition


def admit(records: Sequence[Outgoing], partitions: Mapping[str, int]) -> list[int]:
    """Their sizes. Raises RecordRefused, naming the record, when one can never be taken."""
    sizes: list[int] = []
    for record in records:
        if not 0 <= record.partition < partitions.get(record.topic, 0):
            refuse_unknown((record.topic, record.partition), partitions)
        if record.key is None and record.value is None:
            raise RecordRefused(f"{_name(record)}: a record needs a key or a value")
        size = record.size()
        if size > MAX_RECORD_BYTES:
            raise RecordRefused(
                f"{_name(record)}: {size} bytes, but a record has at most {MAX_RECORD_BYTES}"
            )
        sizes.append(size)
    return sizes


def all_known(records: Sequence[Outgoing], partitions: Mapping[str, int]) -> bool:
    """Whether the partitions of all records are among those known so far."""
    return all(0 <= each.partition < partitions.get(each.topic, 0) for each in records)


def refuse_unknown(partition: TopicPartition, partitions: Mapping[str, int]) -> None:
    """Raise RecordRefused when there is no such topic or partition."""
    topic, number = partition
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
