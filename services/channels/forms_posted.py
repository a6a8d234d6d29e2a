"""The forms in which events are posted: one CloudEvent, binary mode, a batch, NDJSON. Pure."""

from functools import lru_cache
from typing import NamedTuple

from services.channels.connectors import language
from services.channels.events import (
    Intake,
    Row,
    read_batch,
    read_binary,
    read_ndjson,
    read_single,
)

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = ("application/x-ndjson", "application/ndjson")
BINARY = "application/json"
FORMS = (STRUCTURED, BATCH, *NDJSON, BINARY)
CACHED_CHARS = 160


class Sent(NamedTuple):
    """A post: its form, `headers` those of binary mode."""

    form: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    workspace: str
    languages: tuple[str, ...]
    received_us: int


class Read(NamedTuple):
    """Its rows in order, and decoded attachments by their sha256."""

    rows: list[Row]
    blobs: dict[str, bytes]


def read_posted(sent: Sent) -> Read:
    """Raises Refused where the whole of it cannot be read."""
    languages = sent.languages
    intake = Intake(
        workspace=sent.workspace,
        received_us=sent.received_us,
        detect_language=lambda text: _detected(text, languages),
    )
    return Read(_rows(sent, intake), intake.blobs)


def _rows(sent: Sent, intake: Intake) -> list[Row]:
    if sent.form == STRUCTURED:
        return [read_single(sent.body, intake)]
    if sent.form == BATCH:
        return list(read_batch(sent.body, intake))
    if sent.form in NDJSON:
        return list(read_ndjson(sent.body, intake))
    return [read_binary(sent.headers, sent.body, intake)]


def _detected(text: str, languages: tuple[str, ...]) -> str | None:
    if not languages:
        return None
    if len(text) <= CACHED_CHARS:
        return _remembered(text, languages)
    return language.detect(text, languages)


@lru_cache(4096)
def _remembered(text: str, languages: tuple[str, ...]) -> str | None:
    """Short texts come again and again: greetings, thanks, questions of the season."""
    return language.detect(text, languages)
