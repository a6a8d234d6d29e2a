"""What comes to a queue in each hour of a week, learnt as the hours pass: what other weeks say of this hour.

Hours are of UTC. An hour is judged with those beside it, so that a change of clocks moves nothing.
"""

from services.router.domain.state import QueueWeek
from services.router.domain.workspace import Workspace
from shared.contracts.instants import SECOND_US

HOUR_US = 3600 * SECOND_US
DAY = 24
HOURS = 7 * DAY
UNKNOWN = -1.0
KIND = "queue_week"


def usual(ws: Workspace, queue: str, at_us: int) -> float | None:
    """Arrivals per minute at this hour of the week; of one not yet known, the most of that hour on other
    days. None: no other day is known."""
    found = ws.weeks.get(queue)
    if found is None:
        return None
    hour = at_us // HOUR_US
    if found.hours[hour % HOURS] != UNKNOWN:
        return _most(found.hours, [hour])
    most = _most(found.hours, [hour + DAY * day for day in range(1, 7)])
    return None if most == UNKNOWN else most


def _most(hours: list[float], around: list[int]) -> float:
    return max(hours[(hour + beside) % HOURS] for hour in around for beside in (-1, 0, 1))


def known(ws: Workspace, queue: str, at_us: int) -> float | None:
    """What has been learnt of this very hour."""
    found = ws.weeks.get(queue)
    rate = UNKNOWN if found is None else found.hours[at_us // HOUR_US % HOURS]
    return None if rate == UNKNOWN else rate


def learn(ws: Workspace, queue: str, at_us: int, rate: float) -> None:
    """An hour is over: half of what is known of it is what was last."""
    found = ws.weeks.get(queue)
    if found is None:
        found = ws.add(KIND, queue, QueueWeek(id=queue, hours=[UNKNOWN] * HOURS))
    ws.edit(KIND, queue, found)
    slot = at_us // HOUR_US % HOURS
    before = found.hours[slot]
    found.hours[slot] = round(rate if before == UNKNOWN else (before + rate) / 2, 3)


def learn_silence(ws: Workspace, queue: str, from_us: int, to_us: int) -> None:
    """Nothing came in these whole hours; of more than a week the last week is learnt."""
    hours = (to_us - from_us) // HOUR_US
    for back in range(min(hours, HOURS), 0, -1):
        learn(ws, queue, to_us // HOUR_US * HOUR_US - back * HOUR_US, 0.0)


def end_of_hour(at_us: int) -> int:
    return (at_us // HOUR_US + 1) * HOUR_US
