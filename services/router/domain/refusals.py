"""What a command is refused for whatever comes due before it: told before anything happens.

Timers make no task, agent or resource, reopen nothing that has ended and write no configuration. So
what a command names in vain, a dead offer, an ended task and a stale version stay what they are.
"""

from collections.abc import Callable
from typing import Any

from services.router.domain import commands as cmd
from services.router.domain import configuration, merges, offers, tasks
from services.router.domain.workspace import Workspace
from shared.contracts.problems import not_found


def check(ws: Workspace, command: cmd.Command) -> None:
    """Raises Refused; what it passes may still be refused once the timers have run."""
    if isinstance(command, cmd.TaskCommand):
        tasks.find(ws, command)
    else:
        known = _CHECKS.get(type(command))
        if known is not None:
            known(ws, command)


def _accept(ws: Workspace, command: cmd.AcceptOffer) -> None:
    offer = ws.offers.get(command.offer)
    mine = offer is not None and offer.agent_id == command.agent
    if not (mine and offer is not None and offer.state == "accepted"):
        offers.live_offer(ws, command.agent, command.offer)


def _decline(ws: Workspace, command: cmd.DeclineOffer) -> None:
    offers.live_offer(ws, command.agent, command.offer)


def _presence(ws: Workspace, command: cmd.SetPresence) -> None:
    if command.agent not in ws.desks:
        raise not_found("agent", command.agent)


_CHECKS: dict[type[cmd.Command], Callable[[Workspace, Any], object]] = {
    cmd.AcceptOffer: _accept,
    cmd.DeclineOffer: _decline,
    cmd.SetPresence: _presence,
    cmd.PutResource: configuration.check_put,
    cmd.DeleteResource: configuration.check_delete,
    cmd.MergeCustomer: merges.check,
    cmd.UnmergeCustomer: merges.check_undo,
}
