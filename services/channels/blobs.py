"""Attachments and large payloads by their SHA-256: a folder by default, an object store by URL.

Attachments lie at `ab/abcd…`, each content once. Payloads lie under the day on which they came,
`raw/2026-03-02/abcd…`, so that a whole day can be removed without a look at what refers to it:
nothing is ever added to a day that is over. What became a dead letter lies under `letters/…`.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.contracts.problems import Refused

log = structlog.get_logger(__name__)

Payloads = Literal["raw", "letters"]
PREFIXES = tuple(f"{number:02x}" for number in range(256))
_PAGE = 1000


def open_store(url: str) -> ObjectStore:
    """`file:///…` (made when absent), `s3://…` and what else obstore knows."""
    if url.startswith("file://"):
        return LocalStore(url.removeprefix("file://"), mkdir=True, automatic_cleanup=True)
    return from_url(url)


class Blobs:
    """Content under its hash: writing twice is writing once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def keep(self, content: bytes) -> str:
        """Store an attachment; returns the hash (64 hexadecimal digits). Raises Refused
        (unavailable)."""
        name = sha256(content).hexdigest()
        await self._put(_path(name), content)
        return name

    async def keep_payload(self, content: bytes, received_at_us: int, kind: Payloads) -> str:
        """Store a payload that came at that time; returns the hash. Raises Refused (unavailable)."""
        name = sha256(content).hexdigest()
        await self._put(f"{kind}/{day_of(received_at_us)}/{name}", content)
        return name

    async def _put(self, path: str, content: bytes) -> None:
        try:
            await obstore.put_async(self._store, path, content)
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    async def get(self, name: str) -> bytes | None:
        """An attachment, None when it is not (or no longer) kept. Raises Refused (unavailable)."""
        return await self._get(_path(name))

    async def get_payload(self, name: str, received_at_us: int) -> bytes | None:
        """A payload, None when it is no longer kept. Raises Refused (unavailable)."""
        day = day_of(received_at_us)
        # The last place is where payloads were kept before they lay under their day.
        for path in (f"raw/{day}/{name}", f"letters/{day}/{name}", _path(name)):
            found = await self._get(path)
            if found is not None:
                return found
        return None

    async def _get(self, path: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, path)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    async def days(self, kind: Payloads) -> list[str]:
        """The days of which payloads are kept, oldest first. Raises Refused (unavailable)."""
        try:
            found = await obstore.list_with_delimiter_async(self._store, kind)
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])

    async def listed(self, prefix: str, limit: int) -> AsyncIterator[tuple[str, datetime]]:
        """(path, when it was written last) of at most `limit` objects. Raises Refused
        (unavailable)."""
        seen = 0
        try:
            async for page in obstore.list(self._store, prefix, chunk_size=_PAGE):
                for one in page:
                    if seen == limit:
                        return
                    seen += 1
                    yield one["path"], one["last_modified"]
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    async def written(self, path: str) -> datetime | None:
        """When an object was written last; None when it is gone. Raises Refused (unavailable)."""
        try:
            return (await obstore.head_async(self._store, path))["last_modified"]
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove objects; what another replica has removed already is fine. Raises Refused
        (unavailable)."""
        for path in paths:
            try:
                await obstore.delete_async(self._store, path)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise _unavailable(error) from error


def day_of(at_us: int) -> str:
    """The day of an instant, in UTC, as it names a folder."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).date().isoformat()


def _unavailable(error: Exception) -> Refused:
    log.error("blobs.failed", because=type(error).__name__)
    return Refused("unavailable", "The store of attachments does not answer.", retry_after_s=5)


def _path(name: str) -> str:
    return f"{name[:2]}/{name}"
