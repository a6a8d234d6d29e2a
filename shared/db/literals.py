"""Columns of many rows as single values, which the driver takes whole.

asyncpg looks at each element of an array by itself, which costs more than all else of a write. So
texts and numbers go as one array literal each (PostgreSQL's text form of an array, cast by
`$1::text::bigint[]`), and bytes as one value with where each begins and how long it is:
`substr(value, at, size)` gives it back. The literals are made by a JSON encoder, a tenth of the work of
making each element a text: between its brackets a JSON array is an array literal, as long as nothing in
it is escaped, which the two do differently.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

_encode = msgspec.json.Encoder().encode


def texts(values: Sequence[str]) -> str:
    """`{"a","b"}`, whatever the texts hold."""
    encoded = _encode(values)
    if b"\\" not in encoded:
        return _braced(encoded)
    joined = '","'.join([each.replace("\\", "\\\\").replace('"', '\\"') for each in values])
    return f'{{"{joined}"}}'


def numbers(values: Iterable[int | None]) -> str:
    """`{1,2,null}`."""
    return _braced(_encode(list(values)))


def flags(values: Sequence[bool]) -> str:
    """`{true,false}`."""
    return _braced(_encode(values))


def _braced(encoded: bytes) -> str:
    return f"{{{encoded[1:-1].decode()}}}"


def blobs(values: Sequence[bytes]) -> tuple[bytes, str, str]:
    """All bytes, where each value begins (from 1), and how long it is."""
    sizes = list(map(len, values))
    return b"".join(values), numbers(accumulate(sizes[:-1], initial=1)), numbers(sizes)


def maybe_blobs(values: Sequence[bytes | None]) -> tuple[bytes, str, str]:
    """The same where values may be missing: their size is -1."""
    sizes = [-1 if each is None else len(each) for each in values]
    whole, begins, _ = blobs([each or b"" for each in values])
    return whole, begins, numbers(sizes)
