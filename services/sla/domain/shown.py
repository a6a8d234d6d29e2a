"""What a conversation shows: of its clocks and its tasks, to be compared with later."""

from collections.abc import Iterable

import msgspec

from services.sla.domain.conversation import Live
from services.sla.domain.notices import Seen, look
from services.sla.domain.task_rows import Works, works
from services.sla.domain.waiting import waits


class Shown(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`waiting`: the queue where it waits for an agent, and since when; `by_itself`: something happens by itself, a hold ends or a pause reaches its limit; `runs`: a clock
    runs, so that what is due next follows from the clocks alone."""

    clocks: dict[str, Seen]
    works: Works
    waiting: tuple[str, int] | None
    by_itself: bool
    runs: bool


NOTHING = Shown({}, {}, None, by_itself=False, runs=False)


def shown(lives: Iterable[Live]) -> Shown:
    """As it is now."""
    by_itself = runs = False
    for live in lives:
        by_itself = by_itself or live.fold.next_us() is not None
        for clock in live.fold.episode.clocks:
            if clock.state == "running":
                runs = True
                break
    return Shown(look(lives), works(lives), waits(lives), by_itself, runs)
