"""How people call the services: over any host, again with the same key until they know."""

import asyncio
from typing import Any

import msgspec

from shared.contracts.core import Core, Input
from shared.contracts.problems import Refused
from shared.runtime.port import CommandFailed, IdempotencyKey, Reply, Unavailable
from shared.testing.simulation.hosts import Cluster, Unknown
from shared.testing.simulation.ledger import Acked, Ledger

MOST_ATTEMPTS = 300  # host after host may die: minutes


class Caller:
    """One person's client. Each command has its own key unless `keyed` is False."""

    def __init__(self, cluster: Cluster, ledger: Ledger, name: str) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.name = name
        self.random = cluster.chance.stream(f"caller {name}")
        self._count = 0

    async def command(
        self,
        workspace: str,
        name: str,
        body: dict[str, Any],
        *,
        service: str = "router",
        keyed: bool = True,
        kind: Any = "command",
    ) -> dict[str, Any] | None:
        """The reply; None when it was refused. Comes back only with a definite answer."""
        self._count += 1
        self.ledger.commands += 1
        what = Input(kind, name, msgspec.json.encode(body), actor=f"agent:{self.name}")
        key = IdempotencyKey(self.name, f"k{self._count}", b"same") if keyed else None
        for attempt in range(1, MOST_ATTEMPTS):
            try:
                reply = await self._once(service, workspace, what, key)
            except Refused as refused:
                if refused.reason != "in_flight":
                    self.ledger.refused += 1
                    return None
            except (Unavailable, Unknown):
                pass
            except CommandFailed:
                self.ledger.complain(f"the core failed on {name} {body}")
                return None
            else:
                return await self._answered(service, workspace, what, key, body, reply, attempt)
            await asyncio.sleep(self.random.uniform(0.1, 0.6))
        self.ledger.complain(f"{self.name} never got an answer to {name}")
        return None

    async def _once(
        self, service: str, workspace: str, what: Input, key: IdempotencyKey | None
    ) -> Reply:
        return await self.cluster.call(
            service, lambda runtime: runtime.submit(workspace, what, idempotency=key)
        )

    async def _answered(
        self,
        service: str,
        workspace: str,
        what: Input,
        key: IdempotencyKey | None,
        body: dict[str, Any],
        reply: Reply,
        attempts: int,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(reply.body) if reply.body else {}
        at_us = self.cluster.clock.wall_us()
        self.ledger.acked.append(
            Acked(workspace, what.name, body, answer, at_us, attempts, key is not None)
        )
        if key is not None and (attempts > 1 or self.random.random() < 0.05):
            self.cluster.chance.count("command repeated with its key")
            await self._repeat(service, workspace, what, key, reply)
        return answer

    async def _repeat(
        self, service: str, workspace: str, what: Input, key: IdempotencyKey, first: Reply
    ) -> None:
        """The same key again gives the recorded reply, whoever answers."""
        for _ in range(5):
            try:
                again = await self._once(service, workspace, what, key)
            except (Unavailable, Unknown):
                await asyncio.sleep(self.random.uniform(0.1, 0.6))
                continue
            except Refused as refused:
                if refused.reason != "in_flight":
                    self.ledger.complain(f"{what.name} was answered before, and refused now")
                continue
            if again.body != first.body or not again.replayed:
                self.ledger.complain(f"{what.name} with the same key was answered differently")
            return

    async def look(self, workspace: str, view: Any, service: str = "router") -> Any:
        """`view` of the committed state; None when nobody answers or there is no such thing."""

        def read(core: Core) -> Any:
            return view(core)

        try:
            return await self.cluster.call(service, lambda runtime: runtime.query(workspace, read))
        except (Unavailable, Unknown, Refused):
            return None
