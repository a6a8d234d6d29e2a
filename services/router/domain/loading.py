"""From stored entities back to a working core: every index, counter, heap and timer.

Nothing here may depend on the order in which entities were loaded, else a take-over would decide
otherwise than the owner before it. All of it is done in slices, so that who loads a large workspace can
let others of the process have their turn.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

from services.router.domain import configuration, hours, membership, presence, surge, timers
from services.router.domain.desk import Desk
from services.router.domain.lifecycle import count_pending, own
from services.router.domain.requirements import shared
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
RUN = 2_000  # numbers, among which entities are sorted in one go

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
            ws.surging.add(name)
            ws.at_time(figures.minute_us + surge.MINUTE_US, timers.SURGE, 0, name)
    ws.freed.clear()
    ws.untold.clear()
    ws.undrained.clear()
    ws.stirred.clear()
    ws.leaving = {desk.id: None for desk in ws.desks.values() if presence.is_leaving(desk)}


def _each(items: Iterable[T], do: Callable[[T], object]) -> Iterator[None]:
    """`do` for each of the items; where it says that it was a lot, others have their turn at once."""
    for number, item in enumerate(items, 1):
        if do(item) or number % SLICE == 0:
            yield


def _in_order(
    items: Iterable[T],
    by: Sequence[str],
    do: Callable[[T], object],
    which: Callable[[T], bool] = lambda _: True,
) -> Iterator[None]:
    """`do` for those of the items that are wanted, in the order of some fields. By the first of them,
    a whole number, they are parted, so that what is sorted at once is small."""
    place, key = attrgetter(by[0]), attrgetter(*by)
    parts: dict[int, list[T]] = {}

    def part(item: T) -> None:
        if which(item):
            parts.setdefault(place(item) // RUN, []).append(item)

    yield from _each(items, part)
    for number in sorted(parts):
        yield from _each(sorted(parts[number], key=key), do)
        yield


def _agents(ws: Workspace) -> Iterator[None]:
    def seat(agent: Agent) -> None:
        ws.desks[agent.id] = Desk(agent)

    yield from _in_order(ws.agents.values(), ("ordinal",), seat)
    yield from _each(ws.desks.values(), lambda desk: membership.agent_changed(ws, desk))


def _offers(ws: Workspace) -> Iterator[None]:
    def remember(offer: Offer) -> None:
        ws.ended_offers[offer.id] = None

    def put_up(offer: Offer) -> None:
        desk = ws.desks[offer.agent_id]
        desk.offers[offer.id] = None
        desk.load(offer.channel, ws.costs[offer.channel], 1)
        timers.arm_offer(ws, offer)

    offers = ws.offers.values()
    yield from _in_order(
        offers, ("ended_seq", "number"), remember, lambda offer: offer.state != "open"
    )
    yield from _in_order(offers, ("number",), put_up, lambda offer: offer.state == "open")


def _tasks(ws: Workspace) -> Iterator[None]:
    def remember(task: Task) -> None:
        (ws.ended_tasks if task.forget_us is None else ws.reopenable)[task.id] = None

    tasks = ws.tasks.values()
    yield from _in_order(tasks, ("number",), lambda task: _take_up(ws, task))
    yield from _in_order(
        tasks, ("ended_seq", "number"), remember, lambda task: task.state not in OPEN
    )


def _take_up(ws: Workspace, task: Task) -> bool:
    """Whether that was a lot: a pool was made, and all agents looked at."""
    pools = ws.pool_count
    if task.requires:
        task.requires = shared(task.requires)
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
        ws.seekers.clear()  # nobody looks for agents yet
    return ws.pool_count != pools


def _conversations(ws: Workspace) -> Iterator[None]:
    def is_closed(thread: Conversation) -> bool:
        task = ws.tasks.get(thread.task_id) if thread.task_id else None
        return task is None or task.state not in OPEN

    def retire(thread: Conversation) -> None:
        ws.closed_conversations[thread.id] = None

    yield from _in_order(ws.conversations.values(), ("closed_seq", "number"), retire, is_closed)
