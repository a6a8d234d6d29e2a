"""The router's core with one rule taken out, each: a scene of router_complaints_work.py must notice."""

from collections import Counter
from unittest.mock import patch

import msgspec

from services.router.domain import (
    capacity,
    conversations,
    core,
    dispatch,
    estimates,
    explanation,
    lifecycle,
    offers,
    planning,
    tasks,
)
from services.router.domain import commands as cmd
from shared.contracts.problems import Refused

_HANDLERS = "services.router.domain.core._HANDLERS"


def transfers_leave_offers_open():
    whole = offers.revoke_all
    return patch.object(
        offers, "revoke_all", lambda ws, t, why: None if why == "transferred" else whole(ws, t, why)
    )


def what_was_offered_counts_again():
    whole = lifecycle.own
    return patch.object(lifecycle, "own", lambda ws, task, desk, **more: whole(ws, task, desk))


def done_stays_on_the_desk():
    def release(ws, task):
        desk = ws.desks.get(task.agent_id or "")
        whole(ws, task)
        if desk is not None:
            desk.tasks[task.id] = None

    whole = lifecycle.release
    return patch.object(lifecycle, "release", release)


def the_turn_waits_for_whoever_has_it():
    """Whoever was offered something longest ago is next, there or not."""

    def choose(ws, task):
        pool = ws.pool_of.get(task.id)
        if pool is not None and pool.members:
            first = min(pool.members, key=lambda name: (ws.agents[name].served, name))
            if not ws.desks[first].takes_work:
                return None
        return whole(ws, task)

    whole = dispatch.choose_agent
    return patch.object(dispatch, "choose_agent", choose)


def hanging_up_is_not_heard():
    return patch.object(conversations, "_on_ended", lambda ws, data: None)


def time_runs_since_it_began_to_wait():
    def make(ws, task, desk):
        offer = whole(ws, task, desk)
        offer.expires_us -= ws.now - task.waiting_since_us
        return offer

    whole = offers.make
    return patch.object(offers, "make", make)


def only_its_agent_may():
    def find(ws, command, states=None):
        task = whole(ws, command, *([states] if states else []))
        if task.agent_id is not None and command.agent is None:
            raise Refused("forbidden", "The task is not yours.")
        return task

    whole = tasks.find
    return patch.multiple("services.router.domain.tasks", find=find)


def each_queue_has_its_own_limit():
    def has_room(ws, desk, channel):
        found = Counter(ws.tasks[one].queue for one in desk.tasks)
        return max(found.values(), default=0) < desk.config.channels.get(channel, 0)

    return patch.multiple(
        capacity,
        has_room=has_room,
        free_for=lambda ws, desk, channel: desk.takes_work and has_room(ws, desk, channel),
    )


def the_policy_is_not_said():
    return patch.object(planning, "_rule_of", lambda *ref: "")


def only_the_machine_explains():
    def decide(ws, task, seq, kind, because, **more):
        if kind in ("planned", "offered"):
            whole(ws, task, seq, kind, because, **more)

    whole = lifecycle.decide
    return patch.object(lifecycle, "decide", decide)


def nobody_says_what_is_lacking():
    return patch.object(
        explanation, "_counts", lambda found: {"total": found.total, "by_reason": {}}
    )


def declines_are_not_counted():
    def decline(ws, command):
        ws.tasks[ws.offers[command.offer].task_id].declines = -1
        return whole(ws, command)

    whole = core._HANDLERS["DeclineOffer"]
    return patch.dict(_HANDLERS, {"DeclineOffer": decline})


def blind_is_warm():
    def transfer(ws, command: cmd.TransferTask):
        return whole(ws, msgspec.structs.replace(command, mode="warm"))

    whole = core._HANDLERS["TransferTask"]
    return patch.dict(_HANDLERS, {"TransferTask": transfer})


def who_had_it_stays_attached():
    def release(ws, task):
        former = task.agent_id
        whole(ws, task)
        task.agent_id = former

    whole = lifecycle.release
    return patch.object(lifecycle, "release", release)


def told_once():
    def review(ws, task):
        if task.told_us is None:
            whole(ws, task)

    whole = estimates.review
    return patch.object(estimates, "review", review)
