"""What is due on an episode by itself: warnings, levels of ladders, breaches, looks ahead."""

from typing import Literal, NamedTuple

from services.sla.domain.clock import Clock
from services.sla.domain.conversation import Live, Notice
from services.sla.domain.policy import OutOfHours, Rung, Target

NEVER_US = 2**62
Kind = Literal["look", "warning", "rung", "breach"]
LOOKS = (0.5, 0.8)  # shares of a target at which a breach is looked for ahead
FORETOLD = frozenset({"first_response", "next_response", "time_to_assign", "resolution"})
_ORDER: dict[Kind, int] = {"look": 0, "warning": 1, "rung": 2, "breach": 3}


class Due(NamedTuple):
    """`level`: of a warning or a look; `rung`: of a ladder."""

    at_us: int
    clock: Clock
    kind: Kind
    level: float = 0
    rung: Rung | None = None


def due_on(live: Live) -> list[Due]:
    """The next notices of an episode's running clocks, by time.

    A breach is due one microsecond after the deadline: until then it is kept.
    """
    found: list[Due] = []
    for clock in live.clocks:
        if clock.state == "running":
            found += _of_clock(live, clock)
    return found if len(found) < 2 else sorted(found, key=_place)


def next_due_us(live: Live) -> int | None:
    """When the first of `due_on` is due, found with less work."""
    first, notices = NEVER_US, live.record.notices
    for clock in live.fold.episode.clocks:
        if clock.state != "running":
            continue
        notice = notices.get(live.clock_id(clock)) if notices else None
        if clock.due_us is not None and not (notice and notice.breached):
            first = min(first, clock.due_us + 1, _next_look_us(live, clock, notice))
        target = live.target(clock)
        if target is not None and (target.warn_at or target.ladder):
            first = min(first, _next_notice_us(live, clock, target, notice))
    return first if first < NEVER_US else None


def _next_look_us(live: Live, clock: Clock, notice: Notice | None) -> int:
    looked = notice.looked if notice else 0
    if clock.metric not in FORETOLD or looked >= len(LOOKS) or live.record.task_id is None:
        return NEVER_US
    at_us = live.fold.hands.used_at(clock, LOOKS[looked])
    return NEVER_US if at_us is None else at_us


def _next_notice_us(live: Live, clock: Clock, target: Target, notice: Notice | None) -> int:
    """Of shares that are not held back by the hours of notices the least is the first."""
    policy = live.fold.policy
    if policy is not None and policy.notice_calendar is not None:
        found = _of_target(live, clock, target, notice)
        return min((due.at_us for due in found), default=NEVER_US)
    warned = notice.warned if notice else {}
    climbed = notice.rungs if notice else {}
    shares = [level for level in target.warn_at if str(level) not in warned]
    shares += [rung.used for rung in target.ladder if rung.name not in climbed]
    at_us = live.fold.hands.used_at(clock, min(shares)) if shares else None
    return NEVER_US if at_us is None else at_us


def _place(due: Due) -> tuple[int, str, int, float]:
    return (due.at_us, due.clock.metric, _ORDER[due.kind], due.level)


def _of_clock(live: Live, clock: Clock) -> list[Due]:
    notice = live.record.notices.get(live.clock_id(clock))
    found: list[Due] = []
    if clock.due_us is not None and not (notice and notice.breached):
        found.append(Due(clock.due_us + 1, clock, "breach"))
        looked = notice.looked if notice else 0
        if clock.metric in FORETOLD and looked < len(LOOKS) and live.record.task_id is not None:
            at_us = live.fold.hands.used_at(clock, LOOKS[looked])
            if at_us is not None:
                found.append(Due(at_us, clock, "look", LOOKS[looked]))
    target = live.target(clock)
    if target is not None and (target.warn_at or target.ladder):
        found += _of_target(live, clock, target, notice)
    return found


def _of_target(live: Live, clock: Clock, target: Target, notice: Notice | None) -> list[Due]:
    policy = live.fold.policy
    out_of_hours: OutOfHours = "send" if policy is None else policy.warnings_out_of_hours
    found: list[Due] = []
    for level in target.warn_at:
        if notice is None or str(level) not in notice.warned:
            at_us = _heard(live, live.fold.hands.used_at(clock, level), out_of_hours)
            if at_us is not None:
                found.append(Due(at_us, clock, "warning", level))
    for rung in target.ladder:
        if notice is None or rung.name not in notice.rungs:
            at_us = _heard(live, live.fold.hands.used_at(clock, rung.used), rung.out_of_hours)
            if at_us is not None:
                found.append(Due(at_us, clock, "rung", rung.used, rung))
    return found


def _heard(live: Live, at_us: int | None, out_of_hours: OutOfHours) -> int | None:
    """When a notice goes out: at once, or as the hours of notices allow; None: never."""
    policy = live.fold.policy
    if at_us is None or policy is None or policy.notice_calendar is None or out_of_hours == "send":
        return at_us
    opens = live.fold.hands.of(policy.notice_calendar).forward(at_us, 0)
    return opens if out_of_hours == "hold" or opens == at_us else None
