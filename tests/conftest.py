"""What every test may ask for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

pytest_plugins = ["shared.testing.postgres_fixtures", "shared.testing.kafka_fixtures"]


@pytest.fixture(scope="session")
def start_system(postgres_url, migrated_template, tmp_path_factory):
    """`async with start_system("channels") as system:` runs services in this process, on a fresh
    database and a free port. Further arguments are settings."""
    from services.cli.system import System, system
    from shared.settings import Settings
    from shared.testing.postgres_fixtures import fresh_database

    @asynccontextmanager
    async def start(target: str = "all", **settings: object) -> AsyncGenerator[System]:
        folder = tmp_path_factory.mktemp("omniroute")
        async with fresh_database(postgres_url, migrated_template) as url:
            given = {"data_dir": folder, "database_url": url, "port": 0, "partitions": 2}
            async with system(Settings(**{**given, **settings}), target) as running:
                yield running

    return start
