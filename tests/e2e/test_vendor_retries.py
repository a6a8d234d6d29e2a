"""Vendors that repeat, reorder, time out and give up, each in its own way, against a process that is
killed, started again and frozen: every message arrives once.

The vendors' waits are compressed (a minute is a second); their rules are those that they document.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest_asyncio

from services.channels.connectors.chat import slack, telegram, twilio_forms, whatsapp_examples
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.posting import posted, signed
from shared.testing.processes import Installation

SLACK_SECRET, TELEGRAM_SECRET, VERIFY = "example-signing-secret", "example-token", "example-word"
TWILIO_URL = "https://twilio.example/inbound"
CONVERSATIONS, MESSAGES = 4, 4
PATIENCE_S = 30.0
TIMEOUT_S = 0.6

Build = Callable[[int, int], InboundRequest]
"""(conversation, number) -> the request, signed now."""


@dataclass
class Vendor:
    """How one vendor delivers. `waits_s` are its pauses before it tries again, after the last it
    gives up; `connect_only`: it repeats only what never connected. Now and then it repeats what was
    answered as well."""

    connector: str
    build: Build
    waits_s: tuple[float, ...]
    connect_only: bool = False
    chance: Random = field(default_factory=lambda: Random(7))
    answered: Counter[tuple[int, int]] = field(default_factory=Counter)
    given_up: list[tuple[int, int]] = field(default_factory=list)
    tries: int = 0

    async def deliver(self, house: "House", what: tuple[int, int]) -> None:
        await asyncio.sleep(self.chance.uniform(0, 6))
        for wait_s in (*self.waits_s, None):
            outcome = await self.post(house, what)
            if outcome == "taken":
                if self.chance.random() < 0.2:
                    await self.post(house, what)
                return
            if wait_s is None or (self.connect_only and outcome != "unreached"):
                break
            await asyncio.sleep(wait_s)
        self.given_up.append(what)

    async def post(self, house: "House", what: tuple[int, int]) -> str:
        request = self.build(*what)
        self.tries += 1
        try:
            answer = await house.client.post(
                house.path(self.connector),
                content=request.body,
                headers=list(request.headers),
                timeout=TIMEOUT_S,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return "unreached"
        except httpx.HTTPError:
            return "unanswered"
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200:
            self.answered[what] += 1
            return "taken"
        return "refused"


def now_us() -> int:
    return time.time_ns() // 1000


def whatsapp(conversation: int, number: int) -> InboundRequest:
    who, wamid = f"49151000000{conversation:02}", f"wamid.{conversation}.{number}"
    raw = whatsapp_examples.message(wamid, "text", {"body": words(conversation, number)}, now_us())
    payload = whatsapp_examples.payload_of("messages", {**raw, "from": who}, customer=who)
    # A receipt of a message comes with it, here even before it.
    status = {"id": wamid, "status": "read", "timestamp": raw["timestamp"], "recipient_id": who}
    payload["entry"][0]["changes"][0]["value"]["statuses"] = [status]
    return whatsapp_examples.sign(payload, now_us())


def slack_event(conversation: int, number: int) -> InboundRequest:
    event = {
        "type": "message",
        "channel": f"D{conversation}",
        "channel_type": "im",
        "user": f"U{conversation}",
        "ts": f"1790000000.{conversation:03}{number:03}",
        "text": words(conversation, number),
    }
    name = f"Ev{conversation}-{number}"
    payload = {"type": "event_callback", "team_id": "T1", "event_id": name, "event": event}
    scheme: Any = slack.CONNECTOR.signature
    return signed(scheme, SLACK_SECRET, payload, now_us())


def telegram_update(conversation: int, number: int) -> InboundRequest:
    person = {"id": 700 + conversation, "is_bot": False, "first_name": "Kim"}
    message = {
        "message_id": number,
        "from": person,
        "chat": {"id": 700 + conversation, "type": "private"},
        "date": now_us() // 1_000_000,
        "text": words(conversation, number),
    }
    scheme: Any = telegram.CONNECTOR.signature
    update = {"update_id": conversation * 100 + number, "message": message}
    return posted(update, now_us(), (scheme.header, TELEGRAM_SECRET))


def twilio(conversation: int, number: int) -> InboundRequest:
    values = {
        "MessageSid": f"SM{conversation}-{number}",
        "From": f"+49152000000{conversation:02}",
        "To": "+4930123456",
        "Body": words(conversation, number),
    }
    return twilio_forms.request_of(values, now_us(), url=TWILIO_URL)


def words(conversation: int, number: int) -> str:
    return f"message {number} of conversation {conversation}"


class House:
    """One process of all services, and the vendors' connectors in it."""

    def __init__(self, installation: Installation, client: httpx.AsyncClient, token: str) -> None:
        self.installation, self.client = installation, client
        self.process = installation.processes[0]
        self._headers = {"Authorization": f"Bearer {token}"}

    def path(self, connector: str) -> str:
        return f"{self.process.url}/v1/workspaces/retries/connectors/{connector}/inbound"

    async def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        url = f"{self.process.url}/v1/workspaces/retries{path}"
        answer = await self.client.request(method, url, headers=self._headers, **options)
        assert answer.is_success, answer.text
        return answer.json()

    async def prepare(self) -> None:
        secrets = {
            "whatsapp_cloud": {"app_secret": whatsapp_examples.APP_SECRET, "verify_token": VERIFY},
            "slack": {"signing_secret": SLACK_SECRET},
            "telegram": {"secret_token": TELEGRAM_SECRET},
            "twilio_sms": {"auth_token": twilio_forms.AUTH_TOKEN},
        }
        for kind, known in secrets.items():
            settings = {"public_url": TWILIO_URL} if kind == "twilio_sms" else {}
            body = {"kind": kind, "secrets": known, "settings": settings}
            await self.call("PUT", f"/connectors/{kind}", json=body)

    async def restart(self) -> None:
        self.process.kill()
        self.process.launch()
        await asyncio.to_thread(self.process.wait_ready)

    async def freeze(self, seconds: float) -> None:
        self.process.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.process.send(signal.SIGCONT)

    async def texts(self, connector: str) -> Counter[str]:
        """Everything readable of a connector."""
        query = {"connector": connector, "limit": 100}
        found = (await self.call("GET", "/conversations", params=query))["conversations"]
        texts: Counter[str] = Counter()
        for one in found:
            page = await self.call("GET", f"/conversations/{one['id']}/messages")
            texts.update(each["text"] for each in page["messages"])
        return texts

    async def heard(self) -> tuple[Counter[str], Counter[str]]:
        """What the router took in: tasks by conversation, and later messages by their id."""
        opened: Counter[str] = Counter()
        later: Counter[str] = Counter()
        last = 0
        while page := (await self.call("GET", "/events", params={"after": last}))["events"]:
            last = page[-1]["seq"]
            for one in page:
                data = one["data"]
                if one["type"] == "routing.task.created.v1":
                    opened[data["conversation_id"]] += 1
                elif one["type"] == "routing.task.message.v1":
                    later[data["message_id"]] += 1
        return opened, later


