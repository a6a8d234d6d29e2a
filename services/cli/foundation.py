"""What every service stands on: database, bus, keys, access. Started in order, stopped in reverse."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli.platform_port import PlatformCalls
from services.cli.rates import Rates
from shared.bus.open import open_bus
from shared.bus.port import Bus
from shared.contracts import topics
from shared.contracts.problems import Refused
from shared.db import migrate
from shared.db.call_store import ReplyStore, TicketStore, prune
from shared.db.embedded import EmbeddedPostgres, EmbeddedPostgresError
from shared.db.engine import DatabaseUnavailable, create_engine
from shared.db.key_store import KeyStore
from shared.db.listen import Listener
from shared.db.platform_store import PlatformStore
from shared.db.secrets import SecretBox, load_keys
from shared.http.auth import Access, Authenticator
from shared.http.forward import Forwarder
from shared.http.peers import PeerSeal
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.tokens import JwtSettings, JwtVerifier, KeySet
from shared.runtime.clock import RealClock
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.supervisor import Supervisor
from shared.settings import Settings

ALIVE_EVERY_S = 0.5
RESTART_S = 5.0
START_PATIENCE_S = 60.0
PRUNE_EVERY_S = 600.0
PRUNE_PAUSE_S = 0.1
DEFAULT_RATE = Rate(per_s=20_000, burst=40_000)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Foundation:
    """The shared parts of one process."""

    settings: Settings
    database_url: str
    engine: AsyncEngine
    bus: Bus
    registry: CollectorRegistry
    runtime_metrics: RuntimeMetrics
    supervisor: Supervisor
    platform: PlatformStore
    calls: PlatformCalls
    keys: KeyStore
    tickets: TicketStore
    replies: ReplyStore
    access: Access
    rates: Rates
    forwarder: Forwarder
    secrets: SecretBox
    listener: Listener
    replica: str
    url: str


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncGenerator[str]:
    """The URL of the database: the one that is set, or an embedded server for the block's length,
    started again where it dies.

    Raises EmbeddedPostgresError with what to do about it.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.data_dir)
    url = await asyncio.to_thread(server.start)
    try:
        async with running(lambda: _kept_alive(server), "embedded PostgreSQL"):
            yield url
    finally:
        await asyncio.to_thread(server.stop)


async def _kept_alive(server: EmbeddedPostgres) -> None:
    """The server may die alone (the kernel's out-of-memory killer, say): nobody else starts it."""
    while True:
        await asyncio.sleep(ALIVE_EVERY_S)
        if not server.died:
            continue
        log.error("postgres.died", then="it is started again")
        try:
            await asyncio.to_thread(server.revive)
        except EmbeddedPostgresError as error:
            log.error("postgres.does_not_start", because=str(error))
        else:
            log.warning("postgres.started_again")


@contextlib.asynccontextmanager
async def foundation(
    settings: Settings, *, replica: str, url: str, migrate_first: bool = True
) -> AsyncGenerator[Foundation]:
    """Everything below the services, for the length of the block. The listener is not running yet:
    services still say what they listen for."""
    async with contextlib.AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(database(settings))
        if migrate_first:
            patience_s = 0 if settings.database_url else START_PATIENCE_S
            await patiently(lambda: migrate.upgrade(database_url), patience_s)
        engine = create_engine(database_url, pool_size=20)
        stack.push_async_callback(engine.dispose)
        bus = await _bus(settings, engine, stack)
        parts = _assemble(settings, database_url, engine, bus, replica, url)
        stack.push_async_callback(parts.forwarder.close)
        await stack.enter_async_context(running(lambda: _prune(engine), "prune"))
        await stack.enter_async_context(running(parts.rates.run, "rates"))
        await stack.enter_async_context(running(parts.supervisor.watch, "supervisor"))
        yield parts


