"""The commonest payloads, read in one pass: never another result than the general reading's."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.channels.connectors import registry
from services.channels.connectors.chat import (
    slack,
    slack_text,
    whatsapp_cloud,
    whatsapp_examples,
    whatsapp_text,
)
from services.channels.connectors.handling import assemble
from services.channels.connectors.port import Context, InboundRequest, Parsed, Settings

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "webhooks"
NOW_US = 1_772_442_000_000_000
CONTEXT = Context("acme", "main", NOW_US, "chat")
WHATSAPP: Any = whatsapp_cloud.WhatsAppSettings()
SLACK: Any = slack.SlackSettings()


def usual(kind: str, body: bytes) -> bool:
    """Whether the body is read in one pass."""
    if kind == "slack":
        return slack_text.text_message(body, ()) is not None
    return whatsapp_text.text_message(body, None) is not None


def bytes_of(kind: str, parsed: Parsed) -> list[Any]:
    connector = registry.get(kind)
    events = assemble(connector, parsed, CONTEXT, ())
    found = [msgspec.to_builtins(event.envelope) for event in events]
    return [found, parsed.problems, [event.thread_candidates for event in events], parsed.wanted]


def same(kind: str, body: bytes, chosen: Any = None, *headers: tuple[str, str]) -> Parsed:
    """Both readings come to the same; returns what it is."""
    module, given_settings = (slack, SLACK) if kind == "slack" else (whatsapp_cloud, WHATSAPP)
    chosen = chosen or given_settings
    request = InboundRequest("POST", "https://a.example/x", headers, body, NOW_US)
    parsed = registry.get(kind).parse(request, chosen, CONTEXT)
    general = module.read_whole(request, chosen)
    assert parsed == general
    assert bytes_of(kind, parsed) == bytes_of(kind, general)
    return parsed


def whatsapp(**changes: Any) -> dict[str, Any]:
    raw = whatsapp_examples.message("wamid.1", "text", {"body": "My invoice is wrong"}, NOW_US)
    return whatsapp_examples.payload_of("messages", {**raw, **changes})


def slack_payload(**changes: Any) -> dict[str, Any]:
    ts = "1772442000.000100"
    message = {
        "type": "message", "user": "U1", "text": "My invoice is wrong", "channel": "C1",
        "channel_type": "channel", "ts": ts, "event_ts": ts, "team": "T1", "client_msg_id": "c-1",
        "blocks": [{"type": "rich_text", "elements": [{"type": "text", "text": "My invoice"}]}],
    }  # fmt: skip
    return {
        "token": "-", "team_id": "T1", "api_app_id": "A1", "event": {**message, **changes},
        "type": "event_callback", "event_id": "Ev1", "event_time": 1772442000,
        "authorizations": [{"team_id": "T1", "is_bot": True}], "is_ext_shared_channel": False,
    }  # fmt: skip


PAYLOADS = {"whatsapp_cloud": whatsapp, "slack": slack_payload}
KINDS = sorted(PAYLOADS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["Hello", "Grüße <@U2> &amp; 👍", "x" * 200_001, "a\x00b", "\x00"])
def test_a_text_message_is_read_alike(kind: str, text: str) -> None:
    said = {"text": text} if kind == "slack" else {"text": {"body": text}}
    body = json.dumps(PAYLOADS[kind](**said)).encode()
    assert usual(kind, body) == ("\x00" not in text and len(text) <= 200_000)
    assert len(same(kind, body).events) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_example_is_read_alike(kind: str) -> None:
    assert [same(kind, one.request.body).events for one in registry.get(kind).examples()]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_of_any_vendor_is_read_alike(kind: str) -> None:
    files = [path for path in sorted(SAMPLES.glob("*.json")) if path.name != "index.json"]
    found = {path.stem: str(json.loads(path.read_text())["body"]).encode() for path in files}
    for body in found.values():
        same(kind, body)
    texts = {
        "slack": ["slack_event_message"],
        "whatsapp_cloud": ["whatsapp_message_reply", "whatsapp_message_text"],
    }
    assert set(texts[kind]) <= {name for name, body in found.items() if usual(kind, body)}


def test_settings_that_say_more_are_heeded() -> None:
    body = json.dumps(slack_payload()).encode()
    ours = slack.SlackSettings(bot_user_id="U1")
    assert same("slack", body, ours).events[0].flags == ["echo"]
    assert same("slack", body, slack.SlackSettings(agents=("U1",))).events[0].author.role == "agent"
    again = same("slack", body, None, ("X-Slack-Retry-Num", "1"))
    assert again.events[0].flags == ["redelivered"]
    other: Settings = whatsapp_cloud.WhatsAppSettings(phone_number_id="1")
    assert same("whatsapp_cloud", json.dumps(whatsapp()).encode(), other).problems


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


ODD = [
    None, True, 0, -1, 7, 1.5, 2**63, 10**31, "", " ", "7", " 7 ", "-7", "٣", "99999999999",
    "C1", "im", "x" * 513, "a\x00", "\ud800", [], {}, [1], {"id": "y"}, [[]], [{}, {}],
    {"name": "N", "username": "u"}, {"body": "b"},
]  # fmt: skip
FIELDS = [
    "context", "from", "from_user_id", "group_id", "errors", "referral", "type", "id", "statuses",
    "user_id", "username", "subtype", "thread_ts", "files", "bot_id", "user_profile", "hidden",
    "deleted_ts", "edited", "team", "ts", "event_ts", "username", "contacts", "entry",
]  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A payload of text with a few things put in, taken out or made something else."""
    kind = draw(st.sampled_from(KINDS))
    payload = copy.deepcopy(PAYLOADS[kind]())
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([p for p in places(payload) if p]))
        holder: Any = payload
        for key in path[:-1]:
            holder = holder[key]
        odd = copy.deepcopy(draw(st.sampled_from(ODD)))
        if draw(st.booleans()) or not isinstance(holder, dict):
            holder[path[-1]] = odd
        elif draw(st.booleans()):
            del holder[path[-1]]
        else:
            holder[draw(st.sampled_from(FIELDS))] = odd
        if not payload:
            break
    return kind, json.dumps(payload, ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )


@settings(max_examples=400, deadline=None)
@given(bodies())
def test_whatever_is_different_is_read_alike(case: tuple[str, bytes]) -> None:
    same(*case)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 900), byte=st.integers(0, 255))
@example(at=0, byte=0xEF)
def test_a_damaged_body_is_read_alike(kind: str, at: int, byte: int) -> None:
    body = bytearray(json.dumps(PAYLOADS[kind]()).encode())
    body[at % len(body)] = byte
    same(kind, bytes(body))


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_come_twice_and_bodies_that_are_cut_are_read_alike(kind: str) -> None:
    body = json.dumps(PAYLOADS[kind]()).encode()
    twice = body.replace(b'"type": ', b'"type": "system", "type": ', 1)
    for one in (twice, b"\xef\xbb\xbf" + body, body[:-1], body + b"}", body + b" \n", b"", b"[]"):
        same(kind, one)


def test_nesting_too_deep_is_told() -> None:
    deep: Any = "x"
    for _ in range(70):
        deep = [deep]
    parsed = same("slack", json.dumps(slack_payload(blocks=deep)).encode())
    assert [problem.code for problem in parsed.problems] == ["too_deep"]
