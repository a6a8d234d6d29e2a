"""What wakes a shard's tasks."""

import asyncio


class Signals:
    """One shard's. `work`: there may be something to decide; `hurry`: somebody waits
    for it; `unpublished`: something to send."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        self.hurry = asyncio.Event()
        self.unpublished = asyncio.Event()

    def wake_all(self) -> None:
        self.work.set()
        self.hurry.set()
        self.unpublished.set()

    def press(self) -> None:
        """There is something to decide that somebody waits for."""
        self.work.set()
        self.hurry.set()
