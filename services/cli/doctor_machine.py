"""What `omniroute doctor` finds out about the machine: room on its disks, and the time."""

import shutil
import time
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cli.findings import Finding
from shared.settings import Settings

FREE_SHARE = 0.10
FREE_BYTES = 2 << 30
"""A disk is nearly full with less than this, and less than FREE_SHARE of it, left."""
SKEW_S = 2.0

_GIB = 1 << 30


def disks(settings: Settings) -> list[Finding]:
    """The folders that Omniroute writes to on this machine, one of each disk. What PostgreSQL and Kafka
    write elsewhere is not seen from here."""
    folders = {path: path.stat().st_dev for path in _folders(settings) if path.exists()}
    one_of_each = {device: path for path, device in folders.items()}
    return [room(path, shutil.disk_usage(path)) for path in one_of_each.values()]


def _folders(settings: Settings) -> list[Path]:
    blobs = urlsplit(settings.blob_url or "")
    kept = [Path(unquote(blobs.path))] if blobs.scheme == "file" else []
    return [*kept, settings.data_dir]


class Usage(Protocol):
    """Bytes, as shutil.disk_usage tells them."""

    @property
    def total(self) -> int: ...
    @property
    def free(self) -> int: ...


def room(path: Path, usage: Usage) -> Finding:
    nearly_full = usage.free < FREE_BYTES and usage.free < FREE_SHARE * usage.total
    said = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB are free"
    if nearly_full:
        said += ": make room before writes are refused (old attachments: OMNIROUTE_ATTACHMENT_DAYS)"
    return Finding(f"disk of {path}", not nearly_full, said)


async def clocks(connection: AsyncConnection) -> list[Finding]:
    """This machine's clock against PostgreSQL's, which leases go by."""
    before = time.time()
    asked = await connection.execute(
        text("SELECT extract(epoch FROM clock_timestamp())::float8 AS theirs")
    )
    theirs = float(asked.scalar_one())
    return [skew(before, theirs, time.time())]


def skew(before: float, theirs: float, after: float) -> Finding:
    """The answer came between two looks at our own clock: no skew is told that the way explains."""
    ahead = before - theirs if before > theirs else min(0.0, after - theirs)
    which = "ahead of" if ahead > 0 else "behind"
    if abs(ahead) < SKEW_S:
        return Finding("clock", True, "as PostgreSQL's")
    said = (
        f"this machine is {abs(ahead):.1f} s {which} PostgreSQL: waits and deadlines are off by as much;"
        " let NTP set both"
    )
    return Finding("clock", False, said)