async def patiently(
    act: Callable[[], Awaitable[object]], patience_s: float, pause_s: float = 1.0
) -> None:
    """On a machine that is busy a server of our own that has just started may not answer in time.
    Raises DatabaseUnavailable after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            await act()
        except DatabaseUnavailable as away:
            if time.monotonic() >= deadline:
                raise
            log.warning("database.waits", because=str(away))
            await asyncio.sleep(pause_s)
        else:
            return


async def _bus(settings: Settings, engine: AsyncEngine, stack: contextlib.AsyncExitStack) -> Bus:
    bus = open_bus(settings.kafka, engine)
    stack.push_async_callback(bus.stop)
    await bus.start()
    await bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, settings.partitions))
    return bus


def _assemble(
    settings: Settings, database_url: str, engine: AsyncEngine, bus: Bus, replica: str, url: str
) -> Foundation:
    secret_keys = load_keys(settings.data_dir, settings.secret_key)
    registry = CollectorRegistry()
    runtime_metrics = RuntimeMetrics(registry)
    box = SecretBox(*secret_keys)
    listener = Listener(database_url)
    platform = PlatformStore(engine)
    keys = KeyStore(engine, listener)
    tickets = TicketStore(engine)
    rates = Rates(platform, listener)
    authenticator = Authenticator(keys, jwt=_jwt(settings), tickets=tickets)
    return Foundation(
        settings=settings,
        database_url=database_url,
        engine=engine,
        bus=bus,
        registry=registry,
        runtime_metrics=runtime_metrics,
        supervisor=Supervisor(RealClock(), runtime_metrics),
        platform=platform,
        calls=PlatformCalls(platform, keys, settings.partitions),
        keys=keys,
        tickets=tickets,
        replies=ReplyStore(engine, box),
        access=Access(authenticator, platform, RateLimiter(DEFAULT_RATE, rates.of)),
        rates=rates,
        forwarder=Forwarder(PeerSeal(secret_keys[0])),
        secrets=box,
        listener=listener,
        replica=replica,
        url=url,
    )


def _jwt(settings: Settings) -> JwtVerifier | None:
    if settings.jwt_issuer is None:
        return None
    rules = JwtSettings(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        jwks_url=settings.jwt_jwks_url,
        workspace_claim=settings.jwt_workspace_claim,
        roles_claim=settings.jwt_roles_claim,
        agent_claim=settings.jwt_agent_claim,
    )
    return JwtVerifier(rules, KeySet(rules))


@contextlib.asynccontextmanager
async def running(work: Callable[[], Awaitable[None]], name: str) -> AsyncGenerator[None]:
    """`work()` as a task that ends with the block; its failure is logged at once, and it is begun again
    after a while: nobody restarts a process for one of its tasks."""

    async def supervised() -> None:
        while True:
            try:
                return await work()
            except Exception:
                log.exception("task.failed", task=name, again_in_s=RESTART_S)
            await asyncio.sleep(RESTART_S)

    task = asyncio.create_task(supervised(), name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _prune(engine: AsyncEngine) -> None:
    while True:
        gone = 0
        with contextlib.suppress(DatabaseUnavailable):
            gone = await prune(engine)
        await asyncio.sleep(PRUNE_PAUSE_S if gone else PRUNE_EVERY_S)


@contextlib.asynccontextmanager
async def reachable_database(settings: Settings) -> AsyncGenerator[str]:
    """The database's URL for a command beside a running system: the one that is set, the embedded
    server that another process runs just now, or one started for the block."""
    running = None
    if settings.database_url is None:
        running = await asyncio.to_thread(EmbeddedPostgres(settings.data_dir).running_url)
    if running is not None:
        yield running
        return
    async with database(settings) as url:
        yield url


@contextlib.asynccontextmanager
async def ready_database(settings: Settings) -> AsyncGenerator[AsyncEngine]:
    """An engine on `reachable_database`, whose schemas are this version's.

    Raises Refused where they are not: most often another database was meant.
    """
    async with reachable_database(settings) as url:
        engine = create_engine(url, pool_size=2)
        try:
            if behind := await migrate.pending(engine):
                where = "DATABASE_URL" if settings.database_url else str(settings.data_dir)
                told = f"The database of {where} lacks {', '.join(behind)} of this version."
                hint = "`omniroute migrate`, or OMNIROUTE_DATA_DIR or DATABASE_URL of the one meant"
                raise Refused("unavailable", f"{told} What helps: {hint}.")
            yield engine
        finally:
            await engine.dispose()
