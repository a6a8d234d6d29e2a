"""Outlook's compressed RTF, undone. MS-OXRTFCP.

Never raises: what can be read before the content breaks off is given.
"""

import struct

MAX_RTF = 1024 * 1024
"""Most bytes that come out; what is beyond is left."""

_HEAD = struct.Struct("<IIII")
_COMPRESSED, _AS_IT_IS = 0x75465A4C, 0x414C454D
_RING = 4096
_FIRST = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript "
    b"\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n"
    b"\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def decompressed(content: bytes) -> bytes:
    """The RTF; b"" for what is none."""
    if len(content) < _HEAD.size:
        return b""
    _, length, kind, _ = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if kind == _AS_IT_IS:
        return body[: min(length, MAX_RTF)]
    return _unpacked(body, min(length, MAX_RTF)) if kind == _COMPRESSED else b""


def _unpacked(body: bytes, length: int) -> bytes:
    """Each control byte tells of the next eight pieces, from its lowest bit: a byte, or a place in
    the ring of what came last. A place that is to be written next ends it."""
    ring = bytearray(_FIRST.ljust(_RING, b"\x00"))
    at, write, out = 0, len(_FIRST), bytearray()
    while at < len(body) and len(out) < length:
        control = body[at]
        at += 1
        for bit in range(8):
            if control >> bit & 1:
                if at + 2 > len(body):
                    return bytes(out[:length])
                place = body[at] << 8 | body[at + 1]
                at += 2
                if place >> 4 == write:
                    return bytes(out[:length])
                piece = bytes(_taken(ring, place >> 4, (place & 0xF) + 2, write))
            else:
                piece = body[at : at + 1]
                at += 1
            for byte in piece:
                ring[write] = byte
                write = (write + 1) % _RING
            out += piece
    return bytes(out[:length])


def _taken(ring: bytearray, start: int, count: int, write: int) -> bytearray:
    """Some bytes of the ring, also those that are written while they are read."""
    taken = bytearray()
    for number in range(count):
        place = (start + number) % _RING
        ahead = (place - write) % _RING
        taken.append(taken[ahead] if ahead < number else ring[place])
    return taken
