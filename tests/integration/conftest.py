"""What the tests of a whole system in this process share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.system import System, system
from shared.settings import Settings
from tests.integration.shop import opened


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    """Every service, with the workspace `shop`."""
    settings = Settings(port=0, data_dir=tmp_path, database_url=database_url, partitions=1)
    async with system(settings) as started:
        yield await opened(started)
