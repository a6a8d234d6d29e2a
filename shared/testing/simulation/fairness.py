"""How long a quiet workspace waits beside a busy one: counted in commits of their shard."""

from collections.abc import Sequence

import msgspec

from shared.bus.port import Record
from shared.contracts.core import Input
from shared.contracts.envelope import EnvelopeError, from_record
from shared.runtime.store.port import Batch

MOST_BATCHES = 2
_inputs = msgspec.msgpack.Decoder(list[Input])


class Fairness:
    """Between the poll that hands a record over and the commit that has it, few commits lie."""

    def __init__(self) -> None:
        self.quiet: frozenset[str] = frozenset()
        self.worst = 0
        self.measured = 0
        self._waiting: dict[tuple[str, int], dict[str, int]] = {}
        self._epochs: dict[tuple[str, int], int] = {}
        self._decided: set[tuple[str, str]] = set()

    def polled(self, service: str, records: Sequence[Record]) -> None:
        """These were handed to the owner of their shard just now."""
        for record in records:
            if not record.topic.startswith("interactions.") or not self._of_quiet(record):
                continue
            try:
                event = from_record(record.headers, record.value)
            except EnvelopeError:
                continue
            # A stale owner may still read what the owner has decided long ago.
            if (service, event.id) not in self._decided:
                self._waiting.setdefault((service, record.partition), {})[event.id] = 0

    def _of_quiet(self, record: Record) -> bool:
        """By its header alone: most are of others, and to read an event takes long."""
        named = (text for name, text in record.headers if name == "ce_workspace")
        return next(named, b"").decode() in self.quiet

    def committed(self, service: str, batch: Batch) -> None:
        shard = (service, batch.partition)
        waiting = self._waiting.get(shard, {})
        if self._epochs.get(shard) != batch.epoch:
            # Whoever was handed them has lost the shard or its memory: the next owner reads again.
            self._epochs[shard] = batch.epoch
            waiting.clear()
        for row in batch.inputs:
            if row.workspace in self.quiet:
                for what in _inputs.decode(row.body):
                    self._decided.add((service, what.id))
                    self._arrived(waiting.pop(what.id, None))
        if batch.inputs and not any(row.workspace in self.quiet for row in batch.inputs):
            # A batch that serves the quiet one is of its own queue; one without inputs is nobody's.
            for event_id in waiting:
                waiting[event_id] += 1

    def _arrived(self, before: int | None) -> None:
        if before is not None:
            self.measured += 1
            self.worst = max(self.worst, before)
