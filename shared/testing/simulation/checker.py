"""Holds what the bus tells, and what callers were told, against what was promised."""

import asyncio

from shared.bus.memory import MemoryBus
from shared.contracts import topics
from shared.contracts.core import Core
from shared.contracts.deadletter import DeadLetter
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.port import JournalEvent
from shared.runtime.replay import replay
from shared.runtime.store.memory import MemoryStore
from shared.testing.simulation.centre import Centre
from shared.testing.simulation.clock_checks import Wall
from shared.testing.simulation.fairness import MOST_BATCHES
from shared.testing.simulation.hosts import Cluster
from shared.testing.simulation.ledger import Ledger
from shared.testing.simulation.routing_checks import Office, honoured
from shared.testing.simulation.truth import Told, dead_letters, poisoned, told

_OUTPUT = {"router": topics.ROUTING_EVENTS, "sla": topics.SLA_EVENTS}


class Checker:
    """`check` looks at everything once all is at rest."""

    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        workspaces: dict[str, int],
        centres: dict[str, Centre],
    ) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.workspaces = workspaces
        self.centres = centres
        self.figures: dict[str, int] = {}
        self.inputs: dict[str, int] = {}

    async def check(self) -> None:
        said = await self._said()
        for workspace, partition in self.workspaces.items():
            office = self._office(workspace, said["router"].get(workspace, []))
            if "sla" in said:
                self._clocks(workspace, said["sla"].get(workspace, []), office)
            self._rest(workspace, partition)
        await self._poison()
        await self._replay()
        self._figures()

    @property
    def bus(self) -> MemoryBus:
        return self.cluster.bus

    def _office(self, workspace: str, events: list[Told]) -> Office:
        office = Office(self.centres[workspace], self.ledger)
        office.follow(events)
        office.finish([one for one in self.ledger.posted.values() if one.workspace == workspace])
        honoured(office, self.ledger)
        self._add("tasks", len(office.tasks))
        self._add("offers", len(office.offers))
        self._add("routing events", len(events))
        for feature, times in office.features.counts.items():
            self._add(f"feature: {feature}", times)
        return office

    def _clocks(self, workspace: str, events: list[Told], office: Office) -> None:
        wall = Wall(workspace, self.ledger)
        wall.follow(events)
        wall.finish(self.cluster.clock.wall_us(), office.from_messages)
        self._add("breaches", wall.breaches)
        self._add("breaches and warnings withdrawn", wall.withdrawn)
        self._add("sla events", len(events))

    async def _said(self) -> dict[str, dict[str, list[Told]]]:
        """What each service published; in the end just what its journal has. Timers still fire,
        so that a comparison may come too early."""
        trial, said = Ledger(), dict[str, dict[str, list[Told]]]()
        for attempt in range(10):
            trial = Ledger()
            said = {
                service: await told(self.bus, topic, self.cluster.partitions, trial)
                for service, topic in _OUTPUT.items()
                if service in self.cluster.services
            }
            for service, of_all in said.items():
                for workspace, partition in self.workspaces.items():
                    published = of_all.get(workspace, [])
                    await self._journal(service, workspace, partition, published, trial)
            for workspace, partition in self.workspaces.items():
                self._heard(workspace, partition, said.get("sla", {}).get(workspace, []), trial)
            if not trial.wrong or attempt == 9:
                break
            await asyncio.sleep(0.3)
        for what in trial.wrong:
            self.ledger.complain(what)
        return said

    def _heard(self, workspace: str, partition: int, events: list[Told], trial: Ledger) -> None:
        """The router acts on what the clocks of its tasks have come to, whichever came first."""
        router, sla = (self._core(each, workspace, partition) for each in ("router", "sla"))
        if router is None or sla is None:
            return
        for what in self.cluster.parts.disagree(router, sla):
            trial.complain(f"{workspace} at rest: {what}")
        heard = self.cluster.parts.heard(router)
        wall = Wall(workspace, Ledger())
        wall.follow(events)
        wall.compare(heard, trial)

    def _core(self, service: str, workspace: str, partition: int) -> Core | None:
        runtime = self.cluster.owner(service, partition)
        return None if runtime is None else runtime.shards[partition].workspaces[workspace].core

    async def _journal(
        self, service: str, workspace: str, partition: int, published: list[Told], trial: Ledger
    ) -> None:
        """The journal counts from 1 without gaps, and all of it was published."""
        runtime = self.cluster.owner(service, partition)
        if runtime is None:
            trial.complain(f"{service} shard {partition} has no owner at the end")
            return
        rows: list[JournalEvent] = []
        while page := await runtime.journal(workspace, rows[-1].seq if rows else 0):
            rows.extend(page)
        if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
            trial.complain(f"{service} {workspace}: the journal has gaps")
        if [(row.seq, row.data) for row in rows] != [(one.seq, one.raw) for one in published]:
            trial.complain(
                f"{service} {workspace}: {len(rows)} events in the journal,"
                f" {len(published)} published, not the same"
            )

    def _rest(self, workspace: str, partition: int) -> None:
        """No waiting task beside an agent who may have it, and no load miscounted."""
        runtime = self.cluster.owner("router", partition)
        if runtime is None:
            return
        core: Core = runtime.shards[partition].workspaces[workspace].core
        for what in self.cluster.parts.wrong(core):
            self.ledger.complain(f"{workspace} at rest: {what}")

    async def _poison(self) -> None:
        """What nobody could read lies with the dead letters of each service, nothing else does.
        One copy is enough of an event that a core failed on: the second is a repetition."""
        letters = {
            (letter.failed_in, *_place(letter)): letter.reason
            for letter in await dead_letters(self.bus, self.cluster.partitions)
        }
        self._add("dead letters", len(letters))
        poison = await poisoned(self.bus, self.cluster.partitions, self.ledger)
        for service in self.cluster.services:
            for event_id, places in poison.items():
                kind = self.ledger.poison[event_id]
                found = [letters.pop((service, *place), None) for place in places]
                right = [reason == kind for reason in found]
                if not any(right) or not (all(right) or kind == "core-failed"):
                    self.ledger.complain(f"{service}: dead letters of {kind} at {places}: {found}")
        for key in sorted(letters):
            self.ledger.complain(f"dead letter {key} of what was no poison")

    async def _replay(self) -> None:
        """The stored inputs give the same bytes again: of two workspaces, since other seeds draw
        others, and replay costs as much as the decisions did."""
        drawn = sorted(self.cluster.chance.stream("replayed").sample(sorted(self.workspaces), 2))
        self.inputs = self.cluster.inputs()
        for make in self.cluster.parts.factories:
            factory = make()
            store = MemoryStore(self.cluster.database, factory.service)
            for workspace in drawn:
                report = await replay(store, factory, workspace)
                for difference in report.differences:
                    self.ledger.complain(f"replay {factory.service} {workspace}: {difference}")

    def _figures(self) -> None:
        if self.cluster.stale_batches:
            self.ledger.complain(
                f"{self.cluster.stale_batches} batches of stale owners were stored"
            )
        fairness = self.cluster.fairness
        self._add("neighbour measured", fairness.measured)
        self._add("neighbour's worst wait in batches", fairness.worst)
        if fairness.worst > MOST_BATCHES:
            self.ledger.complain(f"the quiet neighbour waited {fairness.worst} batches")
        for host in self.cluster.all_hosts:
            for call in host.unanswered:
                self.ledger.complain(f"{host.name} never answered {call}")
            for runtime in host.runtimes.values():
                self._metrics(runtime.metrics, host.name)
        self._add("hosts", len(self.cluster.all_hosts))

    def _metrics(self, metrics: RuntimeMetrics, host: str) -> None:
        for counter in (metrics.gaps, metrics.refused_events):
            for family in counter.collect():
                total = sum(one.value for one in family.samples if one.name.endswith("_total"))
                if total:
                    self.ledger.complain(f"{host}: {family.name} {total}")

    def _add(self, figure: str, value: int) -> None:
        self.figures[figure] = self.figures.get(figure, 0) + value


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    assert letter.topic is not None and letter.partition is not None and letter.offset is not None
    return letter.topic, letter.partition, letter.offset
