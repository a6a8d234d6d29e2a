"""Calendars and policies as versions, and the books that conversations are pinned to.

A book is one state of the configuration: the policies in their order and the calendars, each by
version. An episode keeps the book it began under, so that an edit moves no deadline by itself.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from services.sla.domain import room
from services.sla.domain.commands import (
    Change,
    Command,
    DeleteResource,
    MigratePolicy,
    PutResource,
    RenewCalendar,
    ResourceKind,
)
from services.sla.domain.policy import Book, Policy, check_references, compile_policy
from shared.contracts.core import ConfigWrite, Entity
from shared.contracts.problems import Refused, conflict, invalid, not_found
from shared.contracts.window_index import IndexedTable
from shared.contracts.windows import Expanded, Windows


class Former(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The windows of a calendar before its renewal of a number."""

    edition: int
    windows: Expanded


class Version(msgspec.Struct, gc=False):
    """One version of a resource. `place` orders policies; `windows` are a calendar's, derived from
    the time-zone and holiday `data`; `former`: those from before each renewal that has not reached
    every conversation (earlier releases stored those from before the first)."""

    kind: ResourceKind
    id: str
    version: int
    body: bytes
    place: float = 0
    windows: Expanded | None = None
    data: str = ""
    former: list[Former] | Expanded | None = None

    def formers(self) -> list[Former]:
        if isinstance(self.former, Expanded):
            return [Former(0, self.former)]
        return self.former or []


class Page(msgspec.Struct, gc=False):
    """A book at rest: (id, version) of its policies in order, and of its calendars. `retired`: the highest
    version of a resource deleted so far."""

    number: int
    policies: list[tuple[str, int]] = []
    calendars: list[tuple[str, int]] = []
    retired: int = 0


Key = tuple[str, str, int]
_PACK = msgspec.msgpack.Encoder()
_VERSION = msgspec.msgpack.Decoder(Version)
_PAGE = msgspec.msgpack.Decoder(Page)


class Shelved(Protocol):
    """What an episode needs of the configuration."""

    def book(self, number: int) -> Book: ...
    def pin(self, number: int) -> None: ...
    def unpin(self, number: int) -> None: ...


