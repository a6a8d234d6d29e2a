"""All chance of one life, and how often each fault has struck."""

from collections import Counter
from random import Random

# Every kind of fault; a run over many seeds must have met each of them.
FAULTS: tuple[str, ...] = (
    "crash before commit",
    "crash after commit",
    "crash before publishing",
    "crash after publishing",
    "crash while loading",
    "crash at any moment",
    "clean stop",
    "commit rolled back",
    "commit answer lost",
    "rollback answer lost",
    "lease stolen at commit",
    "lease stolen",
    "owner frozen past its lease",
    "stale owner refused",
    "owner frozen briefly",
    "store unavailable",
    "store call failed",
    "bus unavailable",
    "send failed",
    "send torn",
    "send answer lost",
    "event posted twice",
    "event redelivered late",
    "topic delayed",
    "edit before its message",
    "clock set back",
    "slow commit",
    "poison record",
    "presence lapsed",
    "client gave up waiting",
    "command repeated with its key",
)


class Chance:
    """Independent streams by name, so that one actor's draws do not move another's."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.calm = False

    def stream(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def count(self, fault: str, times: int = 1) -> None:
        assert fault in FAULTS, fault
        self.counts[fault] += times
