"""What changed on the clocks of a conversation, told as `sla.*` events: compared before and after."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from services.sla.domain.clock import OPEN, Clock
from services.sla.domain.conversation import Live, Notice
from services.sla.domain.policy import Rung
from shared.contracts import sla
from shared.contracts.instants import format_instant, optional_instant, seconds


class Seen(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A clock as it was. `times`: its state, when it is due, its target, when it was satisfied and when
    it started; `whose`: its task, queue, and what decides for whom it counts, and how much; `under`: its
    policy, that one's version, and its calendar."""

    name: str
    live: Live
    clock: Clock
    times: tuple[str, int | None, int, int | None, int]
    whose: tuple[str | None, str | None, tuple[Any, ...]]
    under: tuple[str, int, str]

    @property
    def state(self) -> str:
        return self.times[0]

    @property
    def deadline(self) -> tuple[int | None, int]:
        """When it is due, and its target."""
        return self.times[1:3]

    @property
    def task_id(self) -> str | None:
        return self.whose[0]

    @property
    def queue(self) -> str | None:
        return self.whose[1]


def look(lives: Iterable[Live]) -> dict[str, Seen]:
    """All clocks by id."""
    found: dict[str, Seen] = {}
    for live in lives:
        clocks = live.fold.episode.clocks
        if not clocks:
            continue
        task, task_id = live.fold.episode.facts.task, live.record.task_id
        queue, tags = task.get("queue"), tuple(task.get("tags") or ())
        whose_open = (task_id, queue, (task.get("agent_id"), task.get("priority"), tags))
        for clock in clocks:
            whose, served = whose_open, clock.served
            if served is not None:  # a hold that is told late shortens what has ended
                whose = (task_id, queue, (served, clock.ended_us, clock.accrued_us, tags))
            times = (
                clock.state, clock.due_us, clock.target_us, clock.satisfied_us, clock.started_us
            )  # fmt: skip
            under = (clock.policy_id, clock.policy_version, clock.calendar)
            name = live.clock_id(clock)
            found[name] = Seen(name, live, clock, times, whose, under)
    return found


Emit = Callable[[Live, Clock, sla.SlaEvent], None]


