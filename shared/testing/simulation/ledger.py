"""What the world outside knows: events that were accepted, and answers that callers were given."""

import msgspec


class Posted(msgspec.Struct):
    """An event that the bus took (after repeats, where the answer was lost)."""

    workspace: str
    id: str
    type: str
    conversation: str
    channel: str
    customer: bool = False
    abandons: bool = False


class Acked(msgspec.Struct):
    """A command that was answered with success. `attempts` > 1: repeated with its key."""

    workspace: str
    name: str
    body: dict[str, object]
    reply: dict[str, object]
    at_us: int
    attempts: int
    keyed: bool


class Ledger:
    """Written by the people of the simulation, read by its checker."""

    def __init__(self) -> None:
        self.posted: dict[str, Posted] = {}
        self.poison: dict[bytes, str] = {}
        self.acked: list[Acked] = []
        self.refused = 0
        self.commands = 0
        self.records = 0
        self.wrong: list[str] = []

    @property
    def inputs(self) -> int:
        """Events put on the bus and commands sent, repeats of the same not counted."""
        return self.records + self.commands

    def complain(self, what: str) -> None:
        if len(self.wrong) < 30:
            self.wrong.append(what)
