"""`omniroute up --demo`: the demo workspace, its traffic and its agents beside the services."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from services.channels.connectors import language
from services.cli.apply.client import Api
from services.cli.apply.document import Document, read_document
from services.cli.apply.plan import carry_out, plan
from services.cli.demo.agents import Manner, SimulatedAgent
from services.cli.demo.desk import Desk
from services.cli.demo.figures import Reader
from services.cli.demo.payloads import Address
from services.cli.demo.summary import summarise
from services.cli.demo.traffic import Traffic
from services.cli.foundation import Foundation, running
from services.cli.system import System
from shared.http.principals import Role

FILE = Path(__file__).with_name("workspace.yaml")
SEED = 20_261_123
STORY_EVERY_S = 2.4
TIMEOUT_S = 40.0  # longer than a desktop's long-poll
KEY_NAME = "demo"
# What the vendors of the demo sign with; made anew by each start, kept in memory only.
SECRETS = (
    "DEMO_WHATSAPP_SECRET",
    "DEMO_MESSENGER_SECRET",
    "DEMO_TWILIO_TOKEN",
    "DEMO_VERIFY_TOKEN",
)
SIGNED_WITH = {
    "whatsapp": "DEMO_WHATSAPP_SECRET",
    "page": "DEMO_MESSENGER_SECRET",
    "calls": "DEMO_TWILIO_TOKEN",
}


@contextlib.asynccontextmanager
async def demonstrated(system: System, out: Console) -> AsyncGenerator[None]:
    """Apply the demo workspace, start customers and agents, say where to look; for the block.

    Works on what an earlier start left behind. Raises Refused, OSError.
    """
    document = read_document(FILE)
    async with contextlib.AsyncExitStack() as stack:
        languages = document.settings["languages"]
        warming = running(lambda: asyncio.to_thread(language.warm, languages), "demo-warm-up")
        await stack.enter_async_context(warming)
        client = await stack.enter_async_context(_client())
        keys = await stack.enter_async_context(_keys(system.parts, document))
        api = Api(system.url, keys["admin"], document.workspace, client=client)
        addresses = await _prepare(api, document)
        for index, agent in enumerate(document.of("agent")):
            worker = _agent(system, client, keys[agent.id], document.workspace, agent.id, index)
            await stack.enter_async_context(running(worker.run, f"demo-agent-{agent.id}"))
        shop = Api(system.url, keys["platform"], document.workspace, client=client)
        traffic = _traffic(system, client, shop, addresses)
        await stack.enter_async_context(running(traffic.run, "demo-traffic"))
        say_where(system.url, document.workspace, keys["admin"], out)
        summary = running(lambda: summarise(Reader(api), out), "demo-summary")
        await stack.enter_async_context(summary)
        yield


def say_where(url: str, workspace: str, token: str, out: Console) -> None:
    """Where to look, with what; one fact a line, for people and for scripts."""
    base = f"{url}/v1/workspaces/{workspace}"
    lines = (
        f"Open: {url}/docs",
        f"Workspace: {workspace}",
        f"Token: {token}",
        "",
        "To look around send  Authorization: Bearer <token>  (on the docs page: Authorize):",
        f"  {base}/tasks?state=assigned      who has what",
        f"  {base}/queues/billing/status     who waits",
        f"  {base}/agents/ana/explanation    why Ana has, or has not, what waits",
        f"  {base}/conversations             what was said",
        f"  {base}/breaches                  what came too late",
        f"  {base}/events                    all that happened",
        f"  {url}/metrics",
        "Ctrl-C stops it; the data stays.",
        "",
    )
    for each in lines:
        out.print(each, highlight=False, markup=False, soft_wrap=True)


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=100)
    return httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False, verify=False)


@contextlib.asynccontextmanager
async def _keys(parts: Foundation, document: Document) -> AsyncGenerator[dict[str, str]]:
    """Tokens by "admin", "platform" and each agent's id, revoked at the end; those that a killed
    demo left behind are revoked first."""
    workspace = document.workspace
    await parts.platform.create_workspace(workspace, parts.settings.partitions)
    await _revoke(parts, workspace)
    tokens: dict[str, str] = {}
    roles: tuple[Role, ...] = ("admin", "platform")
    for role in roles:
        tokens[role] = (await parts.keys.create(workspace, KEY_NAME, role))[1]
    for agent in document.of("agent"):
        made = await parts.keys.create(workspace, KEY_NAME, "agent", agent=agent.id)
        tokens[agent.id] = made[1]
    try:
        yield tokens
    finally:
        await _revoke(parts, workspace)


async def _revoke(parts: Foundation, workspace: str) -> None:
    for key in await parts.keys.list(workspace):
        if key.name == KEY_NAME:
            await parts.keys.revoke(workspace, key.id)


async def _prepare(api: Api, document: Document) -> Mapping[str, Address]:
    """Apply the file, with new secrets; the connectors' addresses by id."""
    made = {name: secrets.token_urlsafe(24) for name in SECRETS}
    async for _ in carry_out(api, await plan(api, document), made):
        pass
    found: dict[str, Address] = {}
    for connector in document.of("connector"):
        shown = await api.call("channels", "GET", f"/connectors/{connector.id}")
        signed = SIGNED_WITH.get(connector.id)
        found[connector.id] = Address(shown["inbound_url"], made[signed] if signed else "")
    return found


def _agent(
    system: System, client: httpx.AsyncClient, token: str, workspace: str, agent: str, index: int
) -> SimulatedAgent:
    desk = Desk(Api(system.url, token, workspace, client=client), agent)
    return SimulatedAgent(desk, Random(SEED + 1 + index), Manner())


def _traffic(
    system: System, client: httpx.AsyncClient, shop: Api, addresses: Mapping[str, Address]
) -> Traffic:
    started_us = _wall_us()
    return Traffic(
        client,
        shop,
        _origin(system.url),
        addresses,
        Random(SEED),
        run_id=f"{started_us:x}",
        now_us=_wall_us,
        pause_s=STORY_EVERY_S,
    )


def _origin(url: str) -> str:
    """Vendors' requests go to this process, whatever public address they were signed for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _wall_us() -> int:
    return time.time_ns() // 1_000