@pytest_asyncio.fixture
async def house(tmp_path: Any) -> AsyncIterator[House]:
    with Installation(tmp_path, settings={"OMNIROUTE_LEASE_S": "2"}) as installation:
        token = await asyncio.to_thread(
            installation.command, "token", "--workspace", "retries", "--role", "admin"
        )
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=20, trust_env=False, limits=limits) as client:
            made = House(installation, client, token.strip())
            await made.prepare()
            yield made


async def test_each_message_arrives_once_however_its_vendor_repeats(house: House) -> None:
    vendors = [
        Vendor("whatsapp_cloud", whatsapp, (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2, 3.2, 3.2)),
        Vendor("slack", slack_event, (0.0, 1.0, 5.0)),
        Vendor("telegram", telegram_update, (0.5,) * 30),
        Vendor("twilio_sms", twilio, (0.3,), connect_only=True),
    ]
    everything = [(c, n) for c in range(CONVERSATIONS) for n in range(1, MESSAGES + 1)]
    async with asyncio.TaskGroup() as group:
        for vendor in vendors:
            for what in vendor.chance.sample(everything, len(everything)):
                group.create_task(vendor.deliver(house, what))
        await asyncio.sleep(1.5)
        await house.restart()
        await house.freeze(1.2)
    assert sum(vendor.tries for vendor in vendors) > 1.2 * len(vendors) * len(everything)
    assert vendors[3].given_up, "Twilio tries once more, and only when it could not connect"
    for vendor in vendors:
        assert not set(vendor.given_up) & set(vendor.answered), "what was taken is not tried again"
        for what in vendor.given_up:  # what the reconcile job lists when it comes round
            assert await vendor.post(house, what) == "taken"

    expected = Counter(words(*what) for what in everything)
    until = time.monotonic() + PATIENCE_S
    for vendor in vendors:
        while (texts := await house.texts(vendor.connector)) != expected:
            assert time.monotonic() < until, (vendor.connector, texts - expected, expected - texts)
            await asyncio.sleep(0.1)
    total = len(vendors) * len(everything)
    while True:
        opened, later = await house.heard()
        if opened.total() + later.total() >= total:
            break
        assert time.monotonic() < until, (opened, later)
        await asyncio.sleep(0.1)
    assert set(opened.values()) == {1} and len(opened) == len(vendors) * CONVERSATIONS
    assert set(later.values()) == {1} and opened.total() + later.total() == total
