"""A connection of the driver for single statements, its transient failures as the port's."""

from types import TracebackType
from typing import Any

from shared.db.driver import Driver
from shared.db.failures import cause, is_transient
from shared.runtime.store.port import StoreUnavailable


class Reading:
    """A connection of the driver, its transient failures as the port's. A class, because the decorated
    generator costs more than the checkout."""

    __slots__ = ("_lent",)

    def __init__(self, driver: Driver) -> None:
        self._lent = driver.connection()

    async def __aenter__(self) -> Any:
        try:
            return await self._lent.__aenter__()
        except Exception as error:
            _translate(error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._lent.__aexit__(kind, error, trace)
        if isinstance(error, Exception):
            _translate(error)


def _translate(error: Exception) -> None:
    """Raises StoreUnavailable for what may succeed when tried again."""
    if is_transient(error):
        raise StoreUnavailable(f"the database is away: {cause(error)}") from error
