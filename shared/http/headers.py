"""Single headers of a request, as the server gives them: Starlette's mapping of all takes longer to
make than to look for one."""

from starlette.types import Scope


def sent(scope: Scope, name: bytes) -> str | None:
    """The first header of this name (in lower case); None without one."""
    for found, value in scope["headers"]:
        if found == name:
            return value.decode("latin-1")
    return None


def all_sent(scope: Scope, name: bytes) -> list[str]:
    """All headers of this name, in order."""
    return [value.decode("latin-1") for found, value in scope["headers"] if found == name]
