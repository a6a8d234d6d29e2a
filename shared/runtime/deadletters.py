"""What becomes of an input that a core failed on: a dead letter, whole enough to be tried again."""

from base64 import b64encode

from shared.bus.port import MAX_RECORD_BYTES, Record
from shared.contracts import topics
from shared.contracts.deadletter import DeadLetter, pack_headers, record_dead_letter_id
from shared.contracts.ids import CLIENT_ID
from shared.contracts.instants import format_instant

UNREADABLE = "unreadable"
UNKNOWN_WORKSPACE = "unknown-workspace"
CORE_FAILED = "core-failed"

_DETAIL = 2_000
# Base64 and the JSON around it have to fit into one record.
_LARGEST = (MAX_RECORD_BYTES - 64 * 1024) * 3 // 4


def bury(
    record: Record, service: str, workspace: str, reason: str, detail: str, now_us: int
) -> DeadLetter | None:
    """The dead letter of a record; None for one that is a dead letter itself (that would never
    end). A value too large to be carried twice stays where `topic` and `offset` say."""
    if record.topic == topics.DEADLETTER:
        return None
    said = {
        name: text.decode("utf-8", "replace").replace("\x00", "\ufffd")  # PostgreSQL takes no NUL
        for name, text in record.headers
        if name in ("ce_id", "ce_type", "ce_workspace")
    }
    carried = record.value is not None and len(record.value) <= _LARGEST
    return DeadLetter(
        id=record_dead_letter_id(service, record.topic, record.partition, record.offset),
        workspace=_named(workspace or said.get("ce_workspace", "")),
        failed_in=service,
        reason=reason,
        detail=detail[:_DETAIL],
        at=format_instant(now_us),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=said.get("ce_id"),
        event_type=said.get("ce_type"),
        headers=pack_headers(record.headers),
        value_base64=b64encode(record.value).decode() if carried and record.value else None,
    )


def _named(workspace: str) -> str:
    """What no workspace can be called (a record may claim anything) is left out."""
    return workspace if CLIENT_ID.match(workspace) else ""
