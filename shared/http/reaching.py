"""Calls to others by httpx: a connection that its peer resets as it is made."""

from collections.abc import Generator
from contextlib import contextmanager

import httpx


@contextmanager
def reaching() -> Generator[None]:
    """For the sending of a request: such a connection is httpx's ConnectError, like one that is refused.

    Before a request is written httpcore asks the new socket for its peer's address. The socket may be
    gone by then (a process was killed before it took the connection): on uvloop there is None instead of
    it, on asyncio's own loop the address is an OSError, and neither is among httpx's errors.
    """
    try:
        yield
    except (AttributeError, OSError) as error:
        if isinstance(error, AttributeError) and not _is_of_none(error):
            raise
        raise httpx.ConnectError("the peer reset the connection as it was made") from error


def _is_of_none(error: AttributeError) -> bool:
    """An attribute of None was asked for. One that was raised by hand names none."""
    return bool(error.name) and error.obj is None
