"""What a request to an address asks."""

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """A request. `secret`: whether the secret of a connector's fetch goes with it."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    secret: bool = True
