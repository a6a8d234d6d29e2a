"""The bus on Kafka 4.x, through aiokafka; the only place that imports it."""

import logging

from shared.bus.kafka.bus import KafkaBus

__all__ = ["KafkaBus"]

# While Kafka is away aiokafka logs some thirty lines a second; the port's errors say it once a call.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
