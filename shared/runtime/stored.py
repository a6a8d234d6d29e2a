"""What one commit stores of what a batch did with a workspace: inputs, events, replies, a snapshot."""

from importlib.metadata import version

import msgspec

from shared.contracts import topics
from shared.contracts.core import Emitted
from shared.contracts.deadletter import DEAD_LETTER, DeadLetter
from shared.runtime.arrivals import Arrival
from shared.runtime.clock import Clock
from shared.runtime.limits import Limits
from shared.runtime.store.port import Batch, InputRow, JournalRow, ReplyRow
from shared.runtime.workspaces import Workspace

TZ_VERSION = version("tzdata")
HOLIDAYS_VERSION = version("holidays")

_encode_inputs = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode


def add_inputs(batch: Batch, workspace: Workspace, core_version: str) -> None:
    """The inputs of a workspace's turn as one row."""
    applied = workspace.applied
    batch.inputs.append(
        InputRow(
            workspace=workspace.id,
            first_no=workspace.committed.number + 1,
            count=len(applied),
            now_us=workspace.now_us,
            core_version=core_version,
            tz_version=TZ_VERSION,
            holidays_version=HOLIDAYS_VERSION,
            body=_encode_inputs([each.what for each in applied]),
        )
    )


def add_effects(batch: Batch, workspace: Workspace, position: int) -> None:
    """What the inputs caused; `position` is the journal's last that is stored."""
    name = workspace.id
    for each in workspace.applied:
        arrival, outcome = each.arrival, each.outcome
        if outcome.events:
            _add_events(batch, workspace, outcome.events, position)
        if outcome.config:
            batch.config.append((name, outcome.config))
        if outcome.rows:
            batch.rows.extend([(name, row) for row in outcome.rows])
        if arrival.seen_key is not None:
            batch.seen.append(arrival.seen_key)
        if arrival.idempotency is not None:
            batch.replies.append(_reply_row(name, arrival, outcome.reply, workspace.now_us))


def _add_events(batch: Batch, workspace: Workspace, events: list[Emitted], position: int) -> None:
    """Each names the one before it on its topic, so that consumers see a gap."""
    journal, published = batch.journal, workspace.published
    for event in events:
        previous = -1
        if event.topic:
            previous = published.get(event.topic, 0)
            published[event.topic] = event.seq
        journal.append(
            JournalRow(
                position + len(journal) + 1,
                workspace.id,
                event.seq,
                previous,
                event.type,
                event.topic,
                event.key,
                event.data,
                workspace.now_us,
            )
        )


def add_snapshot(batch: Batch, workspace: Workspace, limits: Limits, clock: Clock) -> None:
    """Now and then."""
    if workspace.number - workspace.snapshot_number < limits.snapshot_inputs:
        return
    now = clock.monotonic()
    if now < workspace.snapshot_at:
        return
    workspace.snapshot_at = now + limits.snapshot_pause_s
    workspace.snapshot_number = workspace.number
    batch.snapshots.append((workspace.id, workspace.number, workspace.now_us))


def add_letter(batch: Batch, letter: DeadLetter, position: int, now_us: int) -> None:
    """A dead letter, behind the events."""
    batch.journal.append(
        JournalRow(
            position + len(batch.journal) + 1,
            letter.workspace,
            0,
            -1,
            DEAD_LETTER,
            topics.DEADLETTER,
            letter.id,
            _encode_json(letter),
            now_us,
        )
    )


def _reply_row(workspace: str, arrival: Arrival, body: bytes, now_us: int) -> ReplyRow:
    key = arrival.idempotency
    assert key is not None
    return ReplyRow(workspace, key.scope, key.key, key.fingerprint, body, now_us)
