"""Presence leases: any device keeps the agent there, and only lapse and return become inputs."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from services.router.domain.commands import PRESENCE_LAPSED, PRESENCE_RETURNED
from services.router.presence import PresenceLeases, Present
from shared.contracts.core import Input


class Centre:
    """A runtime that knows who is present, and notes what it is told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.told: list[tuple[str, str]] = []
        self.present, self.lapsed = {"ana"}, set[str]()
        self.leases = PresenceLeases(
            self,  # type: ignore[arg-type]
            lambda: ["acme"],
            lambda core: Present(frozenset(self.present), frozenset(self.lapsed), 60.0),
            monotonic=lambda: self.now_s,
        )

    async def query(self, workspace: str, view: Callable[[Any], Any]) -> Any:
        return view(None)

    async def submit(self, workspace: str, what: Input, **more: Any) -> None:
        agent = msgspec.json.decode(what.body)["agent"]
        self.told.append((what.name, agent))
        lapsed = what.name == PRESENCE_LAPSED
        (self.present.discard if lapsed else self.present.add)(agent)
        (self.lapsed.add if lapsed else self.lapsed.discard)(agent)

    async def live(self, seconds: float, *devices_s: float) -> None:
        """Time passes; each device polls at its own interval, the check runs each second."""
        until = self.now_s + seconds
        while self.now_s < until:
            self.now_s += 1
            if any(self.now_s % each_s == 0 for each_s in devices_s):
                await self.leases.renew("acme", "ana")
            await self.leases.check("acme")


def test_a_phone_keeps_the_agent_while_a_background_tab_sleeps():
    async def story() -> Centre:
        centre = Centre()
        await centre.live(100, 25, 10)  # two devices
        await centre.live(300, 25)  # one is asleep
        return centre

    assert asyncio.run(story()).told == []


def test_a_device_that_comes_and_goes_within_the_lease_does_not_flap():
    async def story() -> Centre:
        centre = Centre()
        for _ in range(5):
            await centre.live(1, 1)
            await centre.live(59)
        return centre

    assert asyncio.run(story()).told == []


def test_lapse_and_return_are_told_once_each():
    async def story() -> Centre:
        centre = Centre()
        await centre.live(10, 5)
        await centre.live(200)
        await centre.live(30, 1, 2)
        return centre

    assert asyncio.run(story()).told == [(PRESENCE_LAPSED, "ana"), (PRESENCE_RETURNED, "ana")]


def test_a_call_right_after_the_lapse_returns_the_agent_at_once():
    async def story() -> Centre:
        centre = Centre()
        await centre.live(61)
        assert centre.told == []
        await centre.live(1)
        await centre.leases.renew("acme", "ana")  # before the next look at who has lapsed
        return centre

    assert asyncio.run(story()).told == [(PRESENCE_LAPSED, "ana"), (PRESENCE_RETURNED, "ana")]


def test_a_call_to_an_owner_who_has_not_looked_yet_returns_the_agent_with_the_first_look():
    async def story() -> Centre:
        centre = Centre()
        centre.present, centre.lapsed = set(), {"ana"}
        await centre.leases.renew("acme", "ana")
        await centre.leases.check("acme")
        return centre

    assert asyncio.run(story()).told == [(PRESENCE_RETURNED, "ana")]


def test_who_waits_for_long_renews_twice_a_lease():
    async def story() -> Centre:
        centre = Centre()
        assert centre.leases.renew_every_s("acme") == 2.5  # not known yet: the shortest there is
        await centre.live(1)
        return centre

    assert asyncio.run(story()).leases.renew_every_s("acme") == 30