class Library:
    """All versions that something still needs."""

    def __init__(self) -> None:
        self.current: dict[tuple[str, str], Version] = {}
        self.versions: dict[Key, Version] = {}
        self.pages: dict[int, Page] = {0: Page(0)}
        self.number = 0
        self.queues: dict[str, str] = {}
        self.pins: dict[int, int] = {}
        self._compiled: dict[tuple[str, int], Policy] = {}
        self._tables: dict[tuple[str, int], IndexedTable] = {}
        self._books: dict[int, Book] = {}
        self._changed: set[tuple[str, str]] = set()
        self._former: dict[tuple[str, int, int], IndexedTable] = {}
        self._idle = False  # whether a book has lost its last episode
        self._wanted: dict[tuple[str, str], int] = {}  # versions in force, while they are loaded

    def listed(self, kind: ResourceKind) -> list[Version]:
        """The resources of a kind: calendars by id, policies in the order they are asked."""
        found = [one for (each, _), one in self.current.items() if each == kind]
        if kind == "calendar":
            return sorted(found, key=lambda one: one.id)
        return sorted(found, key=lambda one: (one.place, one.id))

    def find(self, kind: ResourceKind, name: str) -> Version | None:
        return self.current.get((kind, name))

    # Commands: `check` raises Refused and changes nothing, `put` and `delete` change.

    def check(self, command: Command) -> None:
        """Raises Refused when the command cannot be done now."""
        if isinstance(command, MigratePolicy):
            if self.find("sla_policy", command.id) is None:
                raise not_found("SLA policy", command.id)
        elif isinstance(command, RenewCalendar):
            if ("calendar", command.id, command.version) not in self.versions:
                raise not_found("version of the calendar", command.id)
        else:
            self._check_change(command)

    def _check_change(self, command: Change) -> None:
        before = self.find(command.resource, command.id)
        if command.if_version is not None and command.if_version != (
            before.version if before else 0
        ):
            changed = "The resource has changed since it was read."
            raise Refused(
                "precondition-failed", changed if command.if_version else "The resource exists."
            )
        if isinstance(command, DeleteResource):
            self._check_delete(command, before)
            return
        if before is None:
            room.check(command.resource, sum(kind == command.resource for kind, _ in self.current))
        if command.resource == "calendar":
            if command.windows is None:
                raise invalid("/windows", "missing", "the calendar comes without its windows")
        else:
            self._check_policy(command)

    def _check_policy(self, command: PutResource) -> None:
        policy = compile_policy({**msgspec.json.decode(command.body), "id": command.id}, 0)
        check_references(policy, [name for kind, name in self.current if kind == "calendar"])
        others = [one for one in self.listed("sla_policy") if one.id != command.id]
        choices = [self._policy(one.id, one.version).when for one in others]
        room.check_choice(policy.when, choices)

    def _check_delete(self, command: DeleteResource, before: Version | None) -> None:
        if before is None:
            raise not_found(command.resource.replace("_", " "), command.id)
        if command.resource != "calendar":
            return
        for policy in self.listed("sla_policy"):
            compiled = self._policy(policy.id, policy.version)
            if command.id in {name for _, name in compiled.calendars()}:
                raise conflict("state", f"SLA policy {policy.id!r} counts on this calendar.")
        for queue, calendar in self.queues.items():
            if calendar == command.id:
                raise conflict("state", f"Queue {queue!r} opens by this calendar.")

    def put(self, command: PutResource) -> tuple[bytes, list[ConfigWrite]]:
        """Stores a version and opens a new book; one that says what the version in force says stays
        that version. Returns the reply and what others need."""
        before = self.find(command.resource, command.id)
        body = bytes(command.body)
        if before is not None and msgspec.json.decode(before.body) == msgspec.json.decode(body):
            return _reply(before, created=False), []
        number = 1 + self._last_version(command.resource, command.id)
        version = Version(
            command.resource,
            command.id,
            number,
            body,
            self._place(command, before),
            command.windows,
            command.data,
        )
        self.current[command.resource, command.id] = version
        self.versions[command.resource, command.id, number] = version
        self._touch(version)
        self._turn_page()
        writes = [ConfigWrite("calendar", command.id, body)] if version.windows else []
        return _reply(version, created=before is None), writes

    def _last_version(self, kind: ResourceKind, name: str) -> int:
        """The highest that a resource of this name may ever have had."""
        if (kind, name) in self.current:
            return self.current[kind, name].version
        kept = [version for (*place, version) in self.versions if place == [kind, name]]
        return max([self.pages[self.number].retired, *kept])

    def _place(self, command: PutResource, before: Version | None) -> float:
        if command.resource == "calendar":
            return 0.0
        order = msgspec.json.decode(command.body).get("order")
        if order is not None:
            return float(order)
        if before is not None:
            return before.place
        return max((one.place for one in self.listed("sla_policy")), default=0.0) + 1

    def delete(self, command: DeleteResource) -> tuple[bytes, list[ConfigWrite]]:
        version = self.current.pop((command.resource, command.id))
        self._touch(version)
        self._turn_page(version.version)
        shared = command.resource == "calendar"
        writes = [ConfigWrite("calendar", command.id, None)] if shared else []
        return msgspec.json.encode({"id": command.id}), writes

    def renew(self, command: RenewCalendar, edition: int) -> tuple[bool, list[ConfigWrite]]:
        """Takes in new windows of a version. True when they differ where both know them, so that
        clocks must be counted again, in the renewal of that number; and what others need."""
        version = self.versions["calendar", command.id, command.version]
        before = version.windows
        assert before is not None
        agree = _agree(before, command.windows)
        if not agree:
            version.former = [*version.formers(), Former(edition, before)]
        version.windows, version.data = command.windows, command.data
        self._tables.pop((command.id, command.version), None)
        self._touch(version)
        shared = self.find("calendar", command.id) is version
        writes = [ConfigWrite("calendar", command.id, version.body)] if shared else []
        return not agree, writes

    def _turn_page(self, retired: int = 0) -> None:
        """A new book; `retired`: the version that was deleted. What is made anew has a later one, so that no
        old ETag fits it, nor what is stored of another resource of its name."""
        before = self.pages[self.number]
        self.number += 1
        self.pages[self.number] = Page(
            self.number,
            [(one.id, one.version) for one in self.listed("sla_policy")],
            self._calendars(),
            max(before.retired, retired),
        )
        self._changed.add(("book", str(self.number)))

    def _calendars(self) -> list[tuple[str, int]]:
        """Of a new book: those in force, and deleted ones that an episode may still have spans on when
        it moves here."""
        found: dict[str, int] = {}
        for number in sorted(self.pins):
            found.update(self.pages[number].calendars)
        found.update((one.id, one.version) for one in self.listed("calendar"))
        return sorted(found.items())

    # Books.

    def book(self, number: int) -> Book:
        """The configuration of a number. The same object as long as it is kept."""
        found = self._books.get(number)
        if found is None:
            page = self.pages[number]
            calendars = dict(page.calendars)

            def windows(name: str) -> Windows:
                return self._table(name, calendars[name])

            policies = tuple(self._policy(name, version) for name, version in page.policies)
            found = self._books[number] = Book(policies, windows)
        return found

    def counts_on(self, number: int, calendar: str, version: int) -> bool:
        """Whether a book has a version of a calendar (0: any)."""
        pairs = self.pages[number].calendars
        return any(name == calendar and version in (0, each) for name, each in pairs)

    def settled(self, edition: int) -> None:
        """A renewal has reached every conversation."""
        self._former = {key: one for key, one in self._former.items() if key[2] != edition}
        for version in self.versions.values():
            before = version.formers()
            kept = [one for one in before if one.edition != edition]
            if len(kept) < len(before):
                version.former = kept or None
                self._touch(version)

    def former_table(self, name: str, version: int, edition: int) -> Windows:
        """The windows from before a renewal that has not reached every conversation."""
        found = self._former.get((name, version, edition))
        if found is not None:
            return found
        for one in self.versions["calendar", name, version].formers():
            if one.edition == edition:
                found = self._former[name, version, edition] = IndexedTable(one.windows)
                return found
        return self._table(name, version)

    def _policy(self, name: str, version: int) -> Policy:
        found = self._compiled.get((name, version))
        if found is None:
            body: Any = msgspec.json.decode(self.versions["sla_policy", name, version].body)
            found = self._compiled[name, version] = compile_policy({**body, "id": name}, version)
        return found

    def _table(self, name: str, version: int) -> IndexedTable:
        found = self._tables.get((name, version))
        if found is None:
            expanded = self.versions["calendar", name, version].windows
            assert expanded is not None
            found = self._tables[name, version] = IndexedTable(expanded)
        return found

    def pin(self, number: int) -> None:
        """An episode needs a book."""
        self.pins[number] = self.pins.get(number, 0) + 1

    def unpin(self, number: int) -> None:
        """An episode needs it no more; the last one lets it go, once the input is done: what it did to
        the clocks of that episode is still to be told."""
        self.pins[number] -= 1
        if not self.pins[number]:
            del self.pins[number]
            self._idle = True

    def tidy(self) -> None:
        """After an input."""
        if self._idle:
            self.forget()

    def forget(self) -> None:
        """Drops the books that no episode is pinned to, and what only they named."""
        self._idle = False
        needed = self.pins
        for number in [n for n in self.pages if n not in needed and n not in (0, self.number)]:
            del self.pages[number]
            self._books.pop(number, None)
            self._changed.add(("book", str(number)))
        kept: set[Key] = {(kind, one.id, one.version) for (kind, _), one in self.current.items()}
        for page in self.pages.values():
            kept |= {("sla_policy", *pair) for pair in page.policies}
            kept |= {("calendar", *pair) for pair in page.calendars}
        for key in [key for key in self.versions if key not in kept]:
            version = self.versions.pop(key)
            self._compiled.pop(key[1:], None)
            self._tables.pop(key[1:], None)
            for former in [each for each in self._former if each[:2] == key[1:]]:
                del self._former[former]
            self._touch(version)

    # At rest.

    def _touch(self, version: Version) -> None:
        self._changed.add(("version", _name(version.kind, version.id, version.version)))
        self._changed.add(("current", f"{version.kind}/{version.id}"))

    def changes(self) -> list[Entity]:
        changed, self._changed = self._changed, set()
        return [self._entity(kind, key) for kind, key in sorted(changed)]

    def dump(self) -> list[Entity]:
        keys = [("book", str(number)) for number in self.pages if number]
        keys += [("version", _name(*key)) for key in self.versions]
        keys += [("current", f"{kind}/{name}") for kind, name in self.current]
        return [self._entity(kind, key) for kind, key in keys]

    def _entity(self, kind: str, key: str) -> Entity:
        if kind == "book":
            page = self.pages.get(int(key))
            return Entity(kind, key, None if page is None else _PACK.encode(page))
        if kind == "current":
            resource, _, name = key.partition("/")
            version = self.current.get((resource, name))
            return Entity(kind, key, None if version is None else _PACK.encode(version.version))
        stored = self.versions.get(_parse(key))
        return Entity(kind, key, None if stored is None else _PACK.encode(stored))

    def load(self, entities: Iterable[Entity]) -> list[Entity]:
        """Takes in what is its own, in any order; returns the rest."""
        rest: list[Entity] = []
        for entity in entities:
            if entity.body is None:
                continue
            if entity.kind == "book":
                page = _PAGE.decode(entity.body)
                self.pages[page.number] = page
                self.number = max(self.number, page.number)
            elif entity.kind == "version":
                version = _VERSION.decode(entity.body)
                self.versions[version.kind, version.id, version.version] = version
                self._settle(version.kind, version.id)
            elif entity.kind == "current":
                kind, _, name = entity.key.partition("/")
                self._wanted[kind, name] = msgspec.msgpack.decode(entity.body, type=int)
                self._settle(kind, name)
            else:
                rest.append(entity)
        return rest

    def _settle(self, kind: str, name: str) -> None:
        wanted = self._wanted.get((kind, name))
        found = None if wanted is None else self.versions.get((kind, name, wanted))
        if found is not None:
            self.current[kind, name] = found


def _reply(version: Version, *, created: bool) -> bytes:
    reply: dict[str, Any] = {
        "id": version.id,
        "version": version.version,
        "created": created,
        "body": msgspec.Raw(version.body),
        "warnings": [],
    }
    return msgspec.json.encode(reply)


def _name(kind: str, name: str, version: int) -> str:
    return f"{kind}/{name}/{version}"


def _parse(key: str) -> Key:
    kind, name, version = key.split("/")
    return kind, name, int(version)


def _agree(one: Expanded, other: Expanded) -> bool:
    """Whether two expansions have the same windows where both know them."""
    first, last = max(one.lo_us, other.lo_us), min(one.hi_us, other.hi_us)
    known = [
        [(max(s, first), min(e, last)) for s, e in each.windows if e > first and s < last]
        for each in (one, other)
    ]
    return known[0] == known[1]
