"""Calls that go on through kills, and the ledger of what was answered: one half of the truth."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from shared.http.reaching import reaching

TIMEOUT_S = 6.0
PATIENCE_S = 240.0
PAUSE_S = 0.3

_AGAIN = frozenset({"unavailable", "outcome-unknown", "in_flight", "rate-limited"})


class GaveUp(Exception):
    """No answer within PATIENCE_S although every replica was asked again and again."""


class Posted(msgspec.Struct, frozen=True):
    """A customer's message that was answered with 202."""

    workspace: str
    event_id: str
    conversation: str


class Taken(msgspec.Struct, frozen=True):
    """An offer whose acceptance was answered with 200."""

    workspace: str
    agent: str
    offer: str
    task: str


class Done(msgspec.Struct, frozen=True):
    """A completion that was answered with 200."""

    workspace: str
    agent: str
    task: str


class Look(msgspec.Struct, frozen=True):
    """An agent's work as it was shown; instants are monotonic seconds."""

    workspace: str
    agent: str
    sent: float
    got: float
    revision: int


class Ledger:
    """Everything that platforms and agents were told."""

    def __init__(self) -> None:
        self.posted: dict[str, Posted] = {}
        self.taken: list[Taken] = []
        self.done: list[Done] = []
        self.replies: list[Posted] = []
        self.steered: Counter[tuple[str, str, str]] = Counter()
        """What was done to tasks besides: (workspace, verb, task)."""
        self.created: list[tuple[str, str]] = []
        """Call-backs: (workspace, task)."""
        self.looks: list[Look] = []
        self.counts: Counter[str] = Counter()
        self.answers: dict[tuple[str, str], list[tuple[float, float]]] = {}

    @property
    def inputs(self) -> int:
        """Events and commands that were answered with a success."""
        served = len(self.taken) + len(self.done) + len(self.replies)
        return len(self.posted) + served + self.steered.total() + len(self.created)

    def answered(self, service: str, workspace: str, sent: float) -> None:
        self.answers.setdefault((service, workspace), []).append((sent, time.monotonic()))

    def recovered_s(self, service: str, killed_at: float) -> float:
        """Seconds until every workspace had had a success for a call made after the kill."""
        firsts = [
            min((got for sent, got in its if sent > killed_at), default=killed_at)
            for (whose, _), its in self.answers.items()
            if whose == service
        ]
        return max(firsts, default=killed_at) - killed_at


class Caller:
    """Asks the replicas of a service in turn until one of them decides.

    `urls` names each service's replicas. A call is repeated, with its Idempotency-Key, after a lost
    connection, a time-out, and every answer that says so.
    """

    def __init__(
        self, client: httpx.AsyncClient, urls: Mapping[str, Sequence[str]], ledger: Ledger
    ) -> None:
        self.ledger = ledger
        self._client = client
        self._urls = urls
        self._turn = 0

    async def call(
        self,
        service: str,
        method: str,
        workspace: str,
        path: str,
        token: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        key: str | None = None,
        etag: str | None = None,
        patience_s: float = PATIENCE_S,
        wait_s: float = 0,
    ) -> httpx.Response:
        """The first answer that is a decision: a success, 304, or a refusal for good."""
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = content_type
        if key is not None:
            headers["Idempotency-Key"] = key
        if etag is not None:
            headers["If-None-Match"] = etag
        content = None if body is None else msgspec.json.encode(body)
        deadline = time.monotonic() + patience_s
        problem = ""
        while time.monotonic() < deadline:
            url = f"{self._next(service)}/v1/workspaces/{workspace}{path}"
            sent = time.monotonic()
            try:
                with reaching():
                    answer = await self._client.request(
                        method, url, content=content, headers=headers, timeout=TIMEOUT_S + wait_s
                    )
            except httpx.HTTPError as error:
                problem = type(error).__name__
            else:
                problem = _again(answer)
                if not problem:
                    if answer.status_code < 400:
                        self.ledger.answered(service, workspace, sent)
                    return answer
            self.ledger.counts[f"again: {problem}"] += 1
            await asyncio.sleep(PAUSE_S)
        raise GaveUp(f"{method} {path} of {workspace}: {problem}")

    def _next(self, service: str) -> str:
        self._turn += 1
        replicas = self._urls[service]
        return replicas[self._turn % len(replicas)]


def _again(answer: httpx.Response) -> str:
    """Why the call has to be repeated; "" when it was decided."""
    if answer.status_code < 400:
        return ""
    try:
        problem: dict[str, Any] = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return f"status {answer.status_code}"
    kind = str(problem.get("type", "")).rpartition("/")[2]
    if kind in _AGAIN:
        return kind
    return "in_flight" if problem.get("reason") == "in_flight" else ""