class Teller:
    """Makes the events of one input. `late`: it was derived again for an event out of order."""

    def __init__(self, now_us: int, emit: Emit) -> None:
        self._now_us = now_us
        self._emit = emit

    def tell(
        self, before: dict[str, Seen], after: dict[str, Seen], *, late: bool, moved: bool = False
    ) -> list[Seen]:
        """Tells every difference; returns the clocks whose rows must be written again. `moved`: it
        was a change of targets, which takes back no warning that was right when it was told."""
        changed: list[Seen] = []
        for name, old in before.items():
            if name in after:
                continue
            if old.live.never_was(old.clock):
                self._vanished(old)
                changed.append(old)
            else:  # only out of memory: what was told of it stands
                old.live.record.notices.pop(name, None)
        for name, new in after.items():
            old = before.get(name)
            if old is None:
                self._started(new)
            elif (old.times, old.whose, old.under) == (new.times, new.whose, new.under):
                continue
            else:
                if new.clock.breached_us is not None and old.state in OPEN:
                    self._warned_before(new)
                self._changed(old, new, late)
            changed.append(new)
        for name, new in after.items():
            if new.clock.breached_us is None and name not in new.live.record.notices:
                continue
            self._breach(new)
            if late or not moved:
                self._warnings(new)
            if new.state == "missed" and (name not in before or before[name].state in OPEN):
                self._say(new, sla.ClockMissed, satisfied_at=_satisfied(new))
        return changed

    def _vanished(self, old: Seen) -> None:
        """A clock that the task's own policy does not have, or whose message went elsewhere."""
        clock = old.clock
        notice = old.live.record.notices.get(old.name)
        if notice is not None and notice.breached:
            self._withdraw(old, "breached")
        elif notice is not None and notice.warned:
            self._withdraw(old, "warning", level=0.0)
        if old.state in OPEN:
            clock.state, clock.due_us, clock.ended_us = "cancelled", None, self._now_us
            self._say(old, sla.ClockCancelled, state="cancelled")
        clock.breached_us = None  # taken back, as it was told
        old.live.record.notices.pop(old.name, None)

    def _started(self, new: Seen) -> None:
        self._say(new, sla.ClockStarted, target_s=seconds(new.clock.target_us))
        if new.task_id is not None:
            self._bound(new)
        self._warned_before(new)
        if new.state == "paused":
            self._say(new, sla.ClockPaused, reason=_reason(new.clock))
        elif new.state not in OPEN:
            self._ended(new)

    def _bound(self, new: Seen) -> None:
        """The router acts on what it hears of a task; of this one it heard nothing before."""
        notice = new.live.record.notices.get(new.name, Notice())
        breached = notice.breached and self._breach_stands(new)
        warned = max(map(float, self._standing(new, notice)), default=0.0)
        told = {"queue": new.queue, "state": new.state, "warned": warned, "breached": breached}
        self._say(new, sla.ClockBound, **told)

    def _changed(self, old: Seen, new: Seen, late: bool) -> None:
        if new.task_id != old.task_id:
            self._bound(new)
        if old.times == new.times:
            return
        if late:
            self._say(new, sla.ClockCorrected, because="an event came late")
        state = new.state
        if state == old.state:
            if state == "running" and new.deadline != old.deadline:
                self._say(new, sla.ClockMoved, because=_because(old, new))
        elif state == "paused":
            self._say(new, sla.ClockPaused, reason=_reason(new.clock))
        elif state == "running":
            self._say(new, sla.ClockResumed)
        else:
            self._ended(new)

    def _ended(self, new: Seen) -> None:
        if new.state == "met":
            notice = new.live.record.notices.get(new.name)
            predicted = notice is not None and notice.predicted_us is not None
            self._say(new, sla.ClockMet, satisfied_at=_satisfied(new), predicted=predicted)
        elif new.state != "missed":  # told after its breach
            self._say(new, sla.ClockCancelled, state=new.state)

    def _breach(self, new: Seen) -> None:
        """A breach that the events themselves show, or that they take back."""
        notices = new.live.record.notices
        notice = notices.get(new.name)
        told = notice is not None and notice.breached
        if new.clock.breached_us is not None and not told:
            self.breached(new.live, new.clock, new.clock.breached_us)
        elif told and not self._breach_stands(new):
            assert notice is not None
            notice.breached = False
            self._withdraw(new, "breached")

    def _warned_before(self, new: Seen) -> None:
        """Warnings come before their breach and the clock's end, also where nobody was there when they
        were due; not those that hours of notices hold back."""
        if new.clock.breached_us is None:
            return
        notice = new.live.record.notices.get(new.name)
        told = notice is not None and notice.breached
        target, policy = new.live.target(new.clock), new.live.fold.policy
        if told or target is None:
            return
        if policy is not None and policy.notice_calendar and policy.warnings_out_of_hours != "send":
            return
        for level in target.warn_at:
            if level <= 1 and (notice is None or str(level) not in notice.warned):
                self.warned(new.live, new.clock, level)

    def _warnings(self, new: Seen) -> None:
        """Warnings that the events in their order take back: it never came so far, or not yet."""
        notice = new.live.record.notices.get(new.name)
        if notice is None or not notice.warned:
            return
        stands = self._standing(new, notice)
        if len(stands) < len(notice.warned):
            notice.warned = stands
            self._withdraw(new, "warning", level=max(map(float, stands), default=0.0))

    def _breach_stands(self, seen: Seen) -> bool:
        return seen.live.fold.hands.breach(seen.clock, self._now_us) is not None

    def _standing(self, seen: Seen, notice: Notice) -> dict[str, int]:
        """The warnings told, by level, that the clock has come to."""
        if not notice.warned:
            return {}
        used = seen.live.fold.hands.elapsed(seen.clock, self._now_us)
        return {
            level: at
            for level, at in notice.warned.items()
            if used >= round(seen.clock.target_us * float(level))
        }

    def _withdraw(self, seen: Seen, what: str, **more: object) -> None:
        because = "an event came late"
        self._say(seen, sla.ClockCorrected, because=because, withdrawn=what, **more)

    def breached(self, live: Live, clock: Clock, due_us: int) -> None:
        """Tells a breach, with the instant it was due at, once."""
        notice = live.record.notices.setdefault(live.clock_id(clock), Notice())
        notice.breached = True
        event = self._make(
            live,
            clock,
            sla.ClockBreached,
            detected_lag_s=seconds(max(0, self._now_us - due_us)),
            predicted=notice.predicted_us is not None,
        )
        event.due_at = format_instant(due_us)
        self._emit(live, clock, event)

    def warned(self, live: Live, clock: Clock, level: float) -> None:
        """Tells a warning, once."""
        notice = live.record.notices.setdefault(live.clock_id(clock), Notice())
        notice.warned[str(level)] = self._now_us
        self._emit(live, clock, self._make(live, clock, sla.ClockWarning, level=float(level)))

    def climbed(self, live: Live, clock: Clock, rung: Rung) -> None:
        """Tells a level of the ladder, once."""
        notice = live.record.notices.setdefault(live.clock_id(clock), Notice())
        notice.rungs[rung.name] = self._now_us
        told = {"name": rung.name, "used": float(rung.used), "notify": list(rung.notify)}
        self._emit(live, clock, self._make(live, clock, sla.ClockNotice, **told))

    def looked(self, live: Live, clock: Clock, expected_us: int | None) -> None:
        """Tells a breach that is to be expected, once; `expected_us`: when the clock should stop."""
        notice = live.record.notices.setdefault(live.clock_id(clock), Notice())
        late = expected_us is not None and clock.due_us is not None and expected_us > clock.due_us
        if expected_us is None or not late or notice.predicted_us is not None:
            return
        notice.predicted_us = self._now_us
        told = {
            "expected_wait_s": seconds(expected_us - self._now_us),
            "expected_at": format_instant(expected_us),
        }
        self._emit(live, clock, self._make(live, clock, sla.ClockPredictedBreach, **told))

    def _say(self, seen: Seen, kind: type[sla.SlaEvent], **fields: object) -> None:
        self._emit(seen.live, seen.clock, self._make(seen.live, seen.clock, kind, **fields))

    def _make(
        self, live: Live, clock: Clock, kind: type[sla.SlaEvent], **fields: Any
    ) -> sla.SlaEvent:
        return kind(
            workspace=live.workspace,
            seq=0,
            at=format_instant(self._now_us),
            clock_id=live.clock_id(clock),
            cycle=clock.cycle,
            conversation_id=live.conversation.id,
            metric=clock.metric,
            task_id=live.record.task_id,
            due_at=optional_instant(clock.due_us),
            **fields,
        )


def _satisfied(seen: Seen) -> str:
    return format_instant(seen.clock.satisfied_us or 0)


def _because(old: Seen, new: Seen) -> str:
    if new.task_id != old.task_id:
        return "bound"
    return new.clock.moved or "derived_again"


def _reason(clock: Clock) -> str | None:
    return clock.spans[-1].because if clock.spans else None
