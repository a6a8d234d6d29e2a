"""What an opaquely signed S/MIME mail holds: the mail within the signature. RFC 5652, RFC 8551.

The signature itself is not judged. Never raises: what is encrypted or no such thing gives None.
"""

from collections.abc import Iterator

KINDS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
SUFFIX = ".p7m"
MAX_DEPTH = 12
MAX_CHUNKS = 100_000

_SIGNED = bytes.fromhex("2a864886f70d010702")
_SEQUENCE, _OID, _EXPLICIT, _OCTETS, _SEVERAL_OCTETS = 0x30, 0x06, 0xA0, 0x04, 0x24
_Element = tuple[
    int, int, int, int
]  # tag, where its content begins and ends, where the next begins


def signed_content(content: bytes) -> bytes | None:
    """The bytes that were signed; None where there are none to read."""
    try:
        _, body = _two(content, _children(content, 0, len(content), _SEQUENCE), _SIGNED)
        signed = next(_children(content, *body, _SEQUENCE))
        parts = list(_elements(content, signed[1], signed[2]))
        held = next(each for each in parts if each[0] == _SEQUENCE)
        _, octets = _two(content, iter([held]), None)
        return b"".join(_octets(content, *octets, 0)) or None
    except (IndexError, ValueError, StopIteration, RuntimeError):
        return None


def _two(
    data: bytes, among: Iterator[_Element], wanted: bytes | None
) -> tuple[_Element, tuple[int, int]]:
    """A type's name and the extent of what is of it."""
    outer = next(among)
    name, value = list(_elements(data, outer[1], outer[2]))[:2]
    if name[0] != _OID or value[0] != _EXPLICIT:
        raise ValueError("no content of a named type")
    if wanted is not None and data[name[1] : name[2]] != wanted:
        raise ValueError("another type")
    return name, (value[1], value[2])


def _children(data: bytes, start: int, end: int, tag: int) -> Iterator[_Element]:
    return (each for each in _elements(data, start, end) if each[0] == tag)


def _elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    at = start
    for _ in range(MAX_CHUNKS):
        if at >= end:
            return
        found = _element(data, at, end, 0)
        if found[0] == 0 and found[1] == found[2]:
            return
        yield found
        at = found[3]


def _element(data: bytes, at: int, end: int, depth: int) -> _Element:
    """One element; of one whose length is told by its end, that is looked for."""
    tag, length = data[at], data[at + 1]
    start = at + 2
    if length == 0x80:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        return _unended(data, tag, start, end, depth)
    if length > 0x80:
        count = length & 0x7F
        if count > 4:
            raise ValueError("a length beyond any mail")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    stop = min(start + length, end)
    return tag, start, stop, stop


def _unended(data: bytes, tag: int, start: int, end: int, depth: int) -> _Element:
    at = start
    for _ in range(MAX_CHUNKS):
        if data[at : at + 2] == b"\x00\x00":
            return tag, start, at, at + 2
        at = _element(data, at, end, depth + 1)[3]
    raise ValueError("too many pieces")


def _octets(data: bytes, start: int, end: int, depth: int) -> Iterator[bytes]:
    for tag, first, last, _ in _elements(data, start, end):
        if tag == _OCTETS:
            yield data[first:last]
        elif tag == _SEVERAL_OCTETS and depth < MAX_DEPTH:
            yield from _octets(data, first, last, depth + 1)
