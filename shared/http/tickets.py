"""One-time stream tickets of a single process; the twin of the platform store's."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from shared.contracts.instants import SECOND_US, format_instant
from shared.http.principals import Principal

LIFETIME_S = 30
MAX_TICKETS = 10_000


class MemoryTickets:
    """Implements `Tickets`; forgets the oldest beyond MAX_TICKETS."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._open: OrderedDict[str, tuple[Principal, str, float]] = OrderedDict()

    async def create(self, principal: Principal, workspace: str) -> tuple[str, str]:
        ticket, until = secrets.token_urlsafe(32), self._clock() + LIFETIME_S
        self._open[ticket] = (principal, workspace, until)
        if len(self._open) > MAX_TICKETS:
            self._open.popitem(last=False)
        return ticket, format_instant(int(until) * SECOND_US)

    async def consume(self, ticket: str) -> tuple[Principal, str] | None:
        found = self._open.pop(ticket, None)
        if found is None or found[2] < self._clock():
            return None
        return found[0], found[1]
