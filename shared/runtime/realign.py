"""Database and log brought together again, after either was set back without the other: PostgreSQL was
restored from a backup, Kafka lost records or was replaced, retention overtook a reader (docs/adr/0009).

Of what our own services tell each other the journal is the truth: readers go to the log's end, and each
writer sends again what its readers have not seen. Of all else the log is the truth.
"""

from collections.abc import Mapping

import msgspec

from shared.bus.port import Bus
from shared.contracts import topics
from shared.contracts.problems import Refused, conflict
from shared.runtime.store.port import ShardLease, Store
from shared.runtime.timeline import COMMAND


class Move(msgspec.Struct, frozen=True):
    """A reader goes on at `to`. `gone` records before it are no longer in the log."""

    service: str
    topic: str
    partition: int
    position: int
    to: int
    gone: int = 0

    @property
    def own(self) -> bool:
        """What the service itself writes."""
        return topics.WRITTEN_BY.get(self.topic) == self.service


class Rewind(msgspec.Struct, frozen=True):
    """A writer sends its journal again from behind `to`."""

    service: str
    topic: str
    partition: int
    published: int
    to: int


class Release(msgspec.Struct, frozen=True):
    """A halted shard that is mended by this."""

    service: str
    partition: int
    halted: str


class Plan(msgspec.Struct, frozen=True):
    """What is to be done; `partitions`: of which shards."""

    shards: list[tuple[str, int]] = []
    moves: list[Move] = []
    rewinds: list[Rewind] = []
    releases: list[Release] = []

    @property
    def is_empty(self) -> bool:
        return not (self.moves or self.rewinds or self.releases)

    @property
    def gone(self) -> int:
        """Records that nobody has read and nobody can read any more."""
        return sum(move.gone for move in self.moves)


async def refuse_while_running(stores: Mapping[str, Store], alive_s: float) -> None:
    """Raises Refused while a replica was heard of within `alive_s` or holds a shard."""
    for service, store in stores.items():
        if alive := await store.alive(alive_s):
            raise conflict(
                "running",
                f"{service} runs: {', '.join(alive)} was heard of within the last {alive_s:g} s."
                " Stop all services first (after a kill, wait that long).",
            )
        held = [row for row in await store.shards() if not row.expired]
        if held:
            raise _held(service, held[0].partition, held[0].owner)


def _held(service: str, partition: int, owner: str | None = None) -> Refused:
    by = f" by {owner}" if owner else ""
    return conflict(
        "running", f"Shard {partition} of {service} is held{by}. Stop all services first."
    )


async def plan(stores: Mapping[str, Store], bus: Bus, *, new_log: bool = False) -> Plan:
    """What has to move. `stores` are those of all services, by name; `new_log`: the log is another
    one, so that no position in it means anything.

    Raises Refused where the services have taken in what cannot be taken back, BusUnavailable,
    StoreUnavailable.
    """
    made = Plan()
    standing: dict[tuple[str, int], ShardLease] = {}
    for service, store in stores.items():
        for row in await store.shards():
            lease = await store.standing(row.partition)
            assert lease is not None
            standing[service, row.partition] = lease
            made.shards.append((service, row.partition))
            if lease.halted and COMMAND in lease.halted:
                made.releases.append(Release(service, row.partition, lease.halted))
    places = {
        (topic, partition)
        for service, partition in standing
        for topic in (*topics.CONSUMES[service], *_written_by(service))
    }
    bounds = await bus.bounds(sorted(places))
    for (service, partition), lease in standing.items():
        for topic in topics.CONSUMES[service]:
            if topic not in topics.WRITTEN_BY:
                _follow_the_log(made, service, topic, lease, bounds[topic, partition], new_log)
        for topic in (*_written_by(service), *_heard_by(service)):
            _go_to_the_end(made, service, topic, lease, bounds[topic, partition][1])
        for topic in _written_by(service):
            await _send_again(made, stores, service, topic, lease, set(standing))
    return made


