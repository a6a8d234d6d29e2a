"""The contact-centre platform: posts what customers and agents say, and repeats until it is taken."""

import asyncio
from typing import Any

import msgspec

from shared.bus.port import BusUnavailable, Outgoing
from shared.contracts import ids, interactions, topics
from shared.contracts.envelope import Envelope, to_headers
from shared.contracts.instants import format_instant
from shared.testing.simulation.hosts import Cluster
from shared.testing.simulation.ledger import Ledger, Posted

CHANNELS: tuple[topics.Channel, ...] = topics.CHANNELS


class Platform:
    """Puts events on the bus as the channels service does: at least once."""

    def __init__(self, cluster: Cluster, ledger: Ledger, partition_of: dict[str, int]) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.partition_of = partition_of
        self.sent: dict[str, list[Outgoing]] = {name: [] for name in partition_of}
        self._random = cluster.chance.stream("platform")
        self._count = 0

    def name(self, what: str) -> str:
        """A vendor's id, new each time."""
        self._count += 1
        return f"{what}-{self._count}"

    async def post(
        self,
        workspace: str,
        conversation: str,
        channel: topics.Channel,
        kind: str = interactions.MESSAGE,
        *,
        vendor_id: str = "",
        **fields: Any,
    ) -> str:
        """Post one event; returns its id once the bus has it."""
        vendor_id = vendor_id or self.name(kind)
        event_id = ids.event_id(workspace, "sim", f"{kind} {vendor_id}")
        at = format_instant(self.cluster.clock.wall_us())
        body: dict[str, Any] = {
            "workspace": workspace,
            "connector": "sim",
            "channel": channel,
            "conversation_id": conversation,
            "message_id": ids.message_id(workspace, "sim", vendor_id),
            "received_at": at,
            "direction": "inbound",
            "author": {"role": "customer"},
            **fields,
        }
        envelope = Envelope(
            id=event_id,
            source="/channels/sim",
            type=kind,
            time=at,
            workspace=workspace,
            data=msgspec.json.encode(body),
        )
        posted = Posted(
            workspace,
            event_id,
            kind,
            conversation,
            channel,
            customer=kind == interactions.MESSAGE and body["author"]["role"] == "customer",
            abandons=kind == interactions.CONVERSATION_ENDED
            and (channel == "phone" or body.get("reason") == "abandoned"),
        )
        record = Outgoing(
            topics.INTERACTIONS[channel],
            self.partition_of[workspace],
            conversation.encode(),
            envelope.data,
            to_headers(envelope),
        )
        self.ledger.posted[event_id] = posted
        await self.put([record])
        self.sent[workspace].append(record)
        return event_id

    async def put(self, records: list[Outgoing]) -> list[int]:
        """Send until the bus says that it has them."""
        self.ledger.records += len(records)
        while True:
            try:
                return await self.cluster.bus.send(records)
            except BusUnavailable:
                await asyncio.sleep(self._random.uniform(0.05, 0.5))

    async def poison(self, workspace: str) -> None:
        """A record that nothing can be made of, of one of three kinds."""
        kind = self._random.choice(("unreadable", "unknown-workspace", "core-failed"))
        channel = self._random.choice(CHANNELS)
        name = ids.event_id(workspace, "sim", self.name("poison"))
        stranger = workspace if kind == "core-failed" else "nobody"
        envelope = Envelope(
            id=name,
            source="/channels/sim",
            type=interactions.MESSAGE,
            time=format_instant(self.cluster.clock.wall_us()),
            workspace=stranger,
            data=b'{"channel":',
        )
        headers = (("ce_id", name.encode()),) if kind == "unreadable" else to_headers(envelope)
        topic, partition = topics.INTERACTIONS[channel], self.partition_of[workspace]
        record = Outgoing(topic, partition, None, envelope.data, headers)
        self.ledger.poison[name.encode()] = kind
        await self.put([record])
        self.cluster.chance.count("poison record")
