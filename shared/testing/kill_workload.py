"""A contact centre at work while its processes are killed: platforms that post, agents that serve."""

import asyncio
import time
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx
import msgspec

from shared.testing.kill_calls import Caller, Done, Look, Posted, Taken

AGENTS = ("ana", "ben", "cyd", "dee")
COST, CAPACITY, CHATS = 30, 100, 3
FIRST_RESPONSE_S, RESOLUTION_S, WARN_AT = 10.0, 25.0, 0.5
READ_PATIENCE_S = 30.0
BATCH = "application/cloudevents-batch+json"

Bodies = dict[str, Any]

_RESOURCES: tuple[tuple[str, str, Bodies], ...] = (
    ("sla", "calendars/always", {"timezone": "UTC", "always_open": True}),
    ("router", "queues/general", {"offer": {"ttl_s": 15, "misses_before_away": 5, "cool_down_s": 1}}),
    ("router", "policies/default", {
        "rules": [
            {
                "name": "all",
                "prefer": {"reopen_within_s": 3600},
                "steps": [{"queue": "general"}],
            }
        ]
    }),
    ("sla", "sla-policies/all", {
        "calendar": "always",
        "targets": {
            "first_response": {"target_s": FIRST_RESPONSE_S, "warn_at": [WARN_AT]},
            "resolution": {"target_s": RESOLUTION_S, "warn_at": [WARN_AT]},
        },
    }),
)  # fmt: skip


