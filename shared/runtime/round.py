"""One batch in the making: inputs applied to cores, and what one commit will store of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import structlog

from shared.contracts.core import BEHIND, LIVE, CoreFactory, Input
from shared.contracts.deadletter import DeadLetter
from shared.contracts.problems import Refused
from shared.runtime import deadletters, stored
from shared.runtime.arrivals import Arrival
from shared.runtime.clock import Clock
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.port import CommandFailed, Reply
from shared.runtime.store.port import Batch, Store, WorkspaceState
from shared.runtime.workspaces import Applied, Workspace, load_core

log = structlog.get_logger(__name__)

_TIMER = Input("timer", "due")
_BEHIND = Input("lifecycle", BEHIND)

Answer = tuple["asyncio.Future[Reply]", Reply | Exception]


class _Sealed(msgspec.Struct):
    """What a batch did with one workspace, once its commit is made up; `state` None: as before."""

    workspace: Workspace
    applied: list[Applied]
    state: WorkspaceState | None


class Round:
    """Lives from the first input to the commit's end. Nothing here waits, except for a core that
    has to be loaded again after a fault.

    `before` is the batch whose commit may still be on its way, `landed` waits for its end (and
    raises what it raised).
    """

    def __init__(
        self,
        factory: CoreFactory,
        store: Store,
        clock: Clock,
        limits: Limits,
        metrics: RuntimeMetrics,
        *,
        behind: bool,
        before: "Round | None" = None,
        landed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._factory = factory
        self._store = store
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._behind = behind
        self._wall_us = clock.wall_us()
        self._dead: list[DeadLetter] = []
        self._keys: set[bytes] = set()
        self._keys_before: set[bytes] = before._keys if before is not None else set()
        self._landed = landed
        self._sealed: list[_Sealed] = []
        self.touched: dict[str, Workspace] = {}
        self.answers: list[Answer] = []

    # Applying

    async def wake(self, workspace: Workspace) -> None:
        """Something may be due there."""
        await self._touch(workspace)

    async def take(self, workspace: Workspace, arrival: Arrival) -> None:
        """Apply what arrived, unless it came before."""
        arrival.done = True
        if self._is_repeated(workspace, arrival):
            self._metrics.duplicates.labels(self._factory.service).inc()
            self.touched.setdefault(workspace.id, workspace)
            return
        what = arrival.what
        assert what is not None
        if what.kind == "event" and not self._factory.heeds(what.name):
            self.touched.setdefault(workspace.id, workspace)
            return
        if not workspace.dirty:
            await self._touch(workspace)
        if what.kind == "command" and _is_due(workspace.core.wake_at_us(), workspace.now_us):
            await self._feed(workspace, Arrival(_TIMER))
        await self._feed(workspace, arrival)

    def stray(self, arrival: Arrival, reason: str, detail: str, workspace: str = "") -> None:
        """A record that belongs to no workspace, or cannot be read."""
        arrival.done = True
        if arrival.record is not None:
            self._bury(arrival, reason, detail, workspace)

    async def condemn(self, workspace: Workspace, arrival: Arrival) -> None:
        """Give up what the store refused to keep, without another try."""
        arrival.done = True
        await self._touch(workspace)
        self._give_up(workspace, arrival, ValueError("the store refused what it caused"))

    async def _touch(self, workspace: Workspace) -> None:
        if workspace.dirty:
            return
        workspace.dirty = True
        workspace.timer_fed = False
        self.touched[workspace.id] = workspace
        workspace.now_us = max(workspace.now_us, self._wall_us)
        if self._behind and not workspace.behind:
            workspace.behind = True
            await self._feed(workspace, Arrival(_BEHIND))
        if _is_due(workspace.wake_us, workspace.now_us):
            workspace.timer_fed = True
            await self._feed(workspace, Arrival(_TIMER))

    def _is_repeated(self, workspace: Workspace, arrival: Arrival) -> bool:
        if arrival.sequence:
            return not self._is_newer(workspace, arrival)
        if arrival.seen_key is None:
            return False
        if arrival.seen_key in self._keys or arrival.seen_key in self._keys_before:
            return True
        self._keys.add(arrival.seen_key)
        return False

    def _is_newer(self, workspace: Workspace, arrival: Arrival) -> bool:
        assert arrival.what is not None
        source, sequence = arrival.what.source, arrival.sequence
        last = workspace.producers.get(source, 0)
        if sequence <= last:
            failed = workspace.failed.get(source, [])
            if sequence not in failed:
                return False
            failed.remove(sequence)
            return True
        expected = sequence - 1 if arrival.previous < 0 else arrival.previous
        if last and expected > last:
            self._metrics.gaps.labels(self._factory.service, source).inc()
            log.error(
                "events of a producer are missing",
                workspace=workspace.id,
                source=source,
                after=last,
                before=sequence,
            )
        workspace.producers[source] = sequence
        return True

    async def _feed(self, workspace: Workspace, arrival: Arrival) -> None:
        what = arrival.what
        assert what is not None
        try:
            outcome = workspace.apply(what)
        except Refused as refused:
            if arrival.future is None:
                await self._isolate(workspace, arrival, refused)
            else:
                self.answers.append((arrival.future, refused))
            return
        except Exception as error:
            await self._isolate(workspace, arrival, error)
            return
        workspace.applied.append(Applied(arrival, what, outcome))
        if what.kind == "lifecycle" and what.name == LIVE:
            workspace.behind = False
        if arrival.config_version:
            workspace.took_config(arrival.config_version)

    # Faults

    async def _isolate(self, workspace: Workspace, bad: Arrival, error: Exception) -> None:
        """Undo `bad` alone: load what is committed and apply again what came before it."""
        self._give_up(workspace, bad, error)
        before = workspace.applied
        while True:
            await self._restore(workspace)
            failed = self._reapply(workspace, before)
            if failed is None:
                return
            before = [each for each in before if each is not failed]

    async def _restore(self, workspace: Workspace) -> None:
        if self._landed is not None:
            await self._landed()
        committed = workspace.committed
        workspace.applied = []
        workspace.core = await load_core(
            self._store, self._factory, workspace.row, committed, self._limits.load_chunk
        )
        workspace.number, workspace.seq = committed.number, committed.seq

    def _reapply(self, workspace: Workspace, before: list[Applied]) -> Applied | None:
        """None, or the input that worked the first time and not again (given up now)."""
        for each in before:
            try:
                outcome = workspace.apply(each.what)
            except Exception as error:
                self._give_up(workspace, each.arrival, error)
                return each
            workspace.applied.append(Applied(each.arrival, each.what, outcome))
        return None

    def _give_up(self, workspace: Workspace, arrival: Arrival, error: Exception) -> None:
        assert arrival.what is not None
        kind, detail = arrival.what.kind, f"{type(error).__name__}: {error}"
        log.error(
            "the core failed on an input",
            workspace=workspace.id,
            kind=kind,
            name=arrival.what.name,
            id=arrival.what.id,
            exc_info=error,
        )
        self._metrics.dead_letters.labels(self._factory.service, kind).inc()
        if kind == "timer":
            workspace.timer_failures += 1
        if arrival.config_version:
            workspace.took_config(arrival.config_version)
        if arrival.sequence:
            kept = workspace.failed.setdefault(arrival.what.source, [])
            kept.append(arrival.sequence)
            del kept[: -self._limits.failed_sequences]
        if arrival.future is not None:
            self.answers.append((arrival.future, CommandFailed("the command failed")))
        elif arrival.record is not None:
            self._bury(arrival, deadletters.CORE_FAILED, detail, workspace.id)

    def _bury(self, arrival: Arrival, reason: str, detail: str, workspace: str) -> None:
        assert arrival.record is not None
        service = self._factory.service
        letter = deadletters.bury(arrival.record, service, workspace, reason, detail, self._wall_us)
        log.warning(
            "dead letter", reason=reason, topic=arrival.topic, offset=arrival.offset, why=detail
        )
        if reason != deadletters.CORE_FAILED:
            self._metrics.dead_letters.labels(service, reason).inc()
        if letter is not None:
            self._dead.append(letter)

    # Storing

    async def batch(
        self,
        partition: int,
        epoch: int,
        lease_s: float,
        positions: dict[str, int],
        published: int,
        position: int,
    ) -> Batch:
        """What the commit stores; `position` is the journal's last."""
        batch = Batch(
            partition=partition,
            epoch=epoch,
            lease_s=lease_s,
            positions=positions,
            published=published,
            seen_us=self._wall_us,
        )
        for name in sorted(self.touched):
            await self._add(batch, self.touched[name], position)
        for letter in self._dead:
            stored.add_letter(batch, letter, position, self._wall_us)
        return batch

    async def _add(self, batch: Batch, workspace: Workspace, position: int) -> None:
        if workspace.applied:
            await self._add_entities(batch, workspace)
        if workspace.applied:
            stored.add_inputs(batch, workspace, self._factory.version)
            stored.add_effects(batch, workspace, position)
            stored.add_snapshot(batch, workspace, self._limits, self._clock)
        state = workspace.state()
        changed = state != workspace.committed
        if changed:
            batch.states.append(state)
        self._seal(workspace, state if changed else None)

    def _seal(self, workspace: Workspace, state: WorkspaceState | None) -> None:
        """The batch has all that it takes of this workspace: the next one may go on with it."""
        self._sealed.append(_Sealed(workspace, workspace.applied, state))
        self._plan_wake(workspace)
        workspace.applied = []
        workspace.dirty = False
        workspace.in_flight = True

    async def _add_entities(self, batch: Batch, workspace: Workspace) -> None:
        try:
            changes = workspace.core.changes()
        except Exception as error:
            for each in workspace.applied:
                self._give_up(workspace, each.arrival, error)
            await self._restore(workspace)
            return
        name = workspace.id
        batch.entities.extend([(name, entity) for entity in changes])

    def settle(self, batch: Batch, wake_watchers: Callable[[str, set[str], bool], None]) -> None:
        """The batch is committed: answer callers, wake watchers, show readers the new state."""
        self._metrics.told(self._factory.service, batch.journal)
        for sealed in self._sealed:
            workspace, touched, events = sealed.workspace, set[str](), 0
            for each in sealed.applied:
                touched.update(each.outcome.touched)
                events += len(each.outcome.events)
                if each.arrival.future is not None:
                    self.answers.append((each.arrival.future, Reply(each.outcome.reply)))
            if sealed.state is not None:
                workspace.committed = sealed.state
            workspace.in_flight = False
            self._count(sealed.applied, events)
            wake_watchers(workspace.id, touched, events > 0)
        answer(self.answers)

    def _plan_wake(self, workspace: Workspace) -> None:
        if not workspace.dirty:
            return
        wake_us = workspace.core.wake_at_us()
        if workspace.timer_fed and _is_due(wake_us, workspace.now_us):
            wake_us = workspace.now_us + self._timer_pause_us(workspace)
        elif workspace.timer_fed:
            workspace.timer_failures = 0
        workspace.wake_us = wake_us

    def _timer_pause_us(self, workspace: Workspace) -> int:
        pause_ms = self._limits.timer_pause_ms
        if workspace.timer_failures:
            most_ms = self._limits.timer_backoff_most_s * 1000
            pause_ms = min(most_ms, 500 * 2 ** min(workspace.timer_failures, 20))
        return int(pause_ms * 1000)

    def _count(self, applied: list[Applied], events: int) -> None:
        service = self._factory.service
        kinds: dict[str, int] = {}
        for each in applied:
            kinds[each.what.kind] = kinds.get(each.what.kind, 0) + 1
        for kind, count in kinds.items():
            self._metrics.inputs.labels(service, kind).inc(count)
        if events:
            self._metrics.events.labels(service).inc(events)

    def abandon(self, error: Exception) -> None:
        """The batch did not come about: its callers learn why."""
        waiting = [
            (each.arrival.future, error)
            for each in self.applied()
            if each.arrival.future is not None
        ]
        answer([*waiting, *((future, error) for future, _ in self.answers)])

    def applied(self) -> Iterator[Applied]:
        """All inputs of the batch so far."""
        made_up = {sealed.workspace.id: sealed.applied for sealed in self._sealed}
        for name, workspace in self.touched.items():
            yield from made_up.get(name, workspace.applied)


def answer(answers: list[Answer]) -> None:
    """Resolve what is not yet resolved (a caller may have gone). Where a refusal was made says nothing
    to callers, and frames there hold the future that holds the refusal."""
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Reply):
            future.set_result(result)
        else:
            future.set_exception(result.with_traceback(None))


def _is_due(wake_us: int | None, now_us: int) -> bool:
    return wake_us is not None and wake_us <= now_us
