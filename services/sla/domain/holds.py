"""When a task was held: what a clock replays that a later policy starts in the past."""

from collections.abc import Callable
from typing import NamedTuple

from services.sla.domain.clock import Clock, Hands

HOLDS_MAX = 64  # remembered of one episode; before them nothing counts as held


class Hold(NamedTuple):
    """A stretch in which the task was held, and why; `to_us` None while it is."""

    from_us: int
    to_us: int | None
    reason: str


def noted(holds: tuple[Hold, ...], at_us: int, reason: str | None) -> tuple[Hold, ...]:
    """`holds` with what holds from an instant on: the reason, or None where the task is not held."""
    last = holds[-1] if holds and holds[-1].to_us is None else None
    if reason == (last.reason if last else None):
        return holds
    if last is not None:
        holds = (*holds[:-1], last._replace(to_us=at_us))
    return holds if reason is None else (*holds[1 - HOLDS_MAX :], Hold(at_us, None, reason))


def start_in_past(
    hands: Hands,
    clock: Clock,
    holds: tuple[Hold, ...],
    because: Callable[[str | None], str | None],
    most_us: int | None,
    now_us: int,
) -> None:
    """Starts a clock before `now_us` and replays the holds since its start.

    `because`: why it is paused while the task is held for a reason (None: not held); `most_us`: open
    time that its pauses may take.
    """
    began_us = clock.started_us
    since = [hold for hold in holds if hold.to_us is None or hold.to_us > began_us]
    at_start = since[0].reason if since and since[0].from_us <= began_us else None
    hands.start(clock, because(at_start))
    if clock.state == "paused":
        hands.bound_pause(clock, began_us, most_us)
    for hold in since:
        if hold.from_us > began_us:
            _turn(hands, clock, hold.from_us, because(hold.reason), most_us)
        if hold.to_us is not None:
            _turn(hands, clock, hold.to_us, because(None), most_us)
    lift_limit(hands, clock, now_us)


def lift_limit(hands: Hands, clock: Clock, now_us: int) -> None:
    """A pause that has used up what the policy allows by now has ended there."""
    if clock.pause_ends_us is not None and clock.pause_ends_us <= now_us:
        hands.resume(clock, clock.pause_ends_us)
        clock.capped = True


def _turn(hands: Hands, clock: Clock, at_us: int, because: str | None, most_us: int | None) -> None:
    lift_limit(hands, clock, at_us)
    if because is None and clock.state == "paused":
        hands.resume(clock, at_us)
    elif because is not None and clock.state == "paused":
        hands.pause_on(clock, at_us, because)
    elif because is not None and not clock.capped:
        hands.pause(clock, at_us, because, most_us)