class Place:
    """One workspace with its people. `run` plays it until `close`; agents go on until cancelled."""

    def __init__(self, name: str, caller: Caller, seed: str) -> None:
        self.name = name
        self.rate_per_s = 4.0
        self._caller = caller
        self._chance = Random(f"{seed}:{name}")
        self._keys: dict[str, str] = {}
        self._threads: list[str] = []
        self._sent: list[Bodies] = []
        self._open = True

    async def prepare(self, admin: str) -> None:
        """Make the workspace, its keys and its resources."""
        self._keys["admin"] = admin
        settings = {"languages": ["en"], "channels": {"chat": {"cost": COST}}, "lease_s": 60}
        await self._made("router", "PUT", "", settings, admin)
        self._keys["platform"] = await self._key("platform", None, admin)
        for agent in AGENTS:
            self._keys[agent] = await self._key("agent", agent, admin)
        for service, path, body in _RESOURCES:
            await self._made(service, "PUT", f"/{path}", body, admin)
        for agent in AGENTS:
            body = {"capacity": CAPACITY, "channels": {"chat": CHATS}}
            await self._made("router", "PUT", f"/agents/{agent}", body, admin)

    async def _key(self, role: str, agent: str | None, admin: str) -> str:
        body = {"name": agent or role, "role": role, "agent": agent}
        return (await self._made("router", "POST", "/keys", body, admin))["token"]

    async def _made(self, service: str, method: str, path: str, body: Any, token: str) -> Bodies:
        answer = await self._caller.call(service, method, self.name, path, token, body)
        assert answer.status_code in (200, 201), (path, answer.text)
        return msgspec.json.decode(answer.content)

    def close(self) -> None:
        """No more customers."""
        self._open = False

    async def journal(self) -> list[Bodies]:
        """The router's journal as `GET events` tells it, from the first event on."""
        found: list[Bodies] = []
        after: int | None = 0
        while after is not None:
            path = f"/events?after={after}&limit=1000"
            answer = await self._caller.call("router", "GET", self.name, path, self._keys["admin"])
            assert answer.status_code == 200, answer.text
            page: Bodies = msgspec.json.decode(answer.content)
            found += page["events"]
            after = page["next"]
        return found

    # The platform

    async def post(self) -> None:
        """Customers write until `close`; now and then the platform sends something again."""
        while self._open:
            size = self._chance.randint(1, 4)
            await asyncio.sleep(self._chance.expovariate(self.rate_per_s / size))
            rows = [self._message() for _ in range(size)]
            if self._sent and self._chance.random() < 0.1:
                rows.append(self._chance.choice(self._sent))
                self._caller.ledger.counts["sent again on purpose"] += 1
            await self._post(rows)
            self._sent += rows

    async def say(self, count: int) -> None:
        """So many questions of customers, accepted."""
        await self._post([self._message() for _ in range(count)])

    def _message(self) -> Bodies:
        number = len(self._threads)
        if self._threads and self._chance.random() < 0.25:
            key = self._chance.choice(self._threads[-12:])
        else:
            key = f"thread-{number}"
        self._threads.append(key)
        return {
            "specversion": "1.0",
            "id": f"m-{number}",
            "source": "kills",
            "type": "interaction.message.v1",
            "time": datetime.now(UTC).isoformat(),
            "data": {
                "channel": "chat",
                "conversation_key": key,
                "direction": "inbound",
                "author": {"role": "customer", "name": "Kim"},
                "text": f"question {number}",
                "language": "en",
            },
        }

    async def _post(self, rows: list[Bodies]) -> None:
        token = self._keys["platform"]
        answer = await self._caller.call(
            "channels", "POST", self.name, "/events", token, rows, content_type=BATCH
        )
        assert answer.status_code == 202, answer.text
        for result in msgspec.json.decode(answer.content)["results"]:
            assert result["status"] == "accepted", result
            posted = Posted(self.name, result["event_id"], result["conversation_id"])
            self._caller.ledger.posted[posted.event_id] = posted

    # The agents

    async def serve(self, agent: str) -> None:
        """One agent at his desk until cancelled."""
        doing: set[str] = set()
        etag: str | None = None
        await self._be_there(agent)
        async with asyncio.TaskGroup() as group:
            while True:
                sent = time.monotonic()
                answer = await self._work(agent, etag)
                if answer.status_code == 304:
                    continue
                assert answer.status_code == 200, answer.text
                etag = answer.headers["ETag"]
                seen: Bodies = msgspec.json.decode(answer.content)
                got = time.monotonic()
                look = Look(self.name, agent, sent, got, seen["revision"])
                self._caller.ledger.looks.append(look)
                if seen["agent"]["presence"]["status"] != "available":
                    await self._be_there(agent)
                for offer in seen["offers"]:
                    if offer["id"] not in doing:
                        doing.add(offer["id"])
                        group.create_task(self._consider(agent, offer))
                for task in seen["tasks"]:
                    if (once := f"{task['id']} {task['assigned_at']}") not in doing:
                        doing.add(once)
                        group.create_task(self._handle(agent, task))

    async def _work(self, agent: str, etag: str | None) -> httpx.Response:
        path = f"/agents/{agent}/work?wait=2"
        return await self._caller.call(
            "router", "GET", self.name, path, self._keys[agent], etag=etag, wait_s=2
        )

    async def look(self, agent: str, url: str) -> int:
        """Ask one replica, whatever it does just now, once; the answer's status."""
        path = f"{url}/v1/workspaces/{self.name}/agents/{agent}/work"
        headers = {"Authorization": f"Bearer {self._keys[agent]}"}
        sent = time.monotonic()
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(path, headers=headers)
        if answer.status_code == 200:
            revision: int = msgspec.json.decode(answer.content)["revision"]
            look = Look(self.name, agent, sent, time.monotonic(), revision)
            self._caller.ledger.looks.append(look)
        return answer.status_code

    async def _be_there(self, agent: str) -> None:
        path, body = f"/agents/{agent}/presence", {"status": "available"}
        answer = await self._caller.call("router", "PUT", self.name, path, self._keys[agent], body)
        assert answer.status_code == 200, answer.text

    async def _consider(self, agent: str, offer: Bodies) -> None:
        luck = self._chance.random()
        await asyncio.sleep(self._chance.uniform(0, 0.3))
        if luck < 0.04:
            self._caller.ledger.counts["overlooked"] += 1
            return
        verb, body = ("decline", {"reason": "busy"}) if luck < 0.08 else ("accept", None)
        path = f"/agents/{agent}/offers/{offer['id']}:{verb}"
        answer = await self._caller.call(
            "router", "POST", self.name, path, self._keys[agent], body, key=f"{verb}-{offer['id']}"
        )
        if answer.status_code == 200 and verb == "accept":
            task: Bodies = msgspec.json.decode(answer.content)
            assert task["agent_id"] == agent, answer.text
            self._caller.ledger.taken.append(Taken(self.name, agent, offer["id"], task["id"]))
        elif answer.status_code >= 400:
            assert answer.status_code == 409, answer.text
            self._caller.ledger.counts[f"{verb} too late"] += 1

    async def _handle(self, agent: str, task: Bodies) -> None:
        slow = self._chance.random() < 0.2
        await asyncio.sleep(self._chance.uniform(3, 6) if slow else self._chance.uniform(0.1, 0.8))
        once = f"{task['id']}-{task['assigned_at']}"
        await self._reply(agent, task, f"reply-{once}")
        path = f"/tasks/{task['id']}:complete"
        answer = await self._caller.call(
            "router", "POST", self.name, path, self._keys[agent], {}, key=f"complete-{once}"
        )
        if answer.status_code == 200:
            self._caller.ledger.done.append(Done(self.name, agent, task["id"]))
        else:
            assert answer.status_code == 409, answer.text
            self._caller.ledger.counts["complete too late"] += 1

    async def _reply(self, agent: str, task: Bodies, key: str) -> None:
        """The archive may be behind the offer: until it knows the conversation it is a 404."""
        conversation = task["conversation_id"]
        path = f"/conversations/{conversation}/messages"
        body = {"text": "Here is the answer.", "task_id": task["id"]}
        deadline = time.monotonic() + READ_PATIENCE_S
        while True:
            answer = await self._caller.call(
                "channels", "POST", self.name, path, self._keys[agent], body, key=key
            )
            if answer.status_code != 404 or time.monotonic() > deadline:
                break
            self._caller.ledger.counts["again: not yet readable"] += 1
            await asyncio.sleep(0.25)
        assert answer.status_code == 201, answer.text
        event_id = msgspec.json.decode(answer.content)["event_id"]
        self._caller.ledger.replies.append(Posted(self.name, event_id, conversation))
