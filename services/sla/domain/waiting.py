"""Who waits for an agent: in which queue, since when."""

from collections.abc import Iterable

from services.sla.domain.conversation import Live


def waits(lives: Iterable[Live]) -> tuple[str, int] | None:
    """(queue, since when) of a conversation that waits for an agent."""
    for live in lives:
        if (found := _waits(live)) is not None:
            return found
    return None


def _waits(live: Live) -> tuple[str, int] | None:
    """(queue, since when) of a task that waits for an agent."""
    episode = live.fold.episode
    if live.record.task_id is None or episode.ended:
        return None
    task = episode.facts.task
    queue = task.get("queue")
    if task.get("agent_id") or task.get("held") or not isinstance(queue, str):
        return None
    since = episode.created_us if episode.created_us is not None else episode.first_us
    return None if since is None else (queue, since)
