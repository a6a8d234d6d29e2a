"""The router's core with one rule taken out, each: a scene of router_complaints.py must notice."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest.mock import patch

from services.router.domain import (
    capacity,
    dispatch,
    due,
    estimates,
    hours,
    ladders,
    lifecycle,
    offers,
    planning,
    pools,
    preference,
    presence,
    tasks,
    timers,
)

Mutant = Callable[[], AbstractContextManager[Any]]


def losers_keep_their_offers():
    """An acceptance revokes nothing."""
    whole = offers.revoke_all
    return patch.object(
        offers, "revoke_all", lambda ws, t, why: None if why == "taken" else whole(ws, t, why)
    )


def no_channel_cap():
    def roomy(ws, desk, channel):
        return desk.used + ws.settings.channel(channel).cost <= desk.config.capacity

    return _patches(
        (capacity, "has_room", roomy),
        (
            capacity,
            "free_for",
            lambda ws, desk, channel: desk.takes_work and roomy(ws, desk, channel),
        ),
    )


def no_units():
    def capped(ws, desk, channel):
        return desk.count.get(channel, 0) < desk.config.channels.get(channel, 0)

    return _patches(
        (capacity, "has_room", capped),
        (
            capacity,
            "free_for",
            lambda ws, desk, channel: desk.takes_work and capped(ws, desk, channel),
        ),
    )


def the_machine_overrules_the_supervisor():
    """What was offered goes to the next as if nobody had decided."""

    def expire(ws, offer):
        whole(ws, offer)
        task = ws.tasks[offer.task_id]
        if task.state == "assigned":
            ladders.requeue(ws, task, "expired", exclude=True)

    whole = offers.expire
    return _patches((offers, "revoke_all", lambda ws, t, why: None), (offers, "expire", expire))


def reservations_stay():
    return patch.object(offers, "back_to_waiting", lambda ws, task: None)


def wrap_ups_end_together():
    def complete(ws, command):
        task = whole(ws, command)
        for other in ws.tasks.values():
            if other.state == "wrapping":
                ws.task(other).wrap_until_us = task.wrap_until_us
        return task

    whole = tasks.complete
    return patch.dict("services.router.domain.core._HANDLERS", {"CompleteTask": complete})


def the_browser_ends_wrap_up():
    whole = due._fire_task
    return patch.object(
        due, "_fire_task", lambda ws, t, at, k: None if k == timers.WRAP else whole(ws, t, at, k)
    )


def the_first_word_wins():
    """A next status that was asked for is kept whatever comes later."""

    def set_status(ws, desk, status, reason):
        wished = desk.agent.next_status
        whole(ws, desk, status, reason)
        if wished is not None and wished != status:
            desk.agent.next_status = wished

    whole = presence.set_status
    return patch.object(presence, "set_status", set_status)


def done_means_available():
    def release(ws, task):
        desk = ws.desks.get(task.agent_id or "")
        whole(ws, task)
        if desk is not None:
            desk.agent.status = "available"

    whole = lifecycle.release
    return patch.object(lifecycle, "release", release)


def orphans_stay():
    return patch.object(presence, "orphan", lambda ws, task: None)


def wait_for_whoever():
    return patch.object(preference, "_could_take", lambda ws, task, agent: True)


def newest_first():
    return patch.object(pools, "task_key", lambda _, task: (-task.waiting_since_us, task.number))


def freed_agents_are_not_noticed():
    return patch.object(dispatch, "serve", lambda ws, agent: None)


def always_the_same_first():
    return _select(lambda queue, requires, desk, member: (desk.id,))


def by_lifetime():
    """Whoever has had the fewest, ever, is next."""

    def key(queue, requires, desk, member):
        return (sum(len(t.decisions) for t in _all_of(desk)), desk.id)

    had: dict[str, list[Any]] = {}

    def _all_of(desk):
        return had.get(desk.id, [])

    def own(ws, task, desk, **more):
        had.setdefault(desk.id, []).append(task)
        return whole(ws, task, desk, **more)

    whole = lifecycle.own
    return _patches((lifecycle, "own", own), (pools, "_select_key", key))


def by_age_of_the_account():
    return _select(lambda queue, requires, desk, member: (desk.agent.ordinal,))


def one_hop():
    """A silent agent loses it once; the next one may be silent for ever."""

    def await_response(ws, task):
        if any(one.kind == "assigned" for one in task.decisions[:-1]):
            task.respond_us = None
        else:
            whole(ws, task)

    whole = lifecycle.await_response
    return patch.object(lifecycle, "await_response", await_response)


def messages_restart_the_timer():
    def later(ws, task, data, event_id, said_us):
        task.unanswered_us = None
        whole(ws, task, data, event_id, said_us)

    from services.router.domain import conversations

    whole = conversations._later_message
    return patch.object(conversations, "_later_message", later)


def head_of_line():
    """Only the most urgent task of all is ever looked at."""

    def next_task(ws, desk):
        waiting = [t for t in ws.tasks.values() if dispatch.wants_offer(ws, t)]
        first = min(waiting, key=lambda t: (-t.priority, t.number), default=None)
        return first if first is not None and capacity.admissible(ws, first, desk) else None

    return _patches((dispatch, "next_task", next_task), (dispatch, "seek", lambda ws, task: None))


def priority_above_all():
    return patch.object(pools, "head_start", lambda queue, task: -task.priority)


def nothing_is_said():
    return patch.object(lifecycle, "decide", lambda *args, **more: None)


def no_cool_down():
    whole = lifecycle.refuse
    return patch.object(lifecycle, "refuse", lambda ws, t, agent, until: whole(ws, t, agent, 0))


def transfers_go_anywhere():
    return patch.object(tasks, "_check_addressee", lambda ws, task, agent: None)


def the_giver_stays_attached():
    def let_go(ws, task, former):
        whole(ws, task, None)

    whole = tasks._let_go
    return patch.object(tasks, "_let_go", let_go)


def pairs_are_not_looked_at():
    return patch.object(planning, "never_pair", lambda ws, task: ())


def leaving_closes_wrap_up():
    def set_status(ws, desk, status, reason):
        whole(ws, desk, status, reason)
        for task_id in list(desk.tasks):
            if ws.tasks[task_id].state == "wrapping" and status != "available":
                tasks.finish(ws, ws.tasks[task_id], None)

    whole = presence.set_status
    return patch.object(presence, "set_status", set_status)


def always_open():
    return patch.object(hours, "is_open_at", lambda ws, calendar, at_us: True)


def nobody_is_told():
    return patch.object(estimates, "tell_waiting", lambda ws: ws.untold.clear())


def one_code_for_all():
    def live_offer(ws, agent, offer):
        try:
            return whole(ws, agent, offer)
        except Exception as error:
            if hasattr(error, "reason"):
                error.reason = "state"
            raise

    whole = offers.live_offer
    return patch.object(offers, "live_offer", live_offer)


def by_hand():
    return patch.object(dispatch, "settle", lambda ws: None)


def _select(key):
    return patch.object(pools, "_select_key", key)


def _patches(*changes: tuple[Any, str, Any]) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for target, name, value in changes:
        stack.enter_context(patch.object(target, name, value))
    return stack
