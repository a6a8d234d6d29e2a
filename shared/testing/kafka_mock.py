"""librdkafka's mock cluster: enough of Kafka to send and read where no Java is."""

from typing import Any

from confluent_kafka import Producer

PARTITIONS = 4
"""What the mock gives every topic."""
ANSWER_TIMEOUT_S = 10.0


class MockKafka:
    """A broker inside this process. Topics appear when they are asked for, with PARTITIONS each;
    CreateTopics, CreatePartitions and DeleteRecords are not there."""

    def __init__(self) -> None:
        # The address is a formality: the mock puts its own in place of it.
        settings = {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0}
        self._client: Any = Producer(settings)
        brokers = self._client.list_topics(timeout=ANSWER_TIMEOUT_S).brokers.values()
        self.bootstrap = ",".join(f"{each.host}:{each.port}" for each in brokers)

    def create(self, topic: str) -> None:
        """Make a topic with PARTITIONS partitions."""
        self._client.list_topics(topic, timeout=ANSWER_TIMEOUT_S)

    def close(self) -> None:
        """End the broker."""
        self._client = None

    def __enter__(self) -> "MockKafka":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
