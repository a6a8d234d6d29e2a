"""The generator of interactions on Kafka, a process of its own, as the channels would publish them.

`python -m bench.producing BOOTSTRAP WORKSPACE PARTITION MESSAGES`; each line `FIRST COUNT` on its
input publishes that many events, MESSAGES to a conversation, and is answered by a line.
"""

import asyncio
import sys
import time

import uvloop

from bench.centre import topic
from shared.bus.kafka import KafkaBus
from shared.bus.port import Outgoing
from shared.contracts import interactions, topics
from shared.contracts.envelope import Envelope, to_headers
from shared.contracts.instants import format_instant

CHUNK = 500
_DATA = (
    b'{"workspace":"%b","connector":"events","channel":"chat","conversation_id":"%b",'
    b'"message_id":"msg_%020d","received_at":"%b","direction":"inbound",'
    b'"author":{"role":"customer","name":"Kim Example"},"conversation_key":"thread-%d",'
    b'"text":"My invoice is wrong: I was charged twice in October. Can you help me?",'
    b'"identities":[{"scheme":"email","value":"kim%d@example.org"}],'
    b'"attributes":{"topic":"%b"},"vendor":{"id":"m-%d","source":"crm"}}'
)


def record(number: int, workspace: str, partition: int, messages: int, now: str) -> Outgoing:
    """Event `number`: message `number % messages` of its conversation."""
    thread = number // messages
    conversation = f"cnv_{thread:020d}"
    data = _DATA % (
        workspace.encode(), conversation.encode(), number, now.encode(), thread, thread,
        topic(thread).encode(), number,
    )  # fmt: skip
    envelope = Envelope(
        id=f"evt_{workspace}{number:020d}",
        source="crm",
        type=interactions.MESSAGE,
        time=now,
        workspace=workspace,
        data=data,
        partitionkey=conversation,
    )
    key = conversation.encode()
    return Outgoing(topics.INTERACTIONS["chat"], partition, key, data, to_headers(envelope))


async def produce(bootstrap: str, workspace: str, partition: int, messages: int) -> None:
    bus = KafkaBus(bootstrap)
    await bus.start()
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        first, count = map(int, line.split())
        now = format_instant(time.time_ns() // 1000)
        for start in range(first, first + count, CHUNK):
            numbers = range(start, min(start + CHUNK, first + count))
            await bus.send([record(each, workspace, partition, messages, now) for each in numbers])
        print("done", flush=True)
    await bus.stop()


def main() -> None:
    bootstrap, workspace, partition, messages = sys.argv[1:]
    work = produce(bootstrap, workspace, int(partition), int(messages))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
