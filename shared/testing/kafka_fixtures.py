"""pytest fixtures for Kafka: one real broker per session, or librdkafka's mock where no Java is.

`pytest_plugins = ["shared.testing.kafka_fixtures"]` in `tests/conftest.py` brings them. Tests
marked `kafka` need the real one: they skip without it, and fail where CI is set.
"""

import os
from collections.abc import Generator
from itertools import count
from uuid import uuid4

import pytest

from shared.testing.kafka import BRIEF, KafkaBroker, KafkaCluster, why_no_kafka
from shared.testing.kafka_mock import MockKafka

_numbers = count(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka") is not None:
        _require_kafka()


def _require_kafka() -> None:
    if (reason := why_no_kafka()) is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must test on a real Kafka: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mock_kafka() -> Generator[MockKafka]:
    """librdkafka's mock cluster, in this process."""
    with MockKafka() as mock:
        yield mock


@pytest.fixture(scope="session")
def kafka_broker() -> Generator[KafkaBroker]:
    """The session's real broker. Do not stop it: faults have `own_kafka`."""
    _require_kafka()
    with KafkaBroker(flags=BRIEF) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest) -> str:
    """Where the session's Kafka listens: the real one, or the mock where no Java is (not in CI).

    The mock cannot create topics on request; a test that needs them is marked `kafka`.
    """
    if why_no_kafka() is None or os.environ.get("CI"):
        broker: KafkaBroker = request.getfixturevalue("kafka_broker")
        return broker.bootstrap
    mock: MockKafka = request.getfixturevalue("mock_kafka")
    return mock.bootstrap


@pytest.fixture
def own_kafka() -> Generator[KafkaBroker]:
    """A broker of the test's own, to stop, kill and freeze."""
    _require_kafka()
    with KafkaBroker(flags=BRIEF) as broker:
        yield broker


@pytest.fixture
def own_kafka_cluster() -> Generator[KafkaCluster]:
    """Three replicating brokers of the test's own."""
    _require_kafka()
    with KafkaCluster(3, BRIEF) as cluster:
        yield cluster


@pytest.fixture
def topic() -> str:
    """A topic's name that nobody else uses. The topic itself is for the test to create."""
    return f"test.{uuid4().hex[:8]}.{next(_numbers)}"
