"""The configuration as a conversation counts on it that a calendar's renewal has not reached yet."""

from collections.abc import Callable

from services.sla.domain.library import Library
from services.sla.domain.policy import Book
from shared.contracts.windows import Windows


class Before:
    """The library, save that some calendars still have the windows from before their renewal.
    `former`: the number of the first renewal of (calendar, version) that is still to come; None: there
    is none, any more."""

    def __init__(self, library: Library, former: Callable[[str, int], int | None]) -> None:
        self._library = library
        self._former = former
        self._books: dict[int, Book] = {}

    def book(self, number: int) -> Book:
        found = self._books.get(number)
        if found is None:
            known = self._library.book(number)
            versions = dict(self._library.pages[number].calendars)

            def windows(name: str) -> Windows:
                edition = self._former(name, versions[name]) if name in versions else None
                if edition is None:
                    return known.windows(name)
                return self._library.former_table(name, versions[name], edition)

            found = self._books[number] = Book(known.policies, windows)
        return found

    def pin(self, number: int) -> None:
        self._library.pin(number)

    def unpin(self, number: int) -> None:
        self._library.unpin(number)
