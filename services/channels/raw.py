"""A vendor's request as a record: kept on the topic `raw`, and among the dead letters. Pure.

What may be a credential is left out: headers, query parameters, the unguessable end of an address.
The signature was checked before this is made. Query parameters that codecs read stay.
"""

import base64
import re
from binascii import b2a_base64
from functools import lru_cache
from hashlib import blake2b

import msgspec

from services.channels.connectors.port import InboundRequest
from shared.bus.port import Outgoing, Record
from shared.contracts import ids, topics
from shared.contracts.deadletter import DeadLetter, to_envelope
from shared.contracts.envelope import Envelope, to_headers
from shared.contracts.instants import format_instant

RAW_REQUEST = "raw.request.v1"
MAX_INLINE_BYTES = 256 * 1024

_CREDENTIAL = re.compile(r"auth|cookie|token|secret|key|signature|password", re.IGNORECASE)
_QUERY_CREDENTIAL = re.compile(
    r"([?&](?!conversation_key=)[^=&]*(?:token|secret|key|sig)[^=&]*=)[^&]*", re.IGNORECASE
)
_PATH_CREDENTIAL = re.compile(r"(/inbound/)[^/?#]+")


class RawRequest(msgspec.Struct, omit_defaults=True):
    """The value of a raw record. `body_base64`, or where that is too large `blob` (sha256)."""

    connector: str
    method: str
    url: str
    headers: list[tuple[str, str]]
    received_at_us: int
    body_base64: str | None = None
    blob: str | None = None

    def request(self, body: bytes) -> InboundRequest:
        """The request again, as far as it was kept."""
        headers = tuple((name, value) for name, value in self.headers)
        return InboundRequest(self.method, self.url, headers, body, self.received_at_us)


def raw_request(request: InboundRequest, connector: str, blob: str | None) -> RawRequest:
    headers = [(name, text) for name, text in request.headers if not _may_be_credential(name)]
    body = None if blob is not None else b2a_base64(request.body, newline=False).decode()
    url = _without_credentials(request.url)
    return RawRequest(connector, request.method, url, headers, request.received_at_us, body, blob)


def _without_credentials(url: str) -> str:
    """The patterns are tried only where what they begin with is there."""
    if "/inbound/" in url:
        url = _PATH_CREDENTIAL.sub(r"\1…", url)
    return _QUERY_CREDENTIAL.sub(r"\1…", url) if "?" in url or "&" in url else url


@lru_cache(maxsize=1024)
def _may_be_credential(name: str) -> bool:
    return _CREDENTIAL.search(name) is not None


def raw_record(raw: RawRequest, workspace: str, partition: int) -> Outgoing:
    """The record for the topic `raw`."""
    envelope = _envelope(raw, workspace)
    return Outgoing(
        topics.RAW, partition, raw.connector.encode(), envelope.data, to_headers(envelope)
    )


def read_raw(record: Record | Outgoing, workspace: str, connector: str) -> RawRequest | None:
    """The kept request of this connector in a record of the topic `raw`; None for another's."""
    if record.key != connector.encode() or record.value is None:
        return None
    place = next((value for name, value in record.headers if name == "ce_workspace"), b"")
    if place != workspace.encode():
        return None
    return msgspec.json.decode(record.value, type=RawRequest)


def dead_request(
    raw: RawRequest, workspace: str, partition: int, reason: str, detail: str
) -> Outgoing:
    """The dead letter for a verified request that could not be used."""
    kept = _envelope(raw, workspace)
    letter = DeadLetter(
        id=ids.derive("dlt", "channels", kept.id),
        workspace=workspace,
        failed_in="channels",
        reason=reason,
        detail=detail,
        at=format_instant(raw.received_at_us),
        event_id=kept.id,
        event_type=RAW_REQUEST,
        connector=raw.connector,
        value_base64=base64.b64encode(kept.data).decode(),
    )
    envelope = to_envelope(letter)
    key = letter.id.encode()
    return Outgoing(topics.DEADLETTER, partition, key, envelope.data, to_headers(envelope))


def _envelope(raw: RawRequest, workspace: str) -> Envelope:
    data = msgspec.json.encode(raw)
    return Envelope(
        id=_id(workspace, raw.connector, data),
        source=f"connectors/{raw.connector}",
        type=RAW_REQUEST,
        time=format_instant(raw.received_at_us),
        workspace=workspace,
        data=data,
    )


def _id(workspace: str, connector: str, data: bytes) -> str:
    """`ids.derive` of the three, whose last part is hashed as Python writes bytes: nearly always
    just as they are, in quotes, which is found out faster than it is written."""
    # JSON has no other control characters.
    if not data.isascii() or b"\\" in data or b"'" in data or b"\x7f" in data:
        return ids.derive("raw", workspace, connector, data)
    parts = f"{len(workspace)}:{workspace}{len(connector)}:{connector}{len(data) + 3}:b'"
    whole = parts.encode("utf-8", "surrogatepass") + data + b"'"
    return f"raw_{blake2b(whole, digest_size=16).hexdigest()}"
