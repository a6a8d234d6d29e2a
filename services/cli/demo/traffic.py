"""Sample traffic: customers who write and call over all four channels, with what happens in life:
deliveries repeated, edits (some before their message), second thoughts, hanging up."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any
from unicodedata import normalize
from urllib.parse import urlsplit

import httpx
import structlog

from services.channels.connectors.port import InboundRequest
from services.cli.apply.client import Api
from services.cli.demo import payloads
from services.cli.demo.payloads import Address, Person
from services.cli.demo.texts import NAMES, STORIES, Story
from shared.contracts.instants import format_instant
from shared.contracts.problems import Refused
from shared.http.reaching import reaching

CONCURRENT_MAX = 60
OPENING = 5  # the first stories, one for each way to reach us, are told at once
REPEATED = 0.1
EDIT_FIRST = 0.35
MAILBOX = "help@demo.example"

log = structlog.get_logger(__name__)


class Traffic:
    """`addresses` are the connectors' by id, `api` speaks for the web shop (role platform).

    `run_id` makes this run's vendor ids new; order and timing come from `chance` alone.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        api: Api,
        url: str,
        addresses: Mapping[str, Address],
        chance: Random,
        *,
        run_id: str,
        now_us: Callable[[], int],
        pause_s: float,
    ) -> None:
        self._client = client
        self._api = api
        self._url = url
        self._addresses = addresses
        self._chance = chance
        self._run_id = run_id
        self._now_us = now_us
        self._pause_s = pause_s
        self._stories = 0
        self._names = 0
        self._tell: dict[str, Callable[[Story, int], Coroutine[Any, Any, None]]] = {
            "whatsapp": self._whatsapp,
            "messenger": self._messenger,
            "call": self._call,
            "mail": self._mail,
            "web": self._web,
        }

    async def run(self) -> None:
        """One story after the other, each channel once to begin with; until cancelled."""
        slots = asyncio.Semaphore(CONCURRENT_MAX)
        async with asyncio.TaskGroup() as group:
            for story in STORIES[:OPENING]:
                self._begin(story, group, slots)
            while True:
                await asyncio.sleep(self._chance.expovariate(1 / self._pause_s))
                await slots.acquire()
                slots.release()
                self._begin(self._chance.choice(STORIES), group, slots)

    def _begin(self, story: Story, group: asyncio.TaskGroup, slots: asyncio.Semaphore) -> None:
        opening = self._stories < OPENING
        who = self._stories if opening else self._chance.randrange(len(NAMES))
        self._stories += 1

        async def tell() -> None:
            async with slots:
                try:
                    await self._tell[story.via](story, who)
                except (Refused, OSError) as passing:
                    log.warning("demo.traffic", via=story.via, because=str(passing))

        group.create_task(tell())

    async def _whatsapp(self, story: Story, who: int) -> None:
        to, person = self._addresses["whatsapp"], Person(_digits(who), NAMES[who])
        wamid = f"wamid.{self._name()}"
        await self._post(
            payloads.whatsapp_message(to, person, story.first, wamid=wamid, at_us=self._now_us())
        )
        for text in story.more:
            await self._later(10, 18)
            more = f"wamid.{self._name()}"
            at_us = self._now_us()
            await self._post(payloads.whatsapp_message(to, person, text, wamid=more, at_us=at_us))

    async def _messenger(self, story: Story, who: int) -> None:
        to, person = self._addresses["page"], Person(str(800_000_000_000_001 + who), NAMES[who])
        mid, at_us = f"m_{self._name()}", self._now_us()
        first = payloads.messenger_message(to, person, story.first, mid=mid, at_us=at_us)
        if story.corrected is None:
            await self._post(first)
        else:
            edit = payloads.messenger_edit(to, person, story.corrected, mid=mid, at_us=at_us)
            early = self._chance.random() < EDIT_FIRST
            await self._post(edit if early else first)
            await self._later(0.5, 3)
            await self._post(first if early else edit)
        for text in story.more:
            await self._later(10, 18)
            more, at_us = f"m_{self._name()}", self._now_us()
            await self._post(payloads.messenger_message(to, person, text, mid=more, at_us=at_us))

    async def _call(self, story: Story, who: int) -> None:
        to, caller, call = self._addresses["calls"], f"+{_digits(who)}", f"CA{self._name()}"
        number = 1
        await self._post(payloads.call_started(to, call, caller=caller, at_us=self._now_us()))
        half = story.first[: len(story.first) // 2]
        for text, final in (
            (half, False),
            (story.first, True),
            *((one, True) for one in story.more),
        ):
            await self._later(*((0.5, 1.5) if number < 3 else (9, 14)))
            number += 1
            await self._post(
                payloads.call_said(
                    to,
                    call,
                    text,
                    number=number,
                    caller=caller,
                    at_us=self._now_us(),
                    final=final,
                )
            )
        await self._later(14, 22)
        at_us = self._now_us()
        await self._post(
            payloads.call_ended(to, call, number=number + 1, caller=caller, at_us=at_us)
        )

    async def _mail(self, story: Story, who: int) -> None:
        to, person = self._addresses["mail"], Person(_mailbox(who), NAMES[who])
        first = f"{self._name()}@mail.example.org"
        subject, thread = story.subject, None
        for text in (story.first, *story.more):
            if thread is not None:
                await self._later(14, 24)
                subject = f"Re: {story.subject}"
            await self._post(
                payloads.mail(
                    to,
                    person,
                    subject,
                    f"{text}{person.name}\n",
                    message_id=f"{self._name()}@mail.example.org" if thread else first,
                    at_us=self._now_us(),
                    recipient=MAILBOX,
                    in_reply_to=thread,
                )
            )
            thread = first

    async def _web(self, story: Story, who: int) -> None:
        """The shop's own chat posts events, with what its form knows."""
        thread = f"visit-{self._name()}"
        for text in (story.first, *story.more):
            if text is not story.first:
                await self._later(10, 18)
            await self._api.respond(
                "channels",
                "POST",
                "/events",
                {
                    "specversion": "1.0",
                    "id": self._name(),
                    "source": "shop",
                    "type": "interaction.message.v1",
                    "time": format_instant(self._now_us()),
                    "data": {
                        "channel": "chat",
                        "conversation_key": thread,
                        "direction": "inbound",
                        "author": {"role": "customer", "name": NAMES[who]},
                        "identities": [{"scheme": "email", "value": _mailbox(who)}],
                        "language": story.language,
                        "text": text,
                        "attributes": {"topic": story.topic},
                    },
                },
                headers={"Content-Type": "application/cloudevents+json"},
            )

    async def _post(self, request: InboundRequest) -> None:
        """As the vendor delivers it; one in ten is delivered twice. Raises OSError."""
        again = self._chance.random() < REPEATED
        for _ in range(2 if again else 1):
            parts = urlsplit(request.url)
            target = f"{self._url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
            try:
                with reaching():
                    response = await self._client.post(
                        target, content=request.body, headers=list(request.headers)
                    )
            except httpx.HTTPError as error:
                raise OSError(f"no answer: {type(error).__name__}") from error
            if not response.is_success:
                raise OSError(f"{parts.path} answered {response.status_code}")

    async def _later(self, low_s: float, high_s: float) -> None:
        await asyncio.sleep(self._chance.uniform(low_s, high_s))

    def _name(self) -> str:
        """A vendor's id that no other run has used."""
        self._names += 1
        return f"{self._run_id}{self._names:06x}"


def _digits(who: int) -> str:
    return str(4915112345678 + who)


def _mailbox(who: int) -> str:
    plain = normalize("NFKD", NAMES[who]).encode("ascii", "ignore").decode()
    return f"{plain.lower().replace(' ', '.')}@example.org"
