"""Which shards a replica should hold: a fair share, found by each replica from the same facts.

The models are the Kinesis client library's lease table and Temporal's shard range ids.
"""

from collections.abc import Collection, Sequence

from shared.runtime.store.port import ShardRow


def fair_share(alive: Sequence[str], replica: str, partitions: int) -> int:
    """How many shards `replica` should hold. `alive` is sorted; the first take what is left over."""
    if replica not in alive:
        return 0
    each, left = divmod(partitions, len(alive))
    return each + (1 if list(alive).index(replica) < left else 0)


def to_take(
    rows: Sequence[ShardRow], held: Collection[int], share: int, alive: Sequence[str], replica: str
) -> list[int]:
    """Shards without an owner that this replica should try to take, up to its share.

    Each begins at another place, so that replicas rarely reach for the same one.
    """
    missing = share - len(held)
    if missing <= 0:
        return []
    free = [row.partition for row in rows if row.expired and row.partition not in held]
    start = list(alive).index(replica) * max(1, len(rows) // max(1, len(alive)))
    free.sort(key=lambda partition: (partition - start) % max(1, len(rows)))
    return free[:missing]


def to_give(held: Collection[int], share: int) -> list[int]:
    """Shards that this replica has beyond its share, highest first."""
    return sorted(held, reverse=True)[: max(0, len(held) - share)]
