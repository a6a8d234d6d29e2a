"""The supervisor of a workspace that is killed: moves tasks about, merges customers, promises calls."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from shared.testing.kill_setup import AGENTS, CUSTOMERS, Bodies
from shared.testing.kill_workload import Place

PAUSE_S = 0.6


class Supervisor:
    """`run` steers until the place is closed."""

    def __init__(self, place: Place, seed: str) -> None:
        self._place = place
        self._chance = Random(f"{seed}:{place.name}:supervisor")
        self._count = 0

    async def run(self) -> None:
        while self._place.is_open:
            await asyncio.sleep(self._chance.expovariate(1 / PAUSE_S))
            drawn = self._chance.random()
            if drawn < 0.2:
                await self._call_back()
            elif drawn < 0.3:
                await self._merge_or_part()
            else:
                await self._steer()

    def _key(self) -> str:
        self._count += 1
        return f"steer-{self._count}"

    async def _call_back(self) -> None:
        at = datetime.now(UTC) + timedelta(seconds=self._chance.choice((0, 2, 5)))
        customer = self._chance.choice(CUSTOMERS)
        body = {"channel": "chat", "customer_id": customer, "kind": "call_back"}
        await self._place.create({**body, "not_before": at.isoformat()}, self._key())

    async def _merge_or_part(self) -> None:
        verb, body = self._chance.choice((("merge", {"into": CUSTOMERS[1]}), ("unmerge", {})))
        await self._place.customer(f"/customers/{CUSTOMERS[0]}:{verb}", body, self._key())

    async def _steer(self) -> None:
        tasks = await self._place.open_tasks()
        if not tasks:
            return
        verb, body = self._chance.choice(self._acts())
        path = f"/tasks/{self._chance.choice(tasks)}:{verb}"
        await self._place.command(path, body, "admin", self._key())

    def _acts(self) -> list[tuple[str, Bodies]]:
        agent = self._chance.choice(AGENTS)
        return [
            ("requeue", {"reason": "moved"}),
            (
                "transfer",
                {"to": {"queue": "second"}, "mode": self._chance.choice(("warm", "blind"))},
            ),
            ("transfer", {"to": {"agent": agent}, "mode": "warm"}),
            ("transfer", {"to": {"policy": "default"}, "keep_place": False}),
            ("reprioritize", {"priority": self._chance.randrange(9)}),
            ("assign", {"agent": agent}),
            ("assign", {"agent": agent, "override_capacity": True}),
            ("hold", {"reason": "asks a colleague"}),
            ("resume", {}),
            ("escalate", {}),
        ]
