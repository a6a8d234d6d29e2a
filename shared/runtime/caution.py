"""After a batch that the store refuses for good: inputs go one by one until the culprit is known."""

from shared.runtime.arrivals import Arrival
from shared.runtime.round import Round

Place = tuple[str, int]
"""Topic and offset."""


class Caution:
    """One shard's; `span` is how many inputs it lasts. What is refused alone is condemned: it goes to
    the dead letters when it comes again."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._left = 0
        self._condemned: set[Place] = set()

    def __bool__(self) -> bool:
        return self._left > 0

    def passed(self) -> None:
        """A batch went through."""
        self._left = max(0, self._left - 1)

    def begin(self) -> None:
        self._left = self._span

    def condemn(self, round_: Round) -> None:
        self._condemned |= {
            (each.arrival.topic, each.arrival.offset)
            for each in round_.applied()
            if each.arrival.offset >= 0
        }

    def condemns(self, arrival: Arrival) -> bool:
        return bool(self._condemned) and (arrival.topic, arrival.offset) in self._condemned
