"""An agent's desktop as a client: the calls that a person's screen would make, and no others."""

from typing import Any, Literal

import msgspec

from services.cli.apply.client import Api


class Desk:
    """One agent. Every call raises Refused when it is refused, OSError without an answer."""

    def __init__(self, api: Api, agent: str) -> None:
        self.agent = agent
        self._api = api
        self._etag: str | None = None

    async def be(
        self, status: Literal["available", "away", "offline"], reason: str | None = None
    ) -> None:
        """Set the agent's presence."""
        body = {"status": status, "reason": reason}
        await self._api.call("router", "PUT", f"/agents/{self.agent}/presence", body)

    async def work(self, wait_s: float = 0) -> dict[str, Any] | None:
        """Offers and tasks as soon as they differ from what was last seen; None: nothing new
        within `wait_s`."""
        headers = {} if self._etag is None else {"If-None-Match": self._etag}
        answer = await self._api.respond(
            "router", "GET", f"/agents/{self.agent}/work", headers=headers, params={"wait": wait_s}
        )
        if answer.status_code == 304:
            return None
        self._etag = answer.headers["ETag"]
        return msgspec.json.decode(answer.content)

    async def accept(self, offer: str) -> dict[str, Any]:
        """The task that is now the agent's."""
        return await self._api.call("router", "POST", self._offer(offer, "accept"))

    async def decline(self, offer: str, reason: str) -> None:
        await self._api.call("router", "POST", self._offer(offer, "decline"), {"reason": reason})

    def _offer(self, offer: str, verb: str) -> str:
        return f"/agents/{self.agent}/offers/{offer}:{verb}"

    async def messages(self, conversation: str) -> list[dict[str, Any]]:
        """The conversation, oldest first (its first 200 messages)."""
        path = f"/conversations/{conversation}/messages"
        answer = await self._api.call("channels", "GET", path, params={"limit": 200})
        return answer["messages"]

    async def reply(
        self, conversation: str, text: str, task: str, key: str | None = None
    ) -> dict[str, Any]:
        """Answer the customer; the same `key` again records it once."""
        path = f"/conversations/{conversation}/messages"
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"text": text, "task_id": task}
        return await self._api.call("channels", "POST", path, body, headers=headers)

    async def complete(self, task: str, disposition: str = "solved") -> dict[str, Any]:
        body = {"disposition": disposition}
        return await self._api.call("router", "POST", f"/tasks/{task}:complete", body)

    async def close(self, task: str) -> dict[str, Any]:
        """End the wrap-up."""
        return await self._api.call("router", "POST", f"/tasks/{task}:close")