def _written_by(service: str) -> list[str]:
    return [topic for topic, writer in topics.WRITTEN_BY.items() if writer == service]


def _heard_by(service: str) -> list[str]:
    return [topic for topic in topics.CONSUMES[service] if topic in topics.WRITTEN_BY]


def _follow_the_log(
    made: Plan, service: str, topic: str, lease: ShardLease, bounds: tuple[int, int], new_log: bool
) -> None:
    """Positions within it stay; others go to its beginning: what was decided already is known by its
    id. A shard without a position begins there anyway."""
    earliest, end = bounds
    position = lease.positions.get(topic)
    if position is None or (earliest <= position <= end and not new_log):
        return
    gone = max(0, earliest - position) if not new_log else 0
    if position != earliest:
        made.moves.append(Move(service, topic, lease.partition, position, earliest, gone))


def _go_to_the_end(made: Plan, service: str, topic: str, lease: ShardLease, end: int) -> None:
    """Readers, and the writer, for whom what lies before it is no sign of another time line."""
    position = lease.positions.get(topic, 0)
    if position != end:
        made.moves.append(Move(service, topic, lease.partition, position, end))


async def _send_again(
    made: Plan,
    stores: Mapping[str, Store],
    writer: str,
    topic: str,
    lease: ShardLease,
    known: set[tuple[str, int]],
) -> None:
    """All that some reader has not seen; the others drop it as not newer."""
    partition = lease.partition
    store = stores[writer]
    names = [row.id for row in await store.workspaces([partition])]
    told = await store.states(names)
    firsts: list[int] = []
    for reader in stores:
        if topic not in topics.CONSUMES[reader] or (reader, partition) not in known:
            continue
        states = await stores[reader].states(names)
        seen = dict.fromkeys(names, 0) | {
            name: state.producers.get(f"/{writer}", 0) for name, state in states.items()
        }
        for name, sequence in seen.items():
            last = told[name].seq if name in told else 0
            if sequence > last:
                raise _taken_in(reader, writer, name, sequence, last)
        first = await store.unheard(partition, topic, seen)
        if first is not None:
            firsts.append(first)
    if firsts and min(firsts) - 1 < lease.published:
        made.rewinds.append(Rewind(writer, topic, partition, lease.published, min(firsts) - 1))


def _taken_in(reader: str, writer: str, workspace: str, sequence: int, last: int) -> Refused:
    return conflict(
        "taken_in",
        f"{reader} has taken in event {sequence} of {writer} for workspace {workspace!r}, and {writer}"
        f" has come to {last} only: {reader} has gone on with what was lost. Restore the backup again,"
        f" and run `{COMMAND}` before anything is started.",
    )


async def carry_out(stores: Mapping[str, Store], made: Plan) -> None:
    """Do what the plan says. It may be done again, also after it came half-way: a cursor goes back
    before its readers pass anything over, and a writer is let go on after both.

    Raises Refused where a service was started meanwhile, StoreUnavailable.
    """
    back = {(each.service, each.partition): each.to for each in made.rewinds}
    for place in made.shards:
        await _realign(stores, place, {}, back.get(place))
    halted = {(each.service, each.partition) for each in made.releases}
    for own in (False, True):
        positions: dict[tuple[str, int], dict[str, int]] = {}
        for move in made.moves:
            if move.own is own:
                positions.setdefault((move.service, move.partition), {})[move.topic] = move.to
        for place in made.shards:
            unhalt = own and place in halted
            await _realign(stores, place, positions.get(place, {}), None, unhalt)


async def _realign(
    stores: Mapping[str, Store],
    place: tuple[str, int],
    positions: Mapping[str, int],
    published: int | None,
    unhalt: bool = False,
) -> None:
    service, partition = place
    if not await stores[service].realign(partition, positions, published, unhalt):
        raise _held(service, partition)
