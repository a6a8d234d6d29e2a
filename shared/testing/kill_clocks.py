"""The clocks of the kills: what sla.events tell of each is held against the messages themselves."""

from collections import Counter
from datetime import datetime, timedelta

import msgspec

from shared.testing.kill_setup import FIRST_RESPONSE_S, WARN_AT
from shared.testing.kill_topics import Event, Topics


class Clock(msgspec.Struct):
    """One SLA clock of one cycle as sla.events tell it."""

    metric: str
    conversation: str
    due_at: str
    first_said_at: str = ""
    said: list[str] = []

    @property
    def cancelled(self) -> bool:
        """Such as a provisional clock whose message went to a task that had one already. One that
        ended by another state (its task ended before the answer was seen) is none of them."""
        return "cancelled" in self.said


ENDS = ("met", "breached", "cancelled", "abandoned", "closed_unanswered")


def clocks_of(events: list[Event]) -> dict[tuple[str, int], Clock]:
    """By (clock_id, cycle)."""
    found: dict[tuple[str, int], Clock] = {}
    for event in events:
        kind = event.type.removeprefix("sla.clock.").removesuffix(".v1")
        data = event.data
        key = (data["clock_id"], data["cycle"])
        if key not in found:
            found[key] = Clock(data["metric"], data["conversation_id"], "", data["at"])
        clock = found[key]
        if kind == "warning":
            kind += f" {data['level']}"
        if kind == "cancelled":
            kind = data["state"]
        if kind == "corrected" and data["withdrawn"] == "breached":
            kind = "withdrawn"
        if kind == "corrected" and data["withdrawn"] == "warning":
            kind = "warning withdrawn"
        clock.said.append(kind)
        clock.due_at = data["due_at"] or clock.due_at
    return found


def check_clocks(workspace: str, topics: Topics, events: list[Event]) -> list[str]:
    """Every broken promise about a workspace's clocks, in words."""
    problems: list[str] = []
    clocks = clocks_of(events)
    for key, clock in clocks.items():
        problems += [f"{workspace} {key} {clock.metric}: {one}" for one in _fired(clock)]
    problems += [f"{workspace}: {one}" for one in _first_responses(workspace, topics, clocks)]
    return problems


def _fired(clock: Clock) -> list[str]:
    """Each notice once, or again after it was withdrawn; met or breached, and not both, unless the
    task was reopened in between."""
    said = Counter(clock.said)
    problems: list[str] = []
    if said["started"] != 1:
        problems.append(f"started {said['started']} times")
    if not 0 <= said["breached"] - said["withdrawn"] <= 1:
        problems.append(f"breached {said['breached']} times")
    if said[f"warning {WARN_AT}"] - said["warning withdrawn"] > 1:
        problems.append("warned twice")
    breached = said["breached"] > said["withdrawn"]
    if breached and not said[f"warning {WARN_AT}"] and not _came_late(clock):
        problems.append("breached without a warning")
    if breached and "met" in _since_reopened(clock.said):
        problems.append("breached and met")
    if not any(said[end] for end in ENDS):
        problems.append("never ended")
    return [f"{one} ({', '.join(clock.said)})" for one in problems]


def _came_late(clock: Clock) -> bool:
    """Whether it was over before it was first seen, so that nobody needed a warning."""
    first, due = (datetime.fromisoformat(at) for at in (clock.first_said_at, clock.due_at))
    return first + timedelta(seconds=0.1) >= due


def _since_reopened(said: list[str]) -> list[str]:
    """What was said after a met clock had gone on."""
    resumed = [at for at, one in enumerate(said) if one == "resumed"]
    return said[resumed[-1] :] if resumed else said


def _first_responses(
    workspace: str, topics: Topics, clocks: dict[tuple[str, int], Clock]
) -> list[str]:
    """Held against the messages themselves: asked when, answered when, due when."""
    asked, answered = _talks(workspace, topics)
    problems: list[str] = []
    firsts: dict[str, Clock] = {}
    for clock in clocks.values():
        if clock.metric == "first_response" and not clock.cancelled:
            if clock.conversation in firsts:
                problems.append(f"{clock.conversation} has two first-response clocks")
            firsts[clock.conversation] = clock
    for conversation, at in asked.items():
        clock = firsts.get(conversation)
        if clock is None:
            problems.append(f"{conversation} has no first-response clock")
            continue
        late = answered.get(conversation, float("inf")) > at + FIRST_RESPONSE_S
        told = clock.said.count("breached") > clock.said.count("withdrawn")
        if late != told:
            took = answered.get(conversation, float("inf")) - at
            problems.append(f"{conversation} was answered after {took:.3f} s: {clock.said}")
    return problems


def _talks(workspace: str, topics: Topics) -> tuple[dict[str, float], dict[str, float]]:
    """Per conversation, seconds of its first question and of its first answer."""
    asked: dict[str, float] = {}
    answered: dict[str, float] = {}
    for event in topics.interactions.values():
        if event.workspace == workspace:
            side = asked if event.data["direction"] == "inbound" else answered
            at = datetime.fromisoformat(event.time).timestamp()
            name = event.data["conversation_id"]
            side[name] = min(side.get(name, at), at)
    return asked, answered
