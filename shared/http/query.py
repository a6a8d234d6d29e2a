"""Query parameters that a call does not know are refused: `?stauts=pending` would list everything."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from urllib.parse import parse_qsl

from starlette.types import Scope

from shared.contracts.problems import Fault, Refused
from shared.http.problems import pointer

# What jQuery and other clients add so that no cache answers.
IGNORED = "_"
NAMED_MAX = 10  # unknown names that one refusal tells
NAME_CHARS_MAX = 64  # of a name that a refusal repeats


def check_query(scope: Scope) -> None:
    """Refuse parameters that the call's route does not have, and what no database takes.

    Raises Refused("validation"). `scope` is one of a call whose route was found.
    """
    query: bytes = scope["query_string"]
    if not query:
        return
    if query.find(b"%00") >= 0:  # `in` would make an error on the way
        message = "The query holds a NUL character."
        raise Refused("validation", message, errors=[Fault("/query", "nul", message)])
    known: frozenset[str] = scope["route"].query_names
    for piece in query.split(b"&"):
        if piece and piece.partition(b"=")[0].decode("latin-1") not in known:
            _judge(query, known)
            return


def _judge(query: bytes, known: frozenset[str]) -> None:
    """The names once more, decoded as they are read."""
    sent = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    unknown = dict.fromkeys(name for name, _ in sent if name not in known and name != IGNORED)
    if unknown:
        faults = [_fault(name, known) for name in list(unknown)[:NAMED_MAX]]
        raise Refused("validation", faults[0].message, errors=faults)


def _fault(name: str, known: Iterable[str]) -> Fault:
    told = name[:NAME_CHARS_MAX]
    ordered = sorted(sorted(known), key=lambda one: -SequenceMatcher(None, told, one).ratio())
    takes = f"this call takes {', '.join(ordered)}" if ordered else "this call takes none"
    message = f"There is no query parameter {told!r}; {takes}."
    expected = ", ".join(ordered) or "no query parameters"
    return Fault(pointer(("query", told)), "unknown_parameter", message, expected)
