"""The two installations that the scenario runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.testing.kafka import KafkaBroker
from shared.testing.processes import SERVICES, Installation


@pytest.fixture(
    params=[
        pytest.param("one process", id="one-process"),
        pytest.param("three processes", id="three-processes", marks=pytest.mark.kafka),
    ]
)
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """One process on its embedded log and PostgreSQL; or channels, router and SLA each in its own
    on a real Kafka and a PostgreSQL that outlives them."""
    if request.param == "one process":
        made = Installation(tmp_path)
    else:
        broker: KafkaBroker = request.getfixturevalue("own_kafka")
        url: str = request.getfixturevalue("database_url")
        made = Installation(tmp_path, SERVICES, database_url=url, kafka=broker.bootstrap)
    with made:
        yield made
