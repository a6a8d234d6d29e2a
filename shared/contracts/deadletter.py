"""What could not be used, kept whole: the data of `deadletter.v1` on the topic `deadletter`.

From a consumer (`failed_in` router, sla, archive): a record that its core failed on; replaying it
puts the same record on its topic again, with its first id. From `channels`: a verified request that
could not be parsed; replaying it parses the request again.
"""

import base64

import msgspec

from shared.contracts import ids
from shared.contracts.envelope import Envelope, Headers

DEAD_LETTER = "deadletter.v1"


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`reason` is a stable code, `detail` the text of the fault. `value_base64` is the record's
    value (or the request's body) as it came; `headers` the record's (or the request's, without
    credentials), values in base64."""

    id: str
    workspace: str
    failed_in: str
    reason: str
    detail: str
    at: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    event_id: str | None = None
    event_type: str | None = None
    connector: str | None = None
    request: dict[str, str] = {}
    headers: list[tuple[str, str]] = []
    value_base64: str | None = None


def pack_headers(headers: Headers) -> list[tuple[str, str]]:
    return [(name, base64.b64encode(value).decode()) for name, value in headers]


def unpack_headers(headers: list[tuple[str, str]]) -> Headers:
    return tuple((name, base64.b64decode(value)) for name, value in headers)


def record_dead_letter_id(service: str, topic: str, partition: int, offset: int) -> str:
    """The same record failing in the same service again has the same dead letter."""
    return ids.derive("dlt", service, topic, partition, offset)


def to_envelope(letter: DeadLetter) -> Envelope:
    return Envelope(
        id=letter.id,
        source=f"/{letter.failed_in}",
        type=DEAD_LETTER,
        time=letter.at,
        workspace=letter.workspace,
        data=msgspec.json.encode(letter),
        partitionkey=letter.id,
    )
