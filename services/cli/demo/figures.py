"""The figures of the demo's summary, read from the public API as any screen would read them."""

from collections import Counter, deque
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec

from services.cli.apply.client import Api

PAGE = 200
JOURNAL_PAGE = 1_000
PAGES_MAX = 20
RECENT = 8
TASKS_NAMED = 2_000
CREATED = "routing.task.created.v1"
ASSIGNED = "routing.task.assigned.v1"
DECLINED = "routing.offer.declined.v1"
COMPLETED = "routing.task.completed.v1"
CANCELLED = "routing.task.cancelled.v1"
ESCALATED = "routing.task.escalated.v1"
_READ = (CREATED, ASSIGNED, DECLINED, COMPLETED, CANCELLED, ESCALATED)


class QueueFigures(msgspec.Struct):
    """Open tasks of a queue by what happens to them."""

    waiting: int = 0
    offered: int = 0
    assigned: int = 0
    wrapping: int = 0


class Figures(msgspec.Struct):
    """One look at the workspace. Spans are in seconds; the median is None before any answer;
    `recent` tells the latest events, oldest first."""

    queues: dict[str, QueueFigures]
    served: int
    abandoned: int
    escalated: int
    first_response_s: float | None
    breaches: int
    dead_letters: int
    recent: list[str] = []

    def total(self, name: str) -> int:
        return sum(getattr(queue, name) for queue in self.queues.values())


class Reader:
    """Reads figures; keeps its places in the journal and in the list of clocks."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._seq = 0
        self._counts: Counter[str] = Counter()
        self._titles: dict[str, str] = {}
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._clocks: dict[str, dict[str, Any]] = {}
        self._cursors: list[str | None] = [None]

    async def read(self) -> Figures:
        """Raises Refused, OSError."""
        queues = await self._queues()
        await self._read_journal()
        await self._read_clocks()
        letters = await self._api.call("channels", "GET", "/dead-letters", params={"limit": PAGE})
        clocks = self._clocks.values()
        answered = [one["elapsed_s"] for one in clocks if one["satisfied_at"] is not None]
        return Figures(
            queues=queues,
            served=self._counts[COMPLETED],
            abandoned=self._counts[CANCELLED],
            escalated=self._counts[ESCALATED],
            first_response_s=median(answered) if answered else None,
            breaches=sum(one["breached_at"] is not None for one in clocks),
            dead_letters=len(letters["dead_letters"]),
            recent=list(self._recent),
        )

    async def _queues(self) -> dict[str, QueueFigures]:
        listed = await self._api.call("router", "GET", "/queues")
        found = {one["id"]: QueueFigures() for one in listed["queues"]}
        query = {"state": ["pending", "reserved", "assigned", "wrapping"], "limit": PAGE}
        open_tasks = await self._api.call("router", "GET", "/tasks", params=query)
        names = {"pending": "waiting", "reserved": "offered"}
        for task in open_tasks["tasks"]:
            queue = found.get(task["queue"] or next(iter(task["queues"]), ""))
            if queue is not None:
                state: str = task["state"]
                name = names.get(state, state)
                setattr(queue, name, getattr(queue, name) + 1)
        return found

    async def _read_journal(self) -> None:
        for _ in range(PAGES_MAX):
            query = {"after": self._seq, "types": ",".join(_READ), "limit": JOURNAL_PAGE}
            answer = await self._api.call("router", "GET", "/events", params=query)
            for event in answer["events"]:
                self._seq = event["seq"]
                self._take(event["type"], event["data"])
            if answer["next"] is None:
                return

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        if kind == CREATED:
            self._titles[data["task_id"]] = _title(data)
            if len(self._titles) > TASKS_NAMED:
                del self._titles[next(iter(self._titles))]
        if kind != CANCELLED or data["reason"] == "abandoned":
            self._counts[kind] += 1
        title = self._titles.get(data["task_id"], "a task")
        self._recent.append(f"{data['at'][11:19]}  {title}: {_TOLD[kind](data)}")

    async def _read_clocks(self) -> None:
        """First-response clocks in order of their due instant; the last full page is read again,
        for clocks that ended or came in late."""
        cursor = self._cursors[0]
        for _ in range(PAGES_MAX):
            query: dict[str, Any] = {"metric": "first_response", "limit": PAGE}
            if cursor is not None:
                query["cursor"] = cursor
            answer = await self._api.call("sla", "GET", "/clocks", params=query)
            self._clocks |= {one["id"]: one for one in answer["clocks"]}
            cursor = answer["next"]
            if cursor is None:
                return
            self._cursors = [*self._cursors, cursor][-2:]


def _title(data: dict[str, Any]) -> str:
    words = (data["channel"], data["language"], data["queue"])
    return " ".join(word for word in words if word)


_TOLD: dict[str, Callable[[dict[str, Any]], str]] = {
    CREATED: lambda _: "new",
    ASSIGNED: lambda data: f"{data['agent_id']} takes it after {data['waited_s']:.1f} s",
    DECLINED: lambda data: f"{data['agent_id']} declines",
    COMPLETED: lambda data: f"done, {data['handle_s']:.0f} s of work",
    CANCELLED: lambda data: f"ended ({data['reason']})",
    ESCALATED: lambda data: f"escalated, {data['level']}",
}
