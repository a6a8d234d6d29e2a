"""The conversations of one workspace in memory: those of late with their clocks at hand, the others packed.

A packed one says beside its body what must be known without opening it (`Rest`): when something is
due next, and who it waits for. It is opened when something happens to it, and gives the same clocks then.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec

from services.sla.domain.conversation import Conversation, Live, Rest, pack, rest_of, unpack
from services.sla.domain.library import Library, Shelved
from services.sla.domain.shown import Shown

AT_HAND_MAX = 2_000  # conversations whose clocks are kept derived


class Held(msgspec.Struct, gc=False):
    """One at hand. `library`: the configuration as it counts on it; `body`: as it was last packed; None: not yet. `shown`: what it showed when it was
    last told; None: that must be looked at."""

    conversation: Conversation
    lives: list[Live]
    library: Shelved
    body: bytes | None = None
    shown: Shown | None = None

    def pack(self, rest: Rest) -> bytes:
        """Packs it as it is now."""
        self.conversation.rest = rest
        self.body = pack(self.conversation)
        return self.body


class Shelf(Mapping[str, list[Live]]):
    """By id, their episodes with folds, oldest first. `view`: the configuration that a conversation
    counts on; `begun` is told of each that is new."""

    def __init__(self, workspace: str, library: Library) -> None:
        self.view: Callable[[Conversation], Shelved] = lambda _: library
        self.begun: Callable[[Conversation], None] = lambda _: None
        self._workspace = workspace
        self._library = library
        self._held: dict[str, Held] = {}
        self._packed: dict[str, bytes] = {}
        self._last: Held | None = None  # the one that was opened last

    def __getitem__(self, name: str) -> list[Live]:
        return self._open(name).lives

    def __iter__(self) -> Iterator[str]:
        yield from self.names()  # opening one moves it

    def names(self) -> list[str]:
        """All of them now."""
        return [*self._held, *self._packed]

    def __len__(self) -> int:
        return len(self._held) + len(self._packed)

    def __contains__(self, name: object) -> bool:
        return name in self._held or name in self._packed

    def at_hand(self, name: str) -> bool:
        """Whether its clocks are there without opening it."""
        return name in self._held

    def find(self, name: str) -> Held | None:
        """None where there is no such conversation."""
        last = self._last
        if last is not None and last.conversation.id == name:
            return last
        return self._open(name) if name in self._held or name in self._packed else None

    def add(self, conversation: Conversation) -> Held:
        """A new one, without episodes."""
        self.begun(conversation)
        held = Held(conversation, [], self._library)
        self._last = self._held[conversation.id] = held
        return held

    def review(self) -> None:
        """The windows of a calendar are others now: those at hand count on what they have until it
        reaches them, as those that are packed do."""
        for held in self._held.values():
            held.library = self.view(held.conversation)
            for live in held.lives:
                live.count_by(held.library)

    def put(self, name: str, body: bytes) -> None:
        """One that was stored."""
        self._packed[name] = body

    def remove(self, name: str) -> None:
        self._last = None
        self._held.pop(name, None)
        self._packed.pop(name, None)

    def body(self, name: str) -> bytes:
        """As it was last packed."""
        held = self._held.get(name)
        if held is None:
            return self._packed[name]
        if held.body is None:
            held.body = pack(held.conversation)
        return held.body

    def rest(self, name: str) -> Rest | None:
        """Of one that is packed; None when it is at hand (or was stored by an earlier release)."""
        body = self._packed.get(name)
        return None if body is None else rest_of(body)

    def tidy(self) -> None:
        """Puts those away that nothing has happened to for longest, once all are packed."""
        surplus = len(self._held) - AT_HAND_MAX
        if surplus <= 0:
            return
        self._last = None
        for name in list(islice(self._held, surplus)):
            self._packed[name] = self.body(name)
            del self._held[name]

    def _open(self, name: str) -> Held:
        held = self._last
        if held is not None and held.conversation.id == name:
            return held
        held = self._held.pop(name, None)
        if held is None:
            body = self._packed.pop(name)
            conversation = unpack(body)
            library = self.view(conversation)
            lives = [
                Live(self._workspace, conversation, record, library)
                for record in conversation.episodes
            ]
            held = Held(conversation, lives, library, body)
        self._last = self._held[name] = held  # the last is who was opened last
        return held
