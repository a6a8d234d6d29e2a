"""The end-to-end scenario, unchanged against one process on its own PostgreSQL and against three on
Kafka: real payloads in, the right agents served, deadlines tracked, a power cut in between."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from services.channels.connectors.port import InboundRequest
from services.cli.apply.client import Api
from services.cli.demo import payloads
from services.cli.demo.desk import Desk
from services.cli.demo.payloads import Address, Person
from shared.contracts.problems import Refused
from shared.testing.processes import Installation

FILE = Path(__file__).with_name("workspace.yaml")
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
SECRET = "a-secret-of-the-vendors"
KIM = Person("4915112345678", "Kim Weber")
AMELIA = Person("amelia.clark@example.org", "Amelia Clark")
DIEGO = Person("900000000000009", "Diego Navarro")
CALLER, CALL = "+442071838750", "CA0123456789"
AGENTS = ("ana", "ada", "ben", "cyd", "sam", "zoe")
PATIENCE_S = 30.0
SILENT = {"auto_reply", "bounce", "echo", "own_loop", "standby", "suppress"}


class Stage:
    """The installation as platforms, vendors, agents and operations reach it."""

    def __init__(self, installation: Installation, client: httpx.AsyncClient, token: str) -> None:
        self.installation = installation
        self.client = client
        self.api = self._api(token)
        self.desks: dict[str, Desk] = {}
        self.addresses: dict[str, Address] = {}

    def _api(self, token: str) -> Api:
        channels = self.installation.url("channels")
        return Api(channels, token, "e2e", self.installation.urls, client=self.client)

    async def get(self, service: str, path: str, **query: Any) -> dict[str, Any]:
        return await self.api.call(service, "GET", path, params=query)

    async def open_desks(self) -> None:
        for agent in AGENTS:
            body = {"name": agent, "role": "agent", "agent": agent}
            key = await self.api.call("router", "POST", "/keys", body)
            self.desks[agent] = Desk(self._api(key["token"]), agent)

    async def learn_addresses(self) -> None:
        for connector in (await self.get("channels", "/connectors"))["connectors"]:
            secret = "" if connector["kind"] == "email_mime" else SECRET
            self.addresses[connector["id"]] = Address(connector["inbound_url"], secret)

    async def post(self, request: InboundRequest) -> None:
        parts = urlsplit(request.url)
        target = f"{self.installation.url('channels')}{parts.path}"
        answer = await self.client.post(target, content=request.body, headers=list(request.headers))
        assert answer.status_code == 200, answer.text

    async def journal(self, types: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            query = {"after": after, "limit": 1000, **({"types": types} if types else {})}
            answer = await self.get("router", "/events", **query)
            found += answer["events"]
            after = answer["next"]
        return found

    async def conversation_of(self, connector: str) -> str:
        """The one conversation of a connector, once it is readable."""

        async def look() -> str | None:
            listed = await self.get("channels", "/conversations", connector=connector)
            names = [one["conversation_id"] for one in listed["conversations"]]
            assert len(names) <= 1, names
            return names[0] if names else None

        return await eventually(look, f"a conversation of {connector}")

    async def offered(self, agent: str) -> dict[str, Any]:
        """The one offer that the agent has or will soon have."""

        async def look() -> dict[str, Any] | None:
            offers = (await self.desk_of(agent))["offers"]
            assert len(offers) <= 1, offers
            return offers[0] if offers else None

        return await eventually(look, f"an offer for {agent}")

    async def desk_of(self, agent: str) -> dict[str, Any]:
        return await self.get("router", f"/agents/{agent}/work")

    async def first_response(self, conversation: str, *states: str) -> dict[str, Any]:
        """The conversation's first-response clock once it is in one of the states."""

        async def look() -> dict[str, Any] | None:
            answer = await self.get("sla", f"/conversations/{conversation}/clocks")
            found = [one for one in answer["clocks"] if one["metric"] == "first_response"]
            return found[0] if found and found[0]["state"] in states else None

        return await eventually(look, f"a clock of {conversation} that is {states}")


