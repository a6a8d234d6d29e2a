"""How a shard follows its log: where it stands, and whether it has caught up."""

from shared.runtime.clock import Clock
from shared.runtime.inbox import Inbox
from shared.runtime.limits import Limits


class Following:
    """One shard's. `reading` counts its loads, `positions` are the stored ones, and the log is
    joined once `attached`."""

    def __init__(self, inbox: Inbox, clock: Clock, limits: Limits) -> None:
        self.reading = 0
        self.attached = False
        self.positions: dict[str, int] = {}
        self.catching_up = True
        self._inbox = inbox
        self._clock = clock
        self._limits = limits
        self._ends: dict[str, int] | None = None
        self._loaded_at = 0.0

    def loaded(self) -> None:
        """The log is to be joined (again)."""
        self._loaded_at = self._clock.monotonic()
        self.reading += 1

    def join(self, starts: dict[str, int], ends: dict[str, int]) -> None:
        """Reading begins at `starts`; up to `ends` it is catching up."""
        self._inbox.start(starts)
        self.positions = dict(starts)
        self._ends = dict(ends)
        self.attached = True

    def leave(self) -> None:
        self.attached, self.catching_up, self._ends = False, True, None

    def caught_up(self) -> bool:
        """True once: when all is decided that the log held as it was joined."""
        if not self.catching_up or self._ends is None:
            return False
        here = self._inbox.positions()
        if any(here[topic] < end for topic, end in self._ends.items()):
            return False
        self.catching_up = False
        return True

    def grace_s(self) -> float:
        """How long commands and timers still wait for the log to be joined."""
        if self.attached:
            return 0.0
        return max(0.0, self._loaded_at + self._limits.attach_grace_s - self._clock.monotonic())
