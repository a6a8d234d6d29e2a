"""An agent at work: his compiled configuration and the counters of his load."""

from typing import TYPE_CHECKING

import msgspec

from services.router.domain import config
from services.router.domain.agent_facts import SMALL_BYTES, AgentFacts
from services.router.domain.state import Agent

if TYPE_CHECKING:
    from services.router.domain.pools import Pool


class Desk:
    """Derived from the agent's entity, his open offers and his tasks; never stored.

    `units` and `count`: by channel, units in use and slots taken; `used` is the sum of units.
    `tasks` and `offers`: ids of what he has; `wrapping`: how many of the tasks are in wrap-up.
    `pools`: those whose work he can do. `takes_work`: he is present, and not about to leave.
    """

    __slots__ = (
        "agent", "config", "count", "facts", "id", "offers", "pools", "takes_work", "tasks", "units",
        "used", "wrapping",
    )  # fmt: skip

    def __init__(self, agent: Agent) -> None:
        self.id = agent.id
        self.agent = agent
        self.configure(agent)
        self.units: dict[str, int] = {}
        self.count: dict[str, int] = {}
        self.used = self.wrapping = 0
        self.tasks: dict[str, None] = {}
        self.offers: dict[str, None] = {}
        self.pools: dict[int, Pool] = {}

    def configure(self, agent: Agent) -> None:
        self.agent = agent
        self.config = msgspec.json.decode(agent.body, type=config.Agent)
        self.facts = AgentFacts(self.config, small=len(agent.body) <= SMALL_BYTES)
        self.look_up()

    def look_up(self) -> None:
        """To be called when his presence, or what he wants it to be next, has changed."""
        self.takes_work = self.is_at_work()

    def is_at_work(self) -> bool:
        agent = self.agent
        return (
            agent.status == "available"
            and not agent.lapsed
            and (agent.next_status is None or agent.next_status == "available")
        )

    @property
    def share(self) -> float:
        """Load share; an agent without capacity counts as full."""
        return self.used / self.config.capacity if self.config.capacity else 1.0

    def load(self, channel: str, units: int, slots: int) -> None:
        """Add (or with negative numbers: remove) work."""
        self.units[channel] = self.units.get(channel, 0) + units
        self.count[channel] = self.count.get(channel, 0) + slots
        self.used += units
