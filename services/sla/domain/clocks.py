"""The clocks of one stretch of work under its policy: which there are, what pauses them, what a change does."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from services.sla.domain.clock import OPEN, Clock, Ended, Hands
from services.sla.domain.episode import Episode
from services.sla.domain.events import Event
from services.sla.domain.holds import start_in_past
from services.sla.domain.policy import EVENTFUL, Book, Goal, Mode, Policy, Target
from shared.rules import Condition, Variables

LIFELONG = ("resolution", "first_resolution", "customer_wait", "agent_work")
FROM_THE_START = (*LIFELONG, "time_to_assign")
_NONE: Mapping[str, Hands] = {}
CLOCKS_MAX = 64  # kept in memory of one episode; finished ones are dropped oldest first


class Clocks:
    """Starts, pauses, moves and ends the clocks of an episode. `book` is the configuration it is pinned
    to; `books` gives the one that a `policy_changed` event names by its key. `shed`, where it is a list,
    takes the clocks that are let go of because there are many; `former`: the hands from before each change
    of policies, by its key."""

    __slots__ = (
        "_book", "_books", "_event", "_hands", "_policy", "_variables", "episode", "former", "shed",
    )  # fmt: skip

    def __init__(self, episode: Episode, book: Book, books: Callable[[str], Book]) -> None:
        self.episode = episode
        self._book = book
        self._books = books
        self._policy = _find(book, episode.policy)
        self._hands = Hands(book.windows)
        self._variables: Variables | None = None
        self._event: Event | None = None
        self.shed: list[Clock] | None = None
        self.former: Mapping[str, Hands] = _NONE

    @property
    def policy(self) -> Policy | None:
        return self._policy

    def foreseen_policy(self) -> Policy | None:
        """The policy, or the one that the first event will choose by what is known without it."""
        return self._policy if self.episode.chosen else self._chosen()

    def count_by(self, book: Book, books: Callable[[str], Book]) -> None:
        """The same configuration, read elsewhere."""
        self._book, self._books = book, books
        self._hands = Hands(book.windows)

    @property
    def hands(self) -> Hands:
        return self._hands

    # What conditions see.

    def _vars(self) -> Variables:
        if self._variables is None:
            self._variables = self._vars_with(self.episode.facts.task)
        return self._variables

    def _vars_with(self, task: dict[str, Any]) -> Variables:
        event, customer = self._event, self.episode.facts.customer or {}
        happened: dict[str, Any] = {} if event is None else {**event.fields, "type": event.type}
        return Variables(EVENTFUL, {"task": task, "customer": customer, "event": happened})

    def _choosing(self) -> Variables:
        """What policies are chosen by: a priority that escalation raised is not among it."""
        facts = self.episode.facts
        if facts.task.get("priority") == facts.level:
            return self._vars()
        return self._vars_with({**facts.task, "priority": facts.level})

    def _chosen(self) -> Policy | None:
        """The first policy that holds."""
        return self._book.choose(self._choosing()) if self._book.policies else None

    def _goal(self, target: Target) -> Goal:
        facts = self.episode.facts
        return target.goal_at(facts.level, facts.task.get("channel"))

    def _holds(self, condition: Condition | None) -> bool:
        return condition is not None and condition.evaluate(self._vars()).holds

    # Policies.

    def _adopt(self, policy: Policy | None) -> None:
        self._policy = policy
        self.episode.policy = None if policy is None else (policy.id, policy.version)

    def _choose_again(self, at_us: int, mode: Mode | None = None, *, anew: bool = False) -> None:
        """Priority, queue or policies have changed: clocks follow. `anew`: also where the policy is
        the same, since its calendars may not be."""
        before = self._policy
        self._adopt(self._chosen())
        policy = self._policy
        if policy is None:
            self._end_all(at_us, "cancelled")
            return
        how = mode or policy.on_change
        for clock in self.open_clocks():
            self._follow(clock, policy, at_us, how, anew=anew or policy is not before)
        if policy is not before:
            self._start_missing(at_us, retroactive=how == "recompute")

    def _follow(
        self, clock: Clock, policy: Policy, at_us: int, how: Mode, *, anew: bool = False
    ) -> None:
        """An open clock takes the policy's goal and calendar where they are not the ones it has."""
        target = policy.find(clock.metric)
        if target is None:
            self._hands.end(clock, at_us, "cancelled")
            return
        goal = self._goal(target)
        calendar = policy.calendar_of(target, self._choosing())
        if anew or goal != clock.goal or calendar != clock.calendar:
            self._rest_on(calendar)
            self._hands.retarget(clock, at_us, how, goal, calendar)
            self._hands.bound_anew(clock, at_us, target.pause_max_us)
            clock.policy_id, clock.policy_version = policy.id, policy.version
            clock.moved = "" if self._event is None else self._event.type

    def _start_missing(self, at_us: int, *, retroactive: bool) -> None:
        """Starts what a policy that came later asks for; retroactively from where it would have
        begun."""
        episode = self.episode
        if episode.ended:
            return

        def since(anchor: int | None) -> int:
            return anchor if retroactive and anchor is not None else at_us

        begun = episode.created_us if episode.created_us is not None else episode.first_us
        if begun is not None:
            task = episode.facts.task
            waits = task.get("state") == "pending" and not task.get("agent_id")
            for metric in self._targets(FROM_THE_START if waits else LIFELONG):
                if self._last(metric) is None or self._was_cancelled(metric):
                    self._start(metric, since(begun))
        if episode.awaiting_us is not None:
            self._await_answer(since(episode.awaiting_us))

    # Clocks.

    def _targets(self, metrics: tuple[str, ...]) -> list[str]:
        """Those that the policy has a target for."""
        wanted = () if self._policy is None else self._policy.targets
        return [metric for metric in metrics if metric in wanted]

    def open_clocks(self) -> list[Clock]:
        return [clock for clock in self.episode.clocks if clock.state in OPEN]

    def _open(self, metric: str) -> Clock | None:
        for clock in reversed(self.episode.clocks):
            if clock.metric == metric and clock.state in OPEN:
                return clock
        return None

    def _last(self, metric: str) -> Clock | None:
        for clock in reversed(self.episode.clocks):
            if clock.metric == metric:
                return clock
        return None

    def _was_cancelled(self, metric: str) -> bool:
        last = self._last(metric)
        return last is not None and last.state == "cancelled"

    def _start(self, metric: str, at_us: int) -> None:
        """A new cycle of a metric, where the policy has a target and none is open."""
        policy = self._policy
        target = None if policy is None else policy.targets.get(metric)
        if policy is not None and target is not None and self._open(metric) is None:
            self._begin(policy, target, at_us)

    def _begin(self, policy: Policy, target: Target, at_us: int) -> None:
        episode = self.episode
        cycle = episode.cycles.get(target.metric, 0) + 1
        episode.cycles[target.metric] = cycle
        goal, calendar = self._goal(target), policy.calendar_of(target, self._choosing())
        self._rest_on(calendar)
        clock = Clock(
            target.metric, cycle, policy.id, policy.version, calendar, at_us, 0, goal, spans=[]
        )
        now_us = 0 if self._event is None else self._event.at_us
        if at_us < now_us:
            because = partial(self._paused_when_held, target)
            most_us = target.pause_max_us
            start_in_past(self._hands, clock, episode.holds, because, most_us, now_us)
        else:
            self._hands.start(clock, self._paused_because(target))
            if clock.state == "paused":
                self._hands.bound_pause(clock, at_us, target.pause_max_us)
        episode.clocks.append(clock)
        if len(episode.clocks) > CLOCKS_MAX:
            self._shed_oldest()

    def _rest_on(self, calendar: str) -> None:
        if calendar not in self.episode.calendars:
            self.episode.calendars += (calendar,)

    def _shed_oldest(self) -> None:
        """Lets go of the oldest clock that has ended; the last of each metric stays, for it tells
        what has been and may go on."""
        episode = self.episode
        for clock in episode.clocks:
            if not clock.is_open and clock.cycle < episode.cycles[clock.metric]:
                episode.clocks.remove(clock)
                if self.shed is not None:
                    self.shed.append(clock)
                return

    def _paused_when_held(self, target: Target, reason: str | None) -> str | None:
        """Why a clock would be paused were the task held for `reason` (None: not held)."""
        if target.pause is None:
            return None
        task = {**self.episode.facts.task, "held": reason is not None, "hold_reason": reason}
        if not target.pause.evaluate(self._vars_with(task)).holds:
            return None
        return reason or target.pause.source

    def _end(self, metric: str, at_us: int, how: Ended) -> None:
        clock = self._open(metric)
        if clock is not None:
            self._hands.end(clock, at_us, how)

    def _end_each(self, metrics: tuple[str, ...], at_us: int, how: Ended) -> None:
        """The open clock of each metric, in the order of the metrics."""
        if self.episode.clocks:
            for metric in metrics:
                self._end(metric, at_us, how)

    def _end_all(self, at_us: int, how: Ended) -> None:
        for clock in self.open_clocks():
            self._hands.end(clock, at_us, how)

    def _paused_because(self, target: Target) -> str | None:
        if not self._holds(target.pause):
            return None
        assert target.pause is not None
        task = self.episode.facts.task
        if task.get("held"):
            return str(task.get("hold_reason") or "held")
        return target.pause.source

    def _hold_or_run(self, at_us: int) -> None:
        """Pauses and resumes each open clock as its condition says now."""
        policy = self._policy
        for clock in self.episode.clocks:
            if clock.state not in OPEN:
                continue
            target = None if policy is None else policy.find(clock.metric)
            because = None
            if target is not None and target.pause is not None:
                because = self._paused_because(target)
            if because is None:
                if clock.state == "paused":
                    self._hands.resume(clock, at_us)
            elif clock.state == "paused":
                self._hands.pause_on(clock, at_us, because)
            elif not clock.capped:
                assert target is not None
                self._hands.pause(clock, at_us, because, target.pause_max_us)

    def _stop_named(self, event: Event) -> None:
        for target in self._policy.named if self._policy else ():
            clock = self._open(target.metric)
            if clock is not None and self._holds(target.stop):
                self._hands.end(clock, event.at_us, "met")

    def _start_named(self, event: Event) -> None:
        policy = self._policy
        if policy is None or self.episode.ended in ("closed", "abandoned", "cancelled"):
            return
        for target in policy.named:
            if self._open(target.metric) is not None or self._holds(target.stop):
                continue  # what stops a clock goes before what starts it
            if self._holds(target.start):
                self._begin(policy, target, event.at_us)

    def _await_answer(self, at_us: int) -> None:
        """A customer waits: the first response where it is wanted and still due, else the next."""
        policy, episode = self._policy, self.episode
        if policy is None:
            return
        if "first_response" in policy.targets and not episode.answered:
            self._start("first_response", at_us)
        else:
            self._start("next_response", at_us)


def _find(book: Book, pinned: tuple[str, int] | None) -> Policy | None:
    if pinned is None:
        return None
    return next((p for p in book.policies if (p.id, p.version) == tuple(pinned)), None)
