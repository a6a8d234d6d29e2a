"""WebVTT: the transcript of a finished call, uploaded as a file. Strict: a file with a fault is
refused whole, so that nobody takes half a call for all of it. https://www.w3.org/TR/webvtt1/
"""

import html
import re
from collections.abc import Iterator
from hashlib import sha256

import msgspec
from pydantic import Field

from services.channels.connectors import calls
from services.channels.connectors.fields import clean
from services.channels.connectors.port import (
    DAY_S,
    Answer,
    Answers,
    Connector,
    Context,
    Example,
    InboundRequest,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import Unsigned
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author


class WebVttSettings(Settings):
    customer_names: list[str] = Field(
        default_factory=list,
        description="Names in voice spans that are the customer. Without any, every voice that is "
        "not among `agent_names` is the customer's.",
    )
    agent_names: list[str] = Field(
        default_factory=list, description="Names in voice spans that are agents."
    )


SETUP = """\
1. Post the file as it is, UTF-8, with `Content-Type: text/vtt` to the connector's inbound URL, which
   is a secret.
2. Add `?conversation_key=<call id>`; without it the file's hash is the conversation's key, and the
   same file twice is the same conversation. Add `&started_at=<instant>` for times by the clock.
3. Name the speakers in voice spans (`<v Kim>`) and tell who is who by `agent_names` or
   `customer_names`. A file with a fault is answered 422 and kept as a dead letter.
"""

MAX_CUES = 4900
_STAMP = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})\.(\d{1,3})"
_TIMING = re.compile(rf"[ \t]*{_STAMP}[ \t]*-->[ \t]*{_STAMP}(?:[ \t].*)?\Z")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]{1,200})>")
_TAG = re.compile(r"<[^<>]{0,200}>")
_BLOCKS = ("NOTE", "STYLE", "REGION")


class Cue(msgspec.Struct):
    """One cue: its place in the file, span in milliseconds, and lines of text."""

    number: int
    start_ms: int
    end_ms: int
    lines: list[str]


class BadFile(Exception):
    """Why a file is no WebVTT; with the line, counted from 1."""


