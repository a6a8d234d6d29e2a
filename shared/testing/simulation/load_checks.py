"""What each agent has at hand, by the router's events: nothing may be placed where it has no room."""

from typing import NamedTuple

from shared.testing.simulation.centre import Centre


class Load(NamedTuple):
    """One offer or task at an agent's."""

    channel: str
    held: bool = False


class Loads:
    """Of all agents of a workspace."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._of: dict[str, dict[str, Load]] = {}

    def put(self, agent: str, name: str, load: Load) -> None:
        self._of.setdefault(agent, {})[name] = load

    def leave(self, agent: str, name: str) -> None:
        self._of.get(agent, {}).pop(name, None)

    def lack(self, agent: str, channel: str) -> str:
        """Why one more task of `channel` has no room at an agent's; "" where it has. What it may
        interrupt does not count; what costs nothing while held has no place of its own either."""
        centre, has = self._centre, tuple(self._of.get(agent, {}).values())
        used = centre.cost(channel) + sum(
            centre.cost(one.channel, held=one.held)
            for one in has
            if not centre.yields(one.channel, channel)
        )
        beside = [
            one for one in has if one.channel == channel and centre.cost(channel, held=one.held)
        ]
        if len(beside) >= centre.cap(agent, channel):
            return f"{agent} has {len(beside)} of {channel} already"
        if used > centre.capacity(agent):
            return f"{agent} would have {used} of {centre.capacity(agent)} units"
        return ""

    def is_interrupted(self, agent: str, channel: str) -> bool:
        """Whether one more task of `channel` has room only because other work does not count."""
        has = self._of.get(agent, {}).values()
        units = sum(self._centre.cost(one.channel, held=one.held) for one in has)
        return units + self._centre.cost(channel) > self._centre.capacity(agent)