async def eventually(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `look` finds, as soon as it finds it; services may be away for a moment."""
    deadline = time.monotonic() + PATIENCE_S
    problem = ""
    while time.monotonic() < deadline:
        try:
            if (found := await look()) is not None:
                return found
        except OSError as away:
            problem = f" ({away})"
        except Refused as refused:
            if refused.kind not in ("not-found", "unavailable"):
                raise
            problem = f" ({refused.detail})"
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}{problem}")


def now_us() -> int:
    return time.time_ns() // 1000


@pytest_asyncio.fixture
async def stage(installation: Installation) -> AsyncIterator[Stage]:
    """The workspace applied by the command, the agents present."""
    token = installation.command("token", "--workspace", "e2e", "--role", "admin").strip()
    urls = [f"--{name}-url={url}" for name, url in installation.urls.items()]
    secrets = {"OMNIROUTE_TOKEN": token, "E2E_SECRET": SECRET}
    base = f"--url={installation.url('channels')}"
    out = installation.command("apply", "-f", str(FILE), "--yes", base, *urls, **secrets)
    assert "warning" not in out, out
    async with httpx.AsyncClient(timeout=40, trust_env=False, verify=False) as client:
        made = Stage(installation, client, token)
        await made.open_desks()
        await made.learn_addresses()
        for desk in made.desks.values():
            await desk.be("available")
        yield made


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_from_payload_to_answer(stage: Stage) -> None:
    await write_in(stage)
    tasks = await take_up(stage)
    await write_and_cut_the_power(stage)
    await answer(stage, tasks)
    await see_the_breach_through(stage)
    await write_again(stage, tasks)
    await check_the_record(stage, tasks)
    await play_recorded_payloads(stage)


async def write_in(stage: Stage) -> None:
    """Three channels; on WhatsApp the edit overtakes its message, which then comes twice."""
    to, at_us = stage.addresses["whatsapp"], now_us()
    text = "Guten Tag, meine Rechnung für März ist falsch."
    edited = "Guten Tag, meine Rechnung 4711 für März ist falsch."
    edit = payloads.whatsapp_edit(to, KIM, edited, wamid="w2", original="w1", at_us=at_us)
    message = payloads.whatsapp_message(to, KIM, text, wamid="w1", at_us=at_us)
    await stage.post(edit)
    await asyncio.sleep(1)  # the edit is there for good before its message comes
    await stage.post(message)
    await stage.post(message)

    letter = payloads.mail(
        stage.addresses["mail"],
        AMELIA,
        "No connection",
        "Hello,\n\nthe router you sent me does not connect to the internet.\n\nAmelia Clark\n",
        message_id="first@mail.example.org",
        at_us=now_us(),
        recipient="help@e2e.example",
        attachment=("photo.pdf", b"%PDF-1.7"),
    )
    await stage.post(letter)

    calls = stage.addresses["calls"]
    said = "Hello, I have a question about the last invoice that you sent me."
    await stage.post(payloads.call_started(calls, CALL, caller=CALLER, at_us=now_us()))
    for number, part, final in ((2, said[:20], False), (3, said, True)):
        await stage.post(
            payloads.call_said(
                calls, CALL, part, number=number, caller=CALLER, at_us=now_us(), final=final
            )
        )


async def take_up(stage: Stage) -> dict[str, dict[str, Any]]:
    """Each agent is offered what only he can do, and accepts it."""
    expected = {
        "ana": ("chat", "billing", ["billing >= 3", "de >= 3"], "German billing"),
        "ben": ("email", "tech", ["tech >= 2", "en >= 3"], "Router by mail"),
        "cyd": ("phone", "voice", None, "Calls about invoices"),
    }
    tasks: dict[str, dict[str, Any]] = {}
    for agent, (channel, queue, requires, rule) in expected.items():
        offer = await stage.offered(agent)
        assert (offer["channel"], offer["queue"]) == (channel, queue)
        task = await stage.desks[agent].accept(offer["id"])
        assert (task["state"], task["agent_id"]) == ("assigned", agent)
        assert task["policy"]["rule"] == rule
        if requires:
            assert [one["text"] for one in task["requires"]] == requires
        again = await stage.desks[agent].accept(offer["id"])
        assert again["id"] == task["id"]
        tasks[agent] = task
    assert tasks["ana"]["customer_id"] == "kim"
    assert tasks["ana"]["priority"] == 10
    other = await stage.desk_of("ada")
    assert other["offers"] == other["tasks"] == []
    return tasks


async def write_and_cut_the_power(stage: Stage) -> None:
    """What was accepted in the last moment before every process dies is not lost."""
    text = "Hola, me han cobrado dos veces la misma factura y nadie me contesta."
    page = stage.addresses["page"]
    await stage.post(payloads.messenger_message(page, DIEGO, text, mid="m1", at_us=now_us()))
    stage.installation.kill()
    await asyncio.to_thread(stage.installation.start)


async def answer(stage: Stage, tasks: dict[str, dict[str, Any]]) -> None:
    """Read, reply, complete: after the restart the work is where it was, and clocks are met."""
    for agent, task in tasks.items():
        desk, name = stage.desks[agent], task["conversation_id"]
        mine = (await eventually(lambda: stage.desk_of(agent), f"{agent}'s desk"))["tasks"]
        assert [one["id"] for one in mine] == [task["id"]]
        heard = await eventually(lambda: desk.messages(name), f"the words of {name}")
        spoken = [one for one in heard if one["author"]["role"] == "customer"]
        assert len(spoken) == 1
        if agent == "ana":
            assert "4711" in spoken[0]["text"]
            assert "edited" in spoken[0]["flags"]
        elif agent == "ben":
            assert [one["name"] for one in spoken[0]["attachments"]] == ["photo.pdf"]
        await desk.reply(name, "Let me see to that.", task["id"], key=f"first-{agent}")
        await desk.reply(name, "Let me see to that.", task["id"], key=f"first-{agent}")
        clock = await stage.first_response(name, "met")
        assert (clock["task_id"], clock["breached_at"]) == (task["id"], None)
        done = await desk.complete(task["id"])
        if agent == "ana":
            assert done["state"] == "wrapping"
            done = await desk.close(task["id"])
        assert done["state"] == "completed"


async def see_the_breach_through(stage: Stage) -> None:
    """Nobody who speaks Spanish is there: the deadline passes, and the supervisor gets it."""
    offer = await stage.offered("sam")
    assert offer["channel"] == "social"
    name = offer["conversation_id"]
    clock = await stage.first_response(name, "running")
    assert clock["breached_at"] == clock["due_at"] is not None
    escalated = await stage.journal("routing.task.escalated.v1")
    levels = [one["data"]["level"] for one in escalated if one["data"]["conversation_id"] == name]
    assert levels == ["at risk", "breached"]
    desk = stage.desks["sam"]
    task = await desk.accept(offer["id"])
    await desk.reply(name, "Lo siento, ahora mismo lo reviso.", task["id"])
    missed = await stage.first_response(name, "missed")
    assert missed["breached_at"] == missed["due_at"] == clock["due_at"]
    assert (await desk.complete(task["id"]))["state"] == "completed"
    breaches = (await stage.get("sla", "/breaches"))["breaches"]
    assert [one["conversation_id"] for one in breaches] == [name]


async def write_again(stage: Stage, tasks: dict[str, dict[str, Any]]) -> None:
    """A second task in the same thread: a new one on WhatsApp; by mail, within the window, the
    same one reopened."""
    text = "Ich habe noch eine Frage zu meiner Rechnung vom letzten Monat."
    to = stage.addresses["whatsapp"]
    await stage.post(payloads.whatsapp_message(to, KIM, text, wamid="w3", at_us=now_us()))
    offer = await stage.offered("ana")
    assert offer["conversation_id"] == tasks["ana"]["conversation_id"]
    assert offer["task_id"] != tasks["ana"]["id"]
    await stage.desks["ana"].accept(offer["id"])

    thanks = payloads.mail(
        stage.addresses["mail"],
        AMELIA,
        "Re: No connection",
        "I tried that, but the router is still red.\n",
        message_id="second@mail.example.org",
        at_us=now_us(),
        recipient="help@e2e.example",
        in_reply_to="first@mail.example.org",
    )
    await stage.post(thanks)
    offer = await stage.offered("ben")
    assert offer["task_id"] == tasks["ben"]["id"]
    assert (await stage.desks["ben"].accept(offer["id"]))["state"] == "assigned"


async def check_the_record(stage: Stage, tasks: dict[str, dict[str, Any]]) -> None:
    """The journal has no gap, everything happened once, and all of it explains itself."""
    journal = await stage.journal()
    assert [one["seq"] for one in journal] == list(range(1, len(journal) + 1))
    created = [one for one in journal if one["type"] == "routing.task.created.v1"]
    assert len(created) == 5  # three, the Spanish one, and Kim's second
    completed = [one for one in journal if one["type"] == "routing.task.completed.v1"]
    assert len(completed) == 4
    for connector, count in (("whatsapp", 2), ("page", 1), ("calls", 1), ("mail", 2)):
        name = await stage.conversation_of(connector)
        path = f"/conversations/{name}/messages"
        heard = (await stage.get("channels", path))["messages"]
        assert sum(one["author"]["role"] == "customer" for one in heard) == count
        replies = [one for one in heard if one["direction"] == "outbound"]
        assert [one["author"]["role"] for one in replies] == ["agent"]
    for agent, task in tasks.items():
        explained = await stage.get("router", f"/tasks/{task['id']}/explanation")
        assert explained["summary"]
        assert agent in [one["winner"] for one in explained["decisions"]]
        assert (await stage.get("router", f"/agents/{agent}/explanation"))["summary"]
    letters = await stage.get("channels", "/dead-letters")
    assert letters["dead_letters"] == []


async def play_recorded_payloads(stage: Stage) -> None:
    """Payloads recorded elsewhere, where they are at hand: they become what the preview says."""
    if not SAMPLES.is_dir():
        return
    for kind, connector, request in recorded(stage):
        preview = await previewed(stage, kind, connector, request)
        await stage.post(request)
        for event in preview["events"]:
            await check_recorded(stage, connector, event)


def recorded(stage: Stage) -> list[tuple[str, str, InboundRequest]]:
    found: list[tuple[str, str, InboundRequest]] = []
    names = {
        "whatsapp_message_text": ("whatsapp_cloud", "whatsapp"),
        "messenger_text_event": ("messenger", "page"),
        "twilio_realtime_transcription_final": ("twilio_transcription", "outgoing-calls"),
    }
    for name, (kind, connector) in names.items():
        sample = json.loads((SAMPLES / "webhooks" / f"{name}.json").read_text())
        to = stage.addresses[connector]
        if kind == "twilio_transcription":
            request = payloads.signed_by_twilio(to, sample["form_params"], now_us())
        else:
            request = payloads.signed_by_meta(to, sample["body"].encode(), now_us())
        found.append((kind, connector, request))
    mails = sorted((SAMPLES / "emails").glob("chatwoot__*.eml"))[:6]
    to = stage.addresses["mail"]
    found += [
        ("email_mime", "mail", payloads.raw_mail(to, one.read_bytes(), now_us())) for one in mails
    ]
    return found


async def previewed(
    stage: Stage, kind: str, connector: str, request: InboundRequest
) -> dict[str, Any]:
    shown = await stage.get("channels", f"/connectors/{connector}")
    body = {
        "kind": kind,
        "connector": connector,
        "settings": shown["settings"],
        "method": request.method,
        "url": request.url,
        "headers": [list(one) for one in request.headers],
        "body_base64": base64.b64encode(request.body).decode(),
    }
    preview = await stage.api.call("channels", "POST", "/connectors:preview", body)
    assert preview["events"], preview["problems"]
    return preview


async def check_recorded(stage: Stage, connector: str, event: dict[str, Any]) -> None:
    """The event's message is readable; a customer's, unless flagged, has opened a task."""
    expected = event["data"]

    async def look() -> tuple[str, dict[str, Any]] | None:
        listed = await stage.get("channels", "/conversations", connector=connector)
        for one in listed["conversations"]:
            name = one["conversation_id"]
            heard = await stage.get("channels", f"/conversations/{name}/messages")
            for message in heard["messages"]:
                if message["message_id"] == expected["message_id"]:
                    return name, message
        return None

    name, message = await eventually(look, f"message {expected['message_id']} of {connector}")
    assert message["text"] == expected.get("text")
    assert message["direction"] == expected["direction"]
    opens = expected["author"]["role"] == "customer" and SILENT.isdisjoint(
        expected.get("flags", ())
    )

    async def tasked() -> list[dict[str, Any]]:
        listed = await stage.get("router", "/tasks", limit=200)
        return [one for one in listed["tasks"] if one["conversation_id"] == name]

    if opens:
        found = await eventually(lambda: nonempty(tasked()), f"a task for {name}")
        assert len(found) == 1
    else:
        assert await tasked() == []


async def nonempty(found: Awaitable[list[Any]]) -> list[Any] | None:
    return await found or None
