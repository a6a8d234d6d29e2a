"""The router's core with one rule taken out, each: a scene of router_complaints_agents.py must notice."""

from unittest.mock import patch

from services.router.domain import capacity, duty, pools, presence, shift_zones, tasks
from services.router.presence import PresenceLeases


def to_return_is_to_be_available():
    def give_back(ws, agent_id):
        desk = ws.desks[agent_id]
        desk.agent.lapsed = True
        desk.agent.status = "available"
        whole(ws, agent_id)

    whole = presence.give_back
    return patch.object(presence, "give_back", give_back)


def only_the_first_call_counts():
    async def renew(self, workspace, agent):
        self._renewed.setdefault(workspace, {}).setdefault(agent, self._monotonic())

    return patch.object(PresenceLeases, "renew", renew)


def ghosts_stay():
    return patch.object(presence, "lapse", lambda ws, agent_id: None)


def nobody_comes_back():
    return patch.object(presence, "give_back", lambda ws, agent_id: None)


def the_grace_runs_on():
    """Who comes back is there again, and loses his work all the same."""

    def give_back(ws, agent_id):
        due = {one: ws.tasks[one].orphan_us for one in ws.desks[agent_id].tasks}
        whole(ws, agent_id)
        for one, orphan_us in due.items():
            ws.tasks[one].orphan_us = orphan_us

    whole = presence.give_back
    return patch.object(presence, "give_back", give_back)


def by_load_alone():
    return patch.object(
        pools, "_select_key", lambda queue, requires, desk, member: (desk.share, desk.id)
    )


def wrap_up_is_no_reason():
    return patch.object(capacity, "is_wrapping_up", lambda ws, desk, channel: False)


def one_close_for_all():
    def close(ws, command):
        task = whole(ws, command)
        for other in list(ws.tasks.values()):
            if other.state == "wrapping":
                tasks.finish(ws, other, None)
        return task

    whole = tasks.close
    return patch.dict("services.router.domain.core._HANDLERS", {"CloseTask": close})


def everybody_is_on_duty():
    return patch.object(duty, "on_duty", lambda ws, agent_id: True)


def one_clock_for_all():
    return patch.object(shift_zones, "calendar_of", lambda ws, shift, desk: shift.calendar)
