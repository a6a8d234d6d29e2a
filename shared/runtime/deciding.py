"""One batch of a shard: taken from the inbox, applied to the cores, handed over to be committed."""

import asyncio
from collections.abc import Iterable

from shared.runtime import deadletters
from shared.runtime.arrivals import Arrival
from shared.runtime.committing import Committing
from shared.runtime.deps import Deps
from shared.runtime.following import Following
from shared.runtime.gathering import Gathering
from shared.runtime.inbox import Inbox, Taken
from shared.runtime.pace import Pace
from shared.runtime.port import UnknownWorkspace
from shared.runtime.roster import Roster
from shared.runtime.round import Round, answer
from shared.runtime.tenure import Gone, Tenure
from shared.runtime.workspaces import Workspace


class Deciding:
    """One shard's."""

    def __init__(
        self,
        deps: Deps,
        tenure: Tenure,
        following: Following,
        inbox: Inbox,
        roster: Roster,
        committing: Committing,
    ) -> None:
        self._deps = deps
        self._tenure = tenure
        self._following = following
        self._inbox = inbox
        self._roster = roster
        self._committing = committing
        self.pace = Pace(deps.limits)
        self._apply_seconds = deps.metrics.apply_seconds.labels(deps.factory.service)
        self._gathering = Gathering(inbox, roster, deps.store, deps.limits, deps.metrics)

    async def decide(self) -> bool:
        """At most one batch; False when there was nothing to do. Raises what its store, its core's
        loading, and a commit before it raise; those who wait for it have been told by then."""
        if self._following.grace_s():
            return False
        limit = self._batch_limit()
        due = self._roster.due(self._deps.clock.wall_us(), limit)
        taken = self._gathering.take(limit, paced=not self._committing.flight)
        if not taken and not due and not self._gathering.stray:
            return False
        self.pace.began(self._deps.clock.monotonic(), len(taken))
        round_ = self._new_round()
        await self._apply(round_, due, await self._gathering.new_ones(taken))
        await self._committing.commit(round_)
        return True

    def forget(self) -> list[Arrival]:
        """What was taken and belongs nowhere; it is the caller's now."""
        stray, self._gathering.stray = self._gathering.stray, []
        return [arrival for _, arrival in stray]

    def _batch_limit(self) -> int:
        return 1 if self._committing.caution else self._deps.limits.batch_inputs

    def _new_round(self) -> Round:
        flight, deps = self._committing.flight, self._deps
        return Round(
            deps.factory,
            deps.store,
            deps.clock,
            deps.limits,
            deps.metrics,
            behind=self._following.catching_up,
            before=flight.round,
            landed=flight.land,
        )

    async def _apply(self, round_: Round, due: Iterable[Workspace], taken: Taken) -> None:
        clock = self._deps.clock
        began = clock.monotonic()
        try:
            self._tenure.check_running()
            await self._apply_all(round_, due, taken)
        except Gone:
            _turn_away(taken, self._tenure.why_not())
            raise
        except Exception:
            _turn_away(taken, self._tenure.nothing_done())
            raise
        self._apply_seconds.observe(clock.monotonic() - began)

    async def _apply_all(self, round_: Round, due: Iterable[Workspace], taken: Taken) -> None:
        for workspace in due:
            await round_.wake(workspace)
        paced = not self._committing.flight
        reached = await self._apply_taken(round_, taken, paced=paced)
        if paced:
            self._gathering.took(reached, len(taken) - reached)
        for name, arrival in self._gathering.stray:
            _bury_stray(round_, name, arrival)
        self._gathering.stray = []

    async def _apply_taken(self, round_: Round, taken: Taken, *, paced: bool) -> int:
        """How many there was time for; the rest of them is back in the inbox."""
        clock, limits = self._deps.clock, self._deps.limits
        caution, workspaces = self._committing.caution, self._roster.workspaces
        batch_s, turn_s = limits.batch_ms / 1000, min(limits.turn_ms, limits.batch_ms) / 1000
        began, spent_s = clock.monotonic(), 0.0
        for at, (name, arrival) in enumerate(taken):
            if at and not at & 7 and (took_s := clock.monotonic() - began) > turn_s:
                spent_s += took_s
                if paced and spent_s > batch_s:
                    self._inbox.put_back(taken[at:])
                    return at
                # Not paced, the batch before commits meanwhile.
                await asyncio.sleep(0)
                self._tenure.check_running()
                began = clock.monotonic()
            if caution.condemns(arrival):
                await round_.condemn(workspaces[name], arrival)
            else:
                await round_.take(workspaces[name], arrival)
        return len(taken)


def _turn_away(taken: Taken, error: Exception) -> None:
    """What was taken will not be decided here: its callers learn why."""
    answer([(arrival.future, error) for _, arrival in taken if arrival.future is not None])


def _bury_stray(round_: Round, name: str, arrival: Arrival) -> None:
    if arrival.future is not None:
        round_.answers.append((arrival.future, UnknownWorkspace(name)))
    if arrival.what is None:
        round_.stray(arrival, deadletters.UNREADABLE, arrival.fault)
    else:
        detail = f"there is no workspace {name!r} in this shard"
        round_.stray(arrival, deadletters.UNKNOWN_WORKSPACE, detail, name)
