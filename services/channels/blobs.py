"""Attachments and large payloads by their SHA-256: a folder by default, an object store by URL."""

from hashlib import sha256

import obstore
from obstore.store import LocalStore, ObjectStore, from_url


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
        """Store and return the hash (64 hexadecimal digits)."""
        name = sha256(content).hexdigest()
        await obstore.put_async(self._store, _path(name), content)
        return name

    async def get(self, name: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, _path(name))
        except FileNotFoundError:
            return None
        return bytes(await found.bytes_async())


def _path(name: str) -> str:
    return f"{name[:2]}/{name}"
