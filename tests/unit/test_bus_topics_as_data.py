"""deploy/kafka/topics.yaml says what the code says."""

from pathlib import Path
from typing import Any

import yaml

from shared.bus.kafka.topics import MAX_MESSAGE_BYTES
from shared.contracts.topics import ALL_TOPICS, DEFAULT_PARTITIONS, RETENTION_MS

DEPLOY = Path(__file__).parents[2] / "deploy" / "kafka"


def test_topics_as_data_equal_the_contracts() -> None:
    written: dict[str, Any] = yaml.safe_load((DEPLOY / "topics.yaml").read_text())
    assert written["partitions"] == DEFAULT_PARTITIONS
    assert set(written["topics"]) == set(ALL_TOPICS)
    kept = {topic: configs["retention.ms"] for topic, configs in written["topics"].items()}
    assert kept == RETENTION_MS
    assert written["configs"] == {"max.message.bytes": MAX_MESSAGE_BYTES}


def test_the_broker_for_tests_takes_records_of_that_size_and_makes_no_topic_by_itself() -> None:
    lines = (DEPLOY / "server.properties").read_text().splitlines()
    assert f"message.max.bytes={MAX_MESSAGE_BYTES}" in lines
    assert "auto.create.topics.enable=false" in lines
