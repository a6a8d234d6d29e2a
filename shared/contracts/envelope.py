"""CloudEvents 1.0 in Kafka's binary mode: attributes as `ce_` headers, JSON data as the value.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
Our extension attributes: `workspace`; `sequence` (decimal, per producer and workspace, on events of
our own services); `partitionkey` (the conversation).
"""

from collections.abc import Iterable, Mapping

import msgspec

Headers = tuple[tuple[str, bytes], ...]

CONTENT_TYPE = "application/json"
REQUIRED = ("id", "source", "specversion", "type")


class EnvelopeError(ValueError):
    """A record that is no CloudEvent; the text says what is missing."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One CloudEvent. `data` is its JSON, undecoded; `extensions` are further attributes."""

    id: str
    source: str
    type: str
    time: str
    workspace: str
    data: bytes
    sequence: int | None = None
    partitionkey: str | None = None
    extensions: tuple[tuple[str, str], ...] = ()


def to_headers(event: Envelope) -> Headers:
    """The headers that, with `event.data` as value, carry the event."""
    headers: Headers = (
        _CONTENT_TYPE,
        _SPECVERSION,
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", event.time.encode()),
        ("ce_workspace", event.workspace.encode()),
    )
    if event.sequence is not None:
        headers += (("ce_sequence", str(event.sequence).encode()),)
    if event.partitionkey is not None:
        headers += (("ce_partitionkey", event.partitionkey.encode()),)
    if event.extensions:
        headers += tuple((f"ce_{name}", value.encode()) for name, value in event.extensions)
    return headers


_CONTENT_TYPE = ("content-type", CONTENT_TYPE.encode())
_SPECVERSION = ("ce_specversion", b"1.0")
_OWN = frozenset({*REQUIRED, "time", "workspace", "sequence", "partitionkey"})


def from_record(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Envelope:
    """The event that a record carries. Raises EnvelopeError."""
    attributes = _attributes(headers)
    missing = [name for name in (*REQUIRED, "workspace") if not attributes.get(name)]
    if missing:
        raise EnvelopeError(f"the record lacks {', '.join('ce_' + name for name in missing)}")
    if value is None:
        raise EnvelopeError("the record has no value")
    return Envelope(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        time=attributes.get("time", ""),
        workspace=attributes["workspace"],
        data=value,
        sequence=_sequence(attributes.get("sequence")),
        partitionkey=attributes.get("partitionkey"),
        extensions=tuple((name, text) for name, text in attributes.items() if name not in _OWN),
    )


def _attributes(headers: Iterable[tuple[str, bytes]]) -> Mapping[str, str]:
    try:
        return {name[3:]: text.decode() for name, text in headers if name.startswith("ce_")}
    except UnicodeDecodeError as error:
        raise EnvelopeError("a ce_ header is not UTF-8") from error


def _sequence(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise EnvelopeError(f"ce_sequence is {text!r}, not a decimal number")
    return int(text)
