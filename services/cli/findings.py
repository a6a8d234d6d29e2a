"""One thing that `omniroute doctor` found."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """`ok` False: a person should look."""

    subject: str
    ok: bool
    said: str
