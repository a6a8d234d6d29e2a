"""A contact centre at work while its processes are killed: platforms that post, agents that serve."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx
import msgspec

from shared.testing.kill_calls import Caller, Done, Look, Posted, Taken
from shared.testing.kill_setup import BOT, COST, CUSTOMERS, Bodies, resources, staff

READ_PATIENCE_S = 30.0
BATCH = "application/cloudevents-batch+json"


class Place:
    """One workspace with its people. `run` plays it until `close`; agents go on until cancelled."""

    def __init__(self, name: str, caller: Caller, seed: str) -> None:
        self.name = name
        self.number = int(name.lstrip("w") or 0) if name.startswith("w") else 0
        self.staff = staff(self.number)
        self.rate_per_s = 4.0
        self._caller = caller
        self._chance = Random(f"{seed}:{name}")
        self._keys: dict[str, str] = {}
        self._threads: list[str] = []
        self._sent: list[Bodies] = []
        self._talks: set[str] = set()
        self._open = True

    async def prepare(self, admin: str) -> None:
        """Make the workspace, its keys and its resources."""
        self._keys["admin"] = admin
        settings = {"languages": ["en"], "channels": {"chat": {"cost": COST}}, "lease_s": 60}
        await self._made("router", "PUT", "", settings, admin)
        self._keys["platform"] = await self._key("platform", None, admin)
        for agent in self.staff:
            self._keys[agent] = await self._key("agent", agent, admin)
        for service, path, body in resources(self.number):
            await self._made(service, "PUT", f"/{path}", body, admin)

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

    @property
    def is_open(self) -> bool:
        return self._open

    async def open_tasks(self) -> list[str]:
        """Ids of tasks that wait or are at an agent's."""
        path = "/tasks?state=pending&state=reserved&state=assigned&limit=50"
        answer = await self._caller.call("router", "GET", self.name, path, self._keys["admin"])
        assert answer.status_code == 200, answer.text
        return [task["id"] for task in msgspec.json.decode(answer.content)["tasks"]]

    async def create(self, body: Bodies, key: str) -> None:
        """A task that no customer's message opens."""
        answer = await self._caller.call(
            "router", "POST", self.name, "/tasks", self._keys["admin"], body, key=key
        )
        assert answer.status_code == 201, answer.text
        made = (self.name, msgspec.json.decode(answer.content)["id"])
        self._caller.ledger.created.append(made)

    async def customer(self, path: str, body: Bodies, key: str) -> None:
        """Merge or part customers; those that are so already answer 409."""
        answer = await self._caller.call(
            "router", "POST", self.name, path, self._keys["admin"], body, key=key
        )
        assert answer.status_code in (200, 404, 409), answer.text
        self._caller.ledger.counts[f"{path.rpartition(':')[2]} {answer.status_code}"] += 1

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
                "identities": self._identities(key),
                "text": f"question {number}",
                "language": "en",
            },
        }

    def _identities(self, key: str) -> list[Bodies]:
        """Who writes in a thread is always the same; every other is unknown."""
        number = int(key.rpartition("-")[2])
        known = CUSTOMERS[number // 2 % len(CUSTOMERS)] if number % 2 else None
        return [{"scheme": "crm", "value": known}] if known else []

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
            self._talks.add(posted.conversation)

    # The agents

    async def serve(self, agent: str) -> None:
        """One agent at his desk until cancelled."""
        doing: set[str] = set()
        finished: set[str] = set()
        times: Counter[str] = Counter()
        etag: str | None = None
        await self._be_there(agent)
        async with asyncio.TaskGroup() as group:
            while True:
                if finished:  # a customer may have written again before the task was closed
                    doing -= finished
                    finished.clear()
                    etag = None
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
                    once = f"{task['id']}-{task['assigned_at']}"
                    if once not in doing and task["state"] == "assigned":
                        doing.add(once)
                        times[once] += 1
                        done = group.create_task(self._handle(agent, task, f"{once}-{times[once]}"))
                        done.add_done_callback(lambda _, one=once: finished.add(one))

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

    async def _handle(self, agent: str, task: Bodies, once: str) -> None:
        slow = self._chance.random() < 0.2
        await asyncio.sleep(self._chance.uniform(3, 6) if slow else self._chance.uniform(0.1, 0.8))
        if agent == BOT:
            await self._hand_over(task, once)
            return
        if task["conversation_id"] in self._talks:  # else a call-back: nobody has written
            await self._reply(agent, task, f"reply-{once}")
        path = f"/tasks/{task['id']}:complete"
        answer = await self._caller.call(
            "router", "POST", self.name, path, self._keys[agent], {}, key=f"complete-{once}"
        )
        if answer.status_code == 200:
            self._caller.ledger.done.append(Done(self.name, agent, task["id"]))
        else:
            assert answer.status_code in (403, 409), answer.text
            self._caller.ledger.counts["complete too late"] += 1

    async def _hand_over(self, task: Bodies, once: str) -> None:
        """The bot asks a human, and keeps the place."""
        body = {"to": {"queue": "general"}, "note": "not for me"}
        path = f"/tasks/{task['id']}:transfer"
        await self.command(path, body, BOT, f"over-{once}")

    async def command(self, path: str, body: Bodies, who: str, key: str) -> bool:
        """Something done to a task of `path` by `who`; whether it was accepted. What was is noted."""
        answer = await self._caller.call(
            "router", "POST", self.name, path, self._keys[who], body, key=key
        )
        if answer.status_code == 200:
            task, verb = path.rpartition("/")[2].split(":")
            self._caller.ledger.steered[self.name, verb, task] += 1
            return True
        assert answer.status_code in (403, 409), answer.text
        self._caller.ledger.counts[f"{path.rpartition(':')[2]} refused"] += 1
        return False

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
        if answer.status_code == 403:  # his no longer
            self._caller.ledger.counts["reply too late"] += 1
            return
        assert answer.status_code == 201, answer.text
        event_id = msgspec.json.decode(answer.content)["event_id"]
        self._caller.ledger.replies.append(Posted(self.name, event_id, conversation))
