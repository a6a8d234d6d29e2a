"""Starting and ending aiokafka's clients, also while Kafka is away."""
# aiokafka brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# and closes its clients only half when Kafka is away:
# pyright: reportPrivateUsage=false

import asyncio
from contextlib import suppress
from itertools import chain

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.bus.kafka.topics import unavailable

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


async def begin(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Connect, or leave nothing behind. Raises BusUnavailable."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await client.start()
    except BaseException as error:
        with suppress(KafkaError):
            await client.stop()
        if isinstance(error, (KafkaError, TimeoutError, OSError)):
            raise unavailable("cannot be reached", error) from error
        raise


async def end_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop it. A fetch that is cancelled while it backs off ends aiokafka's stop half-way, as if
    we had been cancelled: hence a task of its own, and the connections closed by hand."""
    await _finished(asyncio.ensure_future(consumer.stop()))
    await consumer._client.close()


async def end_producer(producer: AIOKafkaProducer, patience_s: float = STOP_TIMEOUT_S) -> None:
    """Send what waits, within `patience_s`; then give it up: nobody waits for it any more.

    aiokafka's own stop waits for ever while Kafka is away, hence its parts one by one.
    """
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait([stopping], timeout=patience_s)
    if not stopping.done() and (sender := sending(producer)) is not None:
        sender.cancel()
        await producer.client.close()
        await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
        _give_up(producer)
    await _finished(stopping)
    await producer.client.close()


def _give_up(producer: AIOKafkaProducer) -> None:
    """Fail what is still queued, and look at each failure so that asyncio does not report it."""
    queue = producer._message_accumulator
    queue.fail_all(KafkaError("the producer was stopped"))
    for batch in chain(*queue._batches.values(), queue._pending_batches):
        if batch._drain_waiter.done():
            batch._drain_waiter.exception()


def sending(producer: AIOKafkaProducer) -> "asyncio.Task[None] | None":
    """The task that sends; once it has ended, nothing is ever sent again."""
    return producer._sender.sender_task


async def _finished(stopping: "asyncio.Future[None]") -> None:
    """Wait for it within STOP_TIMEOUT_S, then cancel it; how it failed matters to nobody."""
    await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    stopping.cancel()
    await asyncio.wait([stopping])
    if not stopping.cancelled():
        stopping.exception()
