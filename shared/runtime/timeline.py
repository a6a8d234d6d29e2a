"""Does the log hold events that their writer never decided? Then PostgreSQL went back to an earlier
moment (a backup was restored) and the log did not: the writer would give their numbers out again, and
readers would take the lost ones and drop the new ones as not newer (docs/adr/0009)."""

from collections.abc import Collection, Mapping

from shared.bus.port import Bus, BusUnavailable, PositionOutOfRange, Record, TopicPartition
from shared.contracts import topics
from shared.contracts.envelope import EnvelopeError, from_record
from shared.runtime.store.port import Store

COMMAND = "omniroute realign"
MENDED_BY = f"To mend it: stop all services, run `{COMMAND}`, start them"

LOOK_BACK = 256
"""So many records at the end of a topic's partition are looked at: the last ones of a writer, were it
not that events may be sent again, and dead letters replayed, behind them."""
_POLL_MS = 100
_EMPTY_POLLS = 50


class Timeline:
    """Looks at what `service` itself writes, and at what it reads of `peers`, by their stores."""

    def __init__(
        self, bus: Bus, service: str, reads: Collection[str], peers: Mapping[str, Store]
    ) -> None:
        self._bus = bus
        self._service = service
        self._peers = peers
        self._topics = [
            topic
            for topic, writer in topics.WRITTEN_BY.items()
            if writer == service or (topic in reads and writer in peers)
        ]

    async def strange(
        self, floors: Mapping[int, Mapping[str, int]], own: Mapping[int, Mapping[str, int]]
    ) -> dict[int, str]:
        """Why a partition must not be read and written, for those where that is so.

        `floors`: partition -> topic -> the offset below which nothing matters any more; `own`:
        partition -> workspace -> the last number of `service`, from before it published anything.
        Raises BusUnavailable, StoreUnavailable.
        """
        wanted = {
            (topic, partition): floor.get(topic, 0)
            for partition, floor in floors.items()
            for topic in self._topics
        }
        found: dict[int, str] = {}
        for (topic, partition), records in (await last_records(self._bus, wanted)).items():
            newest = _newest(topic, records)
            for workspace, last in (await self._lasts(topic, own[partition], newest)).items():
                sequence, offset = newest[workspace]
                if sequence > last:
                    found[partition] = _said(topic, partition, offset, workspace, sequence, last)
        return found

    async def _lasts(
        self, topic: str, own: Mapping[str, int], workspaces: Collection[str]
    ) -> dict[str, int]:
        """The last number that the topic's writer has given out, by workspace."""
        writer = topics.WRITTEN_BY[topic]
        if writer == self._service:
            return {name: own.get(name, 0) for name in workspaces}
        states = await self._peers[writer].states(sorted(workspaces)) if workspaces else {}
        return {name: states[name].seq if name in states else 0 for name in workspaces}


async def last_records(
    bus: Bus, floors: Mapping[TopicPartition, int]
) -> dict[TopicPartition, list[Record]]:
    """The last LOOK_BACK records of each partition, those below its floor left out.

    Raises BusUnavailable.
    """
    bounds = await bus.bounds(list(floors))
    ends = {each: end for each, (_, end) in bounds.items()}
    starts = {
        each: max(earliest, floors[each], end - LOOK_BACK)
        for each, (earliest, end) in bounds.items()
    }
    starts = {each: start for each, start in starts.items() if start < ends[each]}
    found: dict[TopicPartition, list[Record]] = {each: [] for each in starts}
    if not starts:
        return found
    reader = bus.reader()
    try:
        await reader.assign(starts)
        waiting, empty = set(starts), 0
        while waiting:
            records = await reader.poll(LOOK_BACK * len(starts), _POLL_MS)
            empty = 0 if records else empty + 1
            if empty > _EMPTY_POLLS:
                raise BusUnavailable("the bus does not hand out what its logs hold")
            for record in records:
                place = (record.topic, record.partition)
                found[place].append(record)
                if record.offset + 1 >= ends[place]:
                    waiting.discard(place)
    except PositionOutOfRange as overtaken:  # by retention, just now: look again
        raise BusUnavailable(str(overtaken)) from overtaken
    finally:
        await reader.stop()
    return found


def _newest(topic: str, records: list[Record]) -> dict[str, tuple[int, int]]:
    """By workspace the highest number that the topic's writer gave, and its offset."""
    source = f"/{topics.WRITTEN_BY[topic]}"
    newest: dict[str, tuple[int, int]] = {}
    for record in records:
        try:
            event = from_record(record.headers, record.value)
        except EnvelopeError:
            continue
        if event.source != source or event.sequence is None:
            continue
        if event.sequence > newest.get(event.workspace, (0, 0))[0]:
            newest[event.workspace] = (event.sequence, record.offset)
    return newest


def _said(topic: str, partition: int, offset: int, workspace: str, sequence: int, last: int) -> str:
    return (
        f"{topic}[{partition}] holds at offset {offset} event {sequence} of workspace {workspace!r},"
        f" and by the database {topics.WRITTEN_BY[topic]} has come to {last} there:"
        f" PostgreSQL was restored from a backup, and the log was not. {MENDED_BY}"
    )
