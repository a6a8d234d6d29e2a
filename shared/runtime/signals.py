"""What wakes a shard's tasks."""

import asyncio


class Signals:
    """One shard's. `work`: there may be something to decide; `unpublished`: something to send."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        self.unpublished = asyncio.Event()

    def wake_all(self) -> None:
        self.work.set()
        self.unpublished.set()
