"""`omniroute token`: a workspace, where there is none yet, and an API key for it."""

from shared.db import migrate
from shared.db.engine import create_engine
from shared.db.key_store import KeyStore
from shared.db.platform_store import PlatformStore
from shared.http.principals import ANY_WORKSPACE, Role
from shared.settings import Settings


async def make_token(
    url: str, settings: Settings, workspace: str, role: Role, agent: str | None, name: str
) -> str:
    """The token. Raises Refused (validation)."""
    await migrate.upgrade(url)
    engine = create_engine(url, pool_size=2)
    try:
        if workspace != ANY_WORKSPACE:
            await PlatformStore(engine).create_workspace(workspace, settings.partitions)
        _, token = await KeyStore(engine).create(workspace, name, role, agent=agent)
        return token
    finally:
        await engine.dispose()
