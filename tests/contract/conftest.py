"""The twins of the bus that the contract suite runs on."""

import time
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.port import Bus
from shared.db.engine import create_engine
from shared.testing.bus_twins import KafkaTwin, MemoryTwin, PostgresTwin, Twin


@pytest_asyncio.fixture
async def bus_engine(empty_database_url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(empty_database_url, pool_size=5, application_name="test-bus")
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture(params=["memory", "postgres", "kafka", "kafka-mock"])
def twin(request: pytest.FixtureRequest) -> Twin:
    """One backend after the other. The mock stands in where no Java is, and is kept honest by
    running where there is."""
    if request.param == "kafka-mock":
        mock = request.getfixturevalue("mock_kafka")
        return KafkaTwin(mock.bootstrap, mock)
    return _real(request)


@pytest.fixture(params=["memory", "postgres", "kafka"])
def full_twin(request: pytest.FixtureRequest) -> Twin:
    """The same without the mock, which cannot make, grow or cut topics."""
    return _real(request)


def _real(request: pytest.FixtureRequest) -> Twin:
    if request.param == "memory":
        return MemoryTwin(lambda: int(time.time() * 1000))
    if request.param == "postgres":
        return PostgresTwin(request.getfixturevalue("bus_engine"))
    return KafkaTwin(request.getfixturevalue("kafka_broker").bootstrap, None)


@pytest_asyncio.fixture
async def bus(twin: Twin) -> AsyncGenerator[Bus]:
    async with twin.open() as opened:
        yield opened


@pytest_asyncio.fixture
async def full_bus(full_twin: Twin) -> AsyncGenerator[Bus]:
    async with full_twin.open() as opened:
        yield opened
