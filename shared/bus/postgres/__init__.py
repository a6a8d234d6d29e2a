"""The bus as a durable log in PostgreSQL: for one machine without Kafka (DESIGN rule 6)."""

from shared.bus.postgres.bus import PostgresBus

__all__ = ["PostgresBus"]
