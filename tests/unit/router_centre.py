"""A small centre for tests of the router's core: one queue, one rule, agents who take chats."""

from typing import Any

from services.router.domain import commands as cmd
from services.router.domain import views
from services.router.driver import Driver


def centre(
    agents: dict[str, dict[str, Any]],
    rule: dict[str, Any] | None = None,
    seed: int = 1,
    **queue: Any,
) -> Driver:
    driver = Driver(seed=seed)
    driver.put("queue", "main", **queue)
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}], **(rule or {})}])
    for agent, body in agents.items():
        driver.put("agent", agent, **{"channels": {"chat": 9}, **body})
    return driver


def come(driver: Driver, *agents: str) -> Driver:
    for agent in agents:
        driver.command(cmd.SetPresence(agent=agent, status="available"))
    return driver


def leave(driver: Driver, agent: str, status: Any = "offline") -> None:
    driver.command(cmd.SetPresence(agent=agent, status=status))


def work(driver: Driver, agent: str) -> dict[str, Any]:
    return views.work(driver.core, agent)[1]


def offered(driver: Driver, agent: str) -> list[str]:
    """Conversations of the agent's open offers."""
    return [offer["conversation_id"] for offer in work(driver, agent)["offers"]]


def has(driver: Driver, agent: str) -> list[str]:
    """Conversations of the agent's tasks."""
    return [task["conversation_id"] for task in work(driver, agent)["tasks"]]


def accept(driver: Driver, agent: str, thread: str | None = None) -> str:
    """Accept the agent's first offer, or that of a conversation; returns the task's id."""
    offers = work(driver, agent)["offers"]
    offer = next(one for one in offers if thread in (None, one["conversation_id"]))
    return driver.command(cmd.AcceptOffer(agent=agent, offer=offer["id"]))["id"]


def decline(driver: Driver, agent: str, **more: Any) -> None:
    offer = work(driver, agent)["offers"][0]
    driver.command(cmd.DeclineOffer(agent=agent, offer=offer["id"], **more))


def complete(driver: Driver, task: str) -> dict[str, Any]:
    return driver.command(cmd.CompleteTask(task=task))


def task_of(driver: Driver, thread: str) -> dict[str, Any]:
    """The conversation's last task."""
    return [
        one
        for _, one in views.tasks(driver.core, limit=100_000)
        if one["conversation_id"] == thread
    ][-1]


def answer(driver: Driver, thread: str, agent: str) -> None:
    """The agent writes to the customer."""
    driver.say(thread, "hello", direction="outbound", author={"role": "agent", "name": agent})
