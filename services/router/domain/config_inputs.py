"""Configuration that other services write (settings, calendars), and our own come back from the platform's
store: what arrives as config inputs."""

from typing import Any, cast

import msgspec

from services.router.domain import configuration
from services.router.domain.workspace import Workspace


class ConfigInput(msgspec.Struct):
    """The body of a config input."""

    id: str
    version: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    windows: Any = None


def on_input(ws: Workspace, kind: str, body: bytes) -> None:
    """A version of shared configuration. Older versions than known, and kinds that routing does not
    need, are passed over."""
    if kind not in ("workspace", "calendar", "queue", "team"):
        return
    given = msgspec.json.decode(body, type=ConfigInput)
    known = ws.stored[kind].get(given.id)
    if known is not None and known.version >= given.version:
        return
    raw = bytes(given.body)
    raw = b"" if raw == b"null" else raw
    if known is not None and known.body == raw and kind in configuration.SHARED:
        ws.edit(kind, given.id, known).version = given.version
        return
    configuration.write(ws, kind, given.id, raw, given.version, _windows(given, raw))


class _Expanded(msgspec.Struct):
    """An expanded calendar, as far as routing needs it."""

    windows: list[tuple[int, int]] | None = None


def _windows(given: ConfigInput, raw: bytes) -> list[tuple[int, int]]:
    """Open windows: beside the body or in it, alone or within an expanded calendar."""
    if isinstance(cast("object", given.windows), list):
        return msgspec.convert(given.windows, list[tuple[int, int]])
    if given.windows is not None:
        return msgspec.convert(given.windows, _Expanded).windows or []
    return (msgspec.json.decode(raw, type=_Expanded).windows or []) if raw else []
