"""Which bus runs: Kafka where it is set, else the embedded log in PostgreSQL (DESIGN rule 6)."""

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.port import Bus


def open_bus(bootstrap: str | None, engine: AsyncEngine | None) -> Bus:
    """The bus for these settings, not yet started.

    `bootstrap` is Kafka's "host:port,host:port"; without it `engine` holds the log. Raises
    ValueError when neither is given. aiokafka is imported only when it is used.
    """
    if bootstrap:
        from shared.bus.kafka import KafkaBus

        return KafkaBus(bootstrap)
    if engine is None:
        raise ValueError("a bus needs KAFKA_BOOTSTRAP_SERVERS or a database")
    from shared.bus.postgres import PostgresBus

    return PostgresBus(engine)
