"""From stored entities back to a working core: every index, counter, heap and timer.

Nothing here may depend on the order in which entities were loaded, else a take-over would decide
otherwise than the owner before it. All of it is done in slices, so that who loads a large workspace can
let others of the process have their turn.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

from services.router.domain import configuration, hours, membership, presence, surge, timers
from services.router.domain.desk import Desk
from services.router.domain.lifecycle import count_pending, own
from services.router.domain.state import (
    OPEN,
    OWNED,
    RESOURCE_KINDS,
    SEEKING,
    Agent,
    Conversation,
    Offer,
    Task,
)
from services.router.domain.workspace import Workspace

SLICE = 200  # entities derived in one go: some milliseconds
RUN = 2_000  # entities sorted in one go

T = TypeVar("T")


def derive(ws: Workspace) -> None:
    """All slices at once."""
    for _ in slices(ws):
        pass


def slices(ws: Workspace) -> Iterator[None]:
    """A slice of the work at each step; the workspace is whole after the last."""
    for kind in RESOURCE_KINDS:
        yield from _each(ws.stored[kind].values(), lambda one: configuration.use(ws, one))
    merges = ws.stored["customer_merge"].values()
    yield from _each(merges, lambda one: ws.customers.merge(one.id, one.into))
    turned_us = ws.meta.turned_us if ws.meta.behind else ws.now
    ws.closed_queues = hours.closed_queues(ws, turned_us)
    hours.arm(ws, turned_us)
    yield from _agents(ws)
    yield from _offers(ws)
    yield from _tasks(ws)
    yield from _conversations(ws)
    for name, figures in ws.figures.items():
        if figures.surge:
            ws.at_time(figures.minute_us + surge.MINUTE_US, timers.SURGE, 0, name)
    ws.seekers.clear()
    ws.freed.clear()
    ws.untold.clear()
    ws.undrained.clear()
    ws.stirred.clear()
    ws.leaving = {desk.id: None for desk in ws.desks.values() if presence.is_leaving(desk)}


def _each(items: Iterable[T], do: Callable[[T], None]) -> Iterator[None]:
    for number, item in enumerate(items, 1):
        do(item)
        if number % SLICE == 0:
            yield


def _in_order(
    items: Iterable[T], key: Callable[[T], Any], do: Callable[[T], None]
) -> Iterator[None]:
    """`do` for each of the items, smallest first; sorting is done in slices, too."""
    runs = yield from _runs(items, key)
    yield from _each(merge(*runs, key=key), do)


def _runs(items: Iterable[T], key: Callable[[T], Any]) -> Generator[None, None, list[list[T]]]:
    source, runs = iter(items), list[list[T]]()
    while run := sorted(islice(source, RUN), key=key):
        runs.append(run)
        yield
    return runs


def _agents(ws: Workspace) -> Iterator[None]:
    def seat(agent: Agent) -> None:
        ws.desks[agent.id] = Desk(agent)

    yield from _in_order(ws.agents.values(), lambda agent: agent.ordinal, seat)
    yield from _each(ws.desks.values(), lambda desk: membership.agent_changed(ws, desk))


def _offers(ws: Workspace) -> Iterator[None]:
    def remember(offer: Offer) -> None:
        ws.ended_offers[offer.id] = None

    def put_up(offer: Offer) -> None:
        desk = ws.desks[offer.agent_id]
        desk.offers[offer.id] = None
        desk.load(offer.channel, ws.costs[offer.channel], 1)
        timers.arm_offer(ws, offer)

    ended = (offer for offer in ws.offers.values() if offer.state != "open")
    yield from _in_order(ended, lambda offer: (offer.ended_seq, offer.number), remember)
    live = (offer for offer in ws.offers.values() if offer.state == "open")
    yield from _in_order(live, lambda offer: offer.number, put_up)


def _tasks(ws: Workspace) -> Iterator[None]:
    def remember(task: Task) -> None:
        (ws.ended_tasks if task.forget_us is None else ws.reopenable)[task.id] = None

    yield from _in_order(
        ws.tasks.values(), lambda task: task.number, lambda task: _take_up(ws, task)
    )
    ended = (task for task in ws.tasks.values() if task.state not in OPEN)
    yield from _in_order(ended, lambda task: (task.ended_seq, task.number), remember)


def _take_up(ws: Workspace, task: Task) -> None:
    timers.arm_task(ws, task)
    if task.state == "pending":
        count_pending(ws, task, 1)
    if task.state in OWNED and task.agent_id in ws.desks:
        own(ws, task, ws.desks[task.agent_id])
    if task.skipped and task.state in OPEN:
        ws.skipped[task.id] = None
    if task.arrived:
        ws.arrived[task.id] = ()
    if task.drain_agent is not None:
        ws.drains[task.drain_agent] = task.id
    if task.state in SEEKING or task.warm:
        membership.enter(ws, task)


def _conversations(ws: Workspace) -> Iterator[None]:
    def retire(thread: Conversation) -> None:
        task = ws.tasks.get(thread.task_id) if thread.task_id else None
        if task is None or task.state not in OPEN:
            ws.closed_conversations[thread.id] = None

    yield from _in_order(
        ws.conversations.values(), lambda thread: (thread.closed_seq, thread.number), retire
    )
