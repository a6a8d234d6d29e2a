"""What has changed since each of those who keep figures last looked: the status of queues, explanations.

An input notes a changed task or agent once (`Workspace.task`, `touch_agent`); whoever looks hands the
notes on to all who have looked before. So nobody who keeps figures costs an input anything.
"""

UNSEEN_MAX = 20_000  # changes kept for one who looks no more; beyond it he begins anew

Unseen = dict[str, set[str]]  # by who looks


def since_last_look(who: str, fresh: set[str], unseen: Unseen) -> set[str] | None:
    """What has changed since `who` last asked; None where he must look at everything: it is his first
    time, or too much has changed. `fresh` is empty afterwards."""
    hand_on(fresh, unseen)
    mine = unseen.get(who)
    unseen[who] = set()
    return mine


def hand_on(fresh: set[str], unseen: Unseen) -> None:
    for who, known in list(unseen.items()):
        known |= fresh
        if len(known) > UNSEEN_MAX:
            del unseen[who]
    fresh.clear()
