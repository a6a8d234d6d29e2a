"""How long a batch waits for more: the more comes, the longer, so that one commit serves more."""

from shared.runtime.limits import Limits

WORTH_INPUTS = 8
"""Waiting for as long as it may would bring so many: below that nobody is made to wait."""


class Pace:
    """One shard's. `began_at`: when it began with its latest batch (monotonic)."""

    def __init__(self, limits: Limits) -> None:
        self._least_s = limits.gather_ms / 1000
        self._most_s = max(limits.gather_ms, limits.gather_most_ms) / 1000
        self._inputs = limits.gather_inputs
        self._per_s = 0.0
        self.began_at = 0.0

    def began(self, now: float, took: int) -> None:
        """A batch of `took` inputs begins. Half of what is known of the rate is from it."""
        elapsed_s = max(0.001, now - self.began_at)
        self._per_s = (self._per_s + took / elapsed_s) / 2
        self.began_at = now

    @property
    def least_at(self) -> float:
        """When the next batch may begin."""
        return self.began_at + self._least_s

    @property
    def at(self) -> float:
        """When it begins, unless somebody waits for it."""
        if self._per_s * self._most_s < WORTH_INPUTS:
            return self.least_at
        gathered_s = self._inputs / self._per_s
        return self.began_at + min(self._most_s, max(self._least_s, gathered_s))
