"""The bus on Kafka 4.x, through aiokafka; the only place that imports it."""

from shared.bus.kafka.bus import KafkaBus

__all__ = ["KafkaBus"]
