"""Presence leases: polling or streaming renews them; only lapse and return become inputs.

The leases are this process's memory. After a take-over every agent that is present gets a full one.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from services.router.domain.commands import PRESENCE_LAPSED, PRESENCE_RETURNED, Presence
from shared.contracts.core import Core, Input
from shared.runtime.owned import for_each
from shared.runtime.port import RuntimePort

TICK_S = 1.0
SHORTEST_LEASE_S = 5.0


class Present(msgspec.Struct, frozen=True):
    """What presence leases need to know of a workspace."""

    agents: frozenset[str]
    lapsed: frozenset[str]
    lease_s: float


class PresenceLeases:
    """`present_of` reads a core; `run` must be kept running."""

    def __init__(
        self,
        runtime: RuntimePort,
        owned: Callable[[], list[str]],
        present_of: Callable[[Core], Present],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._owned = owned
        self._present_of = present_of
        self._monotonic = monotonic
        self._renewed: dict[str, dict[str, float]] = {}
        self._lapsed: dict[str, frozenset[str]] = {}
        self._lease_s: dict[str, float] = {}

    async def renew(self, workspace: str, agent: str) -> None:
        """The agent was heard of. A lapsed one gets back the status he had."""
        self._renewed.setdefault(workspace, {})[agent] = self._monotonic()
        if agent in self._lapsed.get(workspace, ()):
            self._lapsed[workspace] = self._lapsed[workspace] - {agent}
            await self._tell(workspace, agent, PRESENCE_RETURNED)

    def renew_every_s(self, workspace: str) -> float:
        """How often a call that waits for long renews, so that nobody lapses who is connected."""
        return self._lease_s.get(workspace, SHORTEST_LEASE_S) / 2

    async def run(self) -> None:
        """Look for lapsed leases once a second. Until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            owned = self._owned()
            await for_each(owned, self.check, "presence.skipped")
            for gone in self._renewed.keys() - set(owned):
                self._renewed.pop(gone, None)
                self._lapsed.pop(gone, None)
                self._lease_s.pop(gone, None)

    async def check(self, workspace: str) -> None:
        """Report the workspace's lapsed leases."""
        present = await self._runtime.query(workspace, self._present_of)
        self._lapsed[workspace] = present.lapsed
        self._lease_s[workspace] = present.lease_s
        renewed = self._renewed.setdefault(workspace, {})
        now = self._monotonic()
        for agent in present.agents:
            if now - renewed.setdefault(agent, now) > present.lease_s:
                renewed.pop(agent)
                self._lapsed[workspace] |= {agent}
                await self._tell(workspace, agent, PRESENCE_LAPSED)
        for agent in sorted(present.lapsed & renewed.keys()):
            # Heard of since, when nobody here knew yet that he had lapsed.
            await self.renew(workspace, agent)
        for agent in renewed.keys() - present.agents - present.lapsed:
            if now - renewed[agent] > present.lease_s:
                del renewed[agent]

    async def _tell(self, workspace: str, agent: str, what: str) -> None:
        body = msgspec.json.encode(Presence(agent))
        await self._runtime.submit(
            workspace, Input("lifecycle", what, body, actor=f"agent:{agent}")
        )
