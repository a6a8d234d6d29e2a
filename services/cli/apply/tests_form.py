"""The tests of a workspace file as they must be written, so that none passes for want of a right name."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, cast

from shared.contracts.instants import parse_instant
from shared.contracts.problems import Fault

FIELDS = ("name", "event", "at", "policy", "expect")
EXPECTABLE = ("rule", "queue", "priority", "requires", "agents", "first_response_due")


def read_tests(given: Any) -> tuple[list[dict[str, Any]], list[Fault]]:
    """(tests, what is wrong with them, by pointer). `at` may be an instant of YAML."""
    if given is None:
        return [], []
    if not isinstance(given, list):
        return [], [Fault("/tests", "kind", "The tests are no list.", "a list of tests")]
    tests, faults = list[dict[str, Any]](), list[Fault]()
    for index, one in enumerate(cast("list[Any]", given)):
        pointer = f"/tests/{index}"
        if not isinstance(one, dict):
            faults.append(Fault(pointer, "kind", "The test is no mapping.", ", ".join(FIELDS)))
            continue
        test = _with_text(cast("dict[str, Any]", one))
        faults += _faults(test, pointer)
        tests.append(test)
    return tests, faults


def _with_text(test: dict[str, Any]) -> dict[str, Any]:
    at = test.get("at")
    return {**test, "at": at.isoformat()} if isinstance(at, datetime) else test


def _faults(test: Mapping[str, Any], pointer: str) -> Iterator[Fault]:
    yield from _unknown(test, FIELDS, pointer)
    if not isinstance(test.get("event"), dict):
        yield Fault(f"{pointer}/event", "missing", "The test has no event.", "{channel, text, …}")
    if "at" in test and not _is_instant(test["at"]):
        yield Fault(f"{pointer}/at", "instant", "It is no instant.", "RFC 3339 with an offset")
    expect = test.get("expect")
    if not isinstance(expect, dict) or not expect:
        known = f"at least one of {', '.join(EXPECTABLE)}"
        yield Fault(f"{pointer}/expect", "missing", "The test expects nothing.", known)
        return
    expected = cast("dict[str, Any]", expect)
    yield from _unknown(expected, EXPECTABLE, f"{pointer}/expect")
    due = expected.get("first_response_due")
    if due is not None and "at" not in test:
        said = "A deadline needs the moment of the event."
        yield Fault(f"{pointer}/at", "missing", said, "at: RFC 3339 with an offset")


def _unknown(given: Mapping[str, Any], known: tuple[str, ...], pointer: str) -> Iterator[Fault]:
    for name in given:
        if name not in known:
            like = get_close_matches(str(name), known, n=1)
            right = like[0] if like else ", ".join(known)
            yield Fault(f"{pointer}/{name}", "unknown_field", f"Unknown field {name!r}.", right)


def _is_instant(value: Any) -> bool:
    try:
        parse_instant(str(value))
    except ValueError:
        return False
    return True
