"""Attachments and large payloads by their SHA-256: a folder by default, an object store by URL."""

from hashlib import sha256

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.contracts.problems import Refused

log = structlog.get_logger(__name__)


def open_store(url: str) -> ObjectStore:
    """`file:///…` (made when absent), `s3://…` and what else obstore knows."""
    if url.startswith("file://"):
        return LocalStore(url.removeprefix("file://"), mkdir=True)
    return from_url(url)


class Blobs:
    """Content under its hash: writing twice is writing once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def keep(self, content: bytes) -> str:
        """Store and return the hash (64 hexadecimal digits). Raises Refused (unavailable)."""
        name = sha256(content).hexdigest()
        try:
            await obstore.put_async(self._store, _path(name), content)
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error
        return name

    async def get(self, name: str) -> bytes | None:
        """The content, None when it is not (or no longer) kept. Raises Refused (unavailable)."""
        try:
            found = await obstore.get_async(self._store, _path(name))
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> Refused:
    log.error("blobs.failed", because=type(error).__name__)
    return Refused("unavailable", "The store of attachments does not answer.", retry_after_s=5)


def _path(name: str) -> str:
    return f"{name[:2]}/{name}"
