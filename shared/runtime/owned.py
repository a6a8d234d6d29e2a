"""Something done now and then for every workspace that a replica owns."""

from collections.abc import Awaitable, Callable, Iterable

import structlog

from shared.contracts.problems import Refused
from shared.runtime.port import (
    CommandFailed,
    NotOwner,
    OutcomeUnknown,
    Unavailable,
    UnknownWorkspace,
)

PASSING = (NotOwner, Unavailable, OutcomeUnknown, UnknownWorkspace, CommandFailed, Refused)
"""What a workspace may be in the way of for once; the next round does it."""

log = structlog.get_logger(__name__)


async def for_each(
    workspaces: Iterable[str],
    act: Callable[[str], Awaitable[object]],
    skipped: str,
    passing: tuple[type[Exception], ...] = PASSING,
) -> None:
    """`act` on each. One that fails in passing is logged as `skipped`, and the others have their
    turn; any other failure is raised."""
    for workspace in workspaces:
        try:
            await act(workspace)
        except passing as why:
            log.info(skipped, workspace=workspace, because=str(why))
