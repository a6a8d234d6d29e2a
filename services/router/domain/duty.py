"""Teams: who supervises a task, and who of them is on duty.

A shift is a calendar and the agents who work it, each on his own clock (shift_zones.py); one that names
nobody is of the whole team. An agent whom no shift concerns is always on duty.
"""

from services.router.domain import hours, shapes, shift_zones
from services.router.domain.config import SUPERVISORS, TeamTarget
from services.router.domain.escalation import CompiledLevel, Notify, OfferTo
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace
from shared.contracts.problems import not_found

TEAM_REACHED_MAX = 50  # agents of one team that an action turns to


def on_duty(ws: Workspace, agent_id: str) -> bool:
    if not ws.has_shifts:
        return True
    calendars = _shifts_of(ws, agent_id)
    return not calendars or any(hours.is_open(ws, calendar) for calendar in calendars)


def _shifts_of(ws: Workspace, agent_id: str) -> list[str]:
    """The calendars of his shifts, on his own clock where that is what counts."""
    desk = ws.desks.get(agent_id)
    own = desk.config.team if desk else None
    return [
        shift_zones.calendar_of(ws, shift, desk)
        for name, team in sorted(ws.teams.items())
        for shift in team.shifts
        if agent_id in shift.agents
        or (not shift.agents and (name == own or agent_id in team.supervisors))
    ]


def supervisors(ws: Workspace, task: Task) -> list[str]:
    """Those on duty of the teams that serve the task's queues (the queues that the team's agents
    serve), else of all of the workspace."""
    key = tuple(task.queues)
    if key not in ws.team_supervisors:
        serving = {
            desk.config.team
            for desk in ws.desks.values()
            if desk.config.team and any(desk.config.serves(queue) for queue in key)
        }
        ws.team_supervisors[key] = _leads(ws, serving) or _leads(ws, set(ws.teams))
    found = ws.team_supervisors[key]
    return [who for who in found if on_duty(ws, who)] if ws.has_shifts else found


def forget(ws: Workspace) -> None:
    """Agents or teams have changed: who leads and belongs to them is looked for again."""
    ws.zones_wanted = None
    ws.team_supervisors.clear()
    ws.team_members.clear()


def _leads(ws: Workspace, names: "set[str]") -> list[str]:
    teams = (ws.teams[name] for name in names if name in ws.teams)
    return sorted({who for team in teams for who in team.supervisors})


def members(ws: Workspace, team: str) -> list[str]:
    """The agents of a team who are on duty, the least loaded first, then who has been available
    longest; at most TEAM_REACHED_MAX of them."""
    if team not in ws.team_members:
        ws.team_members[team] = sorted(
            desk.id for desk in ws.desks.values() if desk.config.team == team
        )
    found = [who for who in ws.team_members[team] if on_duty(ws, who)]
    return least_loaded(ws, found)[:TEAM_REACHED_MAX]


def least_loaded(ws: Workspace, agents: list[str]) -> list[str]:
    """Who takes work before who does not, then by load, then who has been available longest."""
    found = [ws.desks[who] for who in agents]
    found.sort(key=lambda desk: (not desk.takes_work, desk.share, desk.agent.available_us, desk.id))
    return [desk.id for desk in found]


def named(ws: Workspace, task: Task, who: str | TeamTarget) -> list[str]:
    """Whom an action turns to. An agent who is named himself is not asked whether he is on duty:
    then the level is not reached in the first place."""
    if isinstance(who, TeamTarget):
        return members(ws, who.team)
    return supervisors(ws, task) if who == SUPERVISORS else [who]


def reaches(ws: Workspace, task: Task, level: CompiledLevel) -> bool:
    """Whether a level does anything now: one that only turns to people needs one on duty."""
    return any(_reaches(ws, task, action) for action in level.actions)


def _reaches(ws: Workspace, task: Task, action: object) -> bool:
    if not isinstance(action, OfferTo | Notify):
        return True
    if isinstance(action.who, TeamTarget):
        return bool(members(ws, action.who.team))
    if not ws.has_shifts:
        return True
    return bool(supervisors(ws, task)) if action.who == SUPERVISORS else on_duty(ws, action.who)


def roster(ws: Workspace, team_id: str) -> shapes.Duty:
    """Who of a team is on duty. Raises Refused (not-found)."""
    team = ws.teams.get(team_id)
    if team is None:
        raise not_found("team", team_id)
    members = {desk.id for desk in ws.desks.values() if desk.config.team == team_id}
    everybody = sorted(members | {who for who in team.supervisors if who in ws.desks})
    return {
        "id": team_id,
        "supervisors": [who for who in team.supervisors if on_duty(ws, who)],
        "on_duty": [who for who in everybody if on_duty(ws, who)],
        "off_duty": [who for who in everybody if not on_duty(ws, who)],
        "present": [who for who in everybody if ws.agents[who].shown_status != "offline"],
    }
