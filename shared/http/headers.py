"""Single headers of a request, as the server gives them: Starlette's mapping of all takes longer to
make and to ask."""

from starlette.types import Scope

_FIRST = "omniroute.first_headers"


def first(scope: Scope) -> dict[bytes, bytes]:
    """The headers by name (in lower case), of each the first; made once a call."""
    found = scope.get(_FIRST)
    if found is None:
        found = scope[_FIRST] = dict(scope["headers"][::-1])
    return found


def sent(scope: Scope, name: bytes) -> str | None:
    """The first header of this name (in lower case); None without one."""
    value = first(scope).get(name)
    return None if value is None else value.decode("latin-1")


def all_sent(scope: Scope, name: bytes) -> list[str]:
    """All headers of this name, in order."""
    if name not in first(scope):
        return []
    return [value.decode("latin-1") for found, value in scope["headers"] if found == name]
