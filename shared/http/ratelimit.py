"""Per-workspace token buckets, in the memory of each replica; beyond the rate: 429."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from shared.contracts.problems import Refused

MAX_BUCKETS = 10_000


class Rate(msgspec.Struct, frozen=True):
    """Calls a second in the long run, and how many may come at once. Both > 0."""

    per_s: float
    burst: float


class RateLimiter:
    """`rate_of` gives a workspace's own rate, None for the default; None there: unlimited.

    The least recently used bucket beyond `max_buckets` is forgotten, which is to its favour.
    """

    def __init__(
        self,
        default: Rate | None,
        rate_of: Callable[[str], Rate | None] = lambda workspace: None,
        *,
        max_buckets: int = MAX_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default
        self._rate_of = rate_of
        self._max_buckets = max_buckets
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, workspace: str, cost: float = 1) -> None:
        """Count a call. Raises Refused("rate-limited") with the seconds to wait."""
        rate = self._rate_of(workspace) or self._default
        if rate is None:
            return
        now = self._clock()
        tokens, since = self._buckets.pop(workspace, (rate.burst, now))
        tokens = min(rate.burst, tokens + (now - since) * rate.per_s)
        needed = min(cost, rate.burst)
        passed = tokens >= needed
        self._buckets[workspace] = (tokens - needed if passed else tokens, now)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        if not passed:
            wait_s = max(1, math.ceil((needed - tokens) / rate.per_s))
            raise Refused(
                "rate-limited",
                f"The workspace is over its rate of {rate.per_s:g} calls a second.",
                retry_after_s=wait_s,
            )