def cues_of(text: str) -> list[Cue]:
    """The cues of a file. Raises BadFile."""
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    if not re.match(r"WEBVTT(?:[ \t].*)?\Z", lines[0]):
        raise BadFile("The file does not begin with WEBVTT.")
    found: list[Cue] = []
    for first, block in _blocks(lines):
        found += _cues(first, block, len(found))
        if len(found) > MAX_CUES:
            raise BadFile(f"The file has more than {MAX_CUES} cues.")
    return found


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, lines) of the blocks below the header, NOTE and STYLE left out."""
    at = 1
    while at < len(lines) and lines[at].strip() and "-->" not in lines[at]:
        at += 1
    while at < len(lines):
        end = at
        while end < len(lines) and lines[end].strip():
            end += 1
        block = lines[at:end]
        if block and not (block[0].split()[0] in _BLOCKS and "-->" not in block[0]):
            yield at + 1, block
        at = end + 1


def _cues(first: int, block: list[str], number: int) -> list[Cue]:
    """The cues of a block: a new timing without a blank line above begins a new cue."""
    found: list[Cue] = []
    for offset, line in enumerate(block):
        if "-->" in line:
            found.append(_cue(line, first + offset, number + len(found)))
        elif found:
            found[-1].lines.append(line)
        elif offset > 0:
            raise BadFile(f"Line {first} begins a cue without a timing.")
    if not found:
        raise BadFile(f"Line {first} begins a cue without a timing.")
    return found


def _cue(line: str, at: int, number: int) -> Cue:
    match = _TIMING.match(line)
    if match is None:
        raise BadFile(f"Line {at} is no timing.")
    start, end = _milliseconds(match.groups()[:4]), _milliseconds(match.groups()[4:])
    if start is None or end is None or end < start:
        raise BadFile(f"Line {at} is no span of time.")
    return Cue(number, start, end, [])


def _milliseconds(parts: tuple[str | None, ...]) -> int | None:
    hours, minutes, seconds = (int(part or 0) for part in parts[:3])
    if minutes > 59 or seconds > 59:
        return None
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((parts[3] or "0").ljust(3, "0"))


def voices(cue: Cue) -> list[tuple[str | None, str]]:
    """(speaker, text) of the voice spans of a cue, in order; one without a speaker if there is none."""
    pieces = _VOICE.split("\n".join(cue.lines))
    spans = [(None, pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    shown = [(name and html.unescape(name).strip(), _shown(text)) for name, text in spans]
    return [(name, text) for name, text in shown if text]


def _shown(text: str) -> str:
    plain = html.unescape(_TAG.sub("", text)).replace("\u200e", "").replace("\u200f", "")
    return clean("\n".join(line.strip() for line in plain.split("\n"))).strip()


def parse(request: InboundRequest, settings: WebVttSettings, _: Context) -> Parsed:
    parsed = Parsed()
    digest = sha256(request.body).hexdigest()
    call = calls.told(request, "conversation_key") or digest
    try:
        text = request.body.decode("utf-8")
        cues = cues_of(text)
    except UnicodeDecodeError:
        parsed.lose("invalid_webvtt", "The file is not UTF-8.")
        return parsed
    except BadFile as error:
        parsed.lose("invalid_webvtt", str(error))
        return parsed
    began = calls.instant(calls.told(request, "started_at"))
    spoken = _language(text)
    for cue in cues:
        for part, (name, said) in enumerate(voices(cue)):
            role = "agent" if _is_agent(name, settings) else "customer"
            key = f"{digest}:{cue.number}" + (f":{part}" if part else "")
            event = calls.utterance(
                call,
                key,
                said,
                role=role,
                index=cue.number,
                start_ms=cue.start_ms,
                end_ms=cue.end_ms,
                began_us=began,
                author=Author(role=role, name=name),
                speaker=name,
                language=spoken,
                vendor={"file_sha256": digest, "cue": str(cue.number)},
            )
            parsed.events.append(event)
    if not parsed.events:
        parsed.note("silence", "The file has no cues.")
    return parsed


def _is_agent(name: str | None, settings: WebVttSettings) -> bool:
    if name in settings.agent_names:
        return True
    return bool(settings.customer_names) and name not in settings.customer_names


def _language(text: str) -> str | None:
    found = re.match(
        r"[^\n\r]*(?:\r\n|\n|\r)(?:[^\n\r]+(?:\r\n|\n|\r)){0,5}?Language:[ \t]*(\S{2,12})", text
    )
    return calls.language(found[1]) if found else None


URL = "https://omniroute.example/v1/workspaces/demo/connectors/uploads/inbound/a-long-random-word"
_FILE = """\
WEBVTT
Language: en

NOTE A call of ours

1
00:00:00.500 --> 00:00:02.000 align:start
<v Acme>Good morning.</v>

00:00:02.000 --> 00:00:05.250
<v Kim Example>My invoice is <b>wrong</b> &amp; late.</v>
"""


def upload(text: str, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A file of ours as somebody would post it."""
    headers = (("Content-Type", "text/vtt"),)
    return InboundRequest("POST", url, headers, text.encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    segment = interactions.TRANSCRIPT_SEGMENT
    url = URL + "?conversation_key=call-1&started_at=2026-03-02T09:10:00Z"
    return (Example("call", upload(_FILE, at_us, url=url), {}, (segment, segment)),)


CONNECTOR = Connector(
    kind="webvtt",
    channel="phone",
    title="WebVTT upload",
    setup=SETUP,
    signature=Unsigned(),
    parse=parse,
    examples=examples,
    settings=WebVttSettings,
    answers=Answers(unusable=Answer(422)),
    retry_horizon_s=3650 * DAY_S,
    max_body_bytes=8 * 1024 * 1024,
    covers_body=False,
)
