"""Strong ETags from version numbers, If-Match and If-None-Match. RFC 9110, section 13."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import Request, Response

from shared.contracts.problems import Fault, Refused
from shared.http import headers
from shared.http.replies import json_reply, unchanged

_PLAIN_TAG = re.compile(r'"[0-9]+"\Z')
_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|\Z)')


class Precondition(msgspec.Struct, frozen=True):
    """What a write demands of the resource as it is.

    `versions` None: no demand; else one of these (none in it: cannot hold). `exists` True: there
    must be one (If-Match: *); False: there must be none (If-None-Match: *).
    """

    versions: tuple[int, ...] | None = None
    exists: bool | None = None

    def check(self, version: int | None) -> None:
        """`version` of the resource, None when there is none. Raises Refused (412)."""
        if self.exists is not None and self.exists != (version is not None):
            raise _failed("The resource exists." if version is not None else "There is none yet.")
        if self.versions is not None and version not in self.versions:
            raise _failed("The resource is not at the version that If-Match names.")


def etag(version: int) -> str:
    return f'"{version}"'


def precondition_of(request: Request) -> Precondition:
    """What If-Match and If-None-Match demand of a write. Raises Refused("validation")."""
    match = headers.sent(request.scope, b"if-match")
    none_match = headers.sent(request.scope, b"if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise _malformed("if-none-match", "*")
    absent = False if none_match is not None else None
    if match is None:
        return Precondition(exists=absent)
    if match.strip() == "*":
        return Precondition(exists=True)
    tags = _tags(match)
    if tags is None:
        raise _malformed("if-match", '"<version>"')
    versions = [int(text) for weak, text in tags if not weak and _is_version(text)]
    return Precondition(tuple(versions), absent)


async def demanded(request: Request, current: Callable[[], Awaitable[int | None]]) -> int | None:
    """The version at which a write must find what it writes: 0 where there must be none, None where
    it is all the same. `current` tells the version (None: there is none), and is asked where the
    headers leave a choice; its answer is pinned, so that whoever writes meanwhile is noticed.

    Raises Refused: "precondition-failed", "validation".
    """
    demand = precondition_of(request)
    if demand.versions is None and not demand.exists:
        return None if demand.exists is None else 0
    if demand.versions is not None and len(demand.versions) == 1 and demand.exists is None:
        return demand.versions[0]
    version = await current()
    demand.check(version)
    return None if demand.exists else version or 0


def is_current(request: Request, version: int) -> bool:
    """Whether If-None-Match of a read names this version (weak comparison)."""
    sent = headers.sent(request.scope, b"if-none-match")
    if sent is None:
        return False
    if _PLAIN_TAG.match(sent):
        return sent == etag(version)
    if sent.strip() == "*":
        return True
    return any(text == str(version) for _, text in _tags(sent) or [])


def not_modified(version: int) -> Response:
    return unchanged(etag(version))


def versioned(request: Request, content: Any, version: int, status: int = 200) -> Response:
    """`content` with its ETag; 304 to a GET that has it already."""
    if request.method in ("GET", "HEAD") and is_current(request, version):
        return not_modified(version)
    return json_reply(content, status, {"ETag": etag(version)})


def _tags(header: str) -> list[tuple[bool, str]] | None:
    """[(weak, opaque tag)]; None when the header is malformed."""
    tags: list[tuple[bool, str]] = []
    at = 0
    while at < len(header):
        found = _TAG.match(header, at)
        if found is None:
            return None
        tags.append((found.group(1) is not None, found.group(2)))
        at = found.end()
    return tags


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _failed(detail: str) -> Refused:
    return Refused("precondition-failed", detail)


def _malformed(name: str, expected: str) -> Refused:
    message = f"The header {name} is not {expected}."
    return Refused(
        "validation", message, errors=[Fault(f"/header/{name}", "pattern", message, expected)]
    )
