"""A resource as the core takes it in: a calendar with the windows that it opens."""

import asyncio
import time
from typing import Any

import msgspec

from services.sla.domain.commands import PutResource, ResourceKind
from services.sla.renewal import data_text
from shared.calendars import expand


async def put_of(
    kind: ResourceKind, name: str, body: dict[str, Any], if_version: int | None
) -> PutResource:
    """The command that writes a canonical body. Raises Refused for a calendar that never opens."""
    windows, data = None, ""
    if kind == "calendar":
        # Years of windows take a while: meanwhile the loop goes on.
        windows = await asyncio.to_thread(expand, body, time.time_ns() // 1000)
        data = data_text()
    return PutResource(
        resource=kind,
        id=name,
        body=msgspec.Raw(msgspec.json.encode(body)),
        windows=windows,
        if_version=if_version,
        data=data,
    )
