"""Every sample of the chat, social and generic kinds, through preview, is what it says it is."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.channels.connectors.preview import preview
from services.channels.connectors.reading import moment
from shared.contracts.instants import format_instant, parse_instant

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "webhooks"
NOW_US = 1_772_442_000_000_000

KINDS = {
    "telegram_": "telegram",
    "line_": "line",
    "slack_": "slack",
    "teams_": "teams",
    "twilio_sms_": "twilio_sms",
    "twilio_form_": "twilio_sms",
    "twilio_http": "twilio_sms",
    "twilio_json_": "twilio_sms",
    "twilio_url_": "twilio_sms",
    "intercom_": "intercom",
    "zendesk_": "zendesk",
    "sunshine_": "sunshine",
    "messagebird_": "messagebird",
    "instagram_": "instagram",
    "tiktok_": "tiktok",
    "x_activity_": "x_activity",
    "x_account_activity_": "x_account_activity",
    "mastodon_": "mastodon",
    "bluesky_": "bluesky_jetstream",
    "youtube_": "youtube_comments",
    "standardwebhooks_": "standard_webhooks",
    "svix_": "standard_webhooks",
    "hub_signature_": "hub_signature",
}
SECRETS = {
    "line": "channel_secret",
    "slack": "signing_secret",
    "twilio_sms": "auth_token",
    "standard_webhooks": "signing_secret",
    "hub_signature": "secret",
}


def cases() -> list[Any]:
    found = []
    for path in sorted(SAMPLES.glob("*.json")) if SAMPLES.is_dir() else []:
        kind = next((k for prefix, k in KINDS.items() if path.name.startswith(prefix)), None)
        if kind is not None:
            found.append(pytest.param(kind, json.loads(path.read_text()), id=path.stem))
    return found


CASES = cases()


def shown(kind: str, case: dict[str, Any]) -> dict[str, Any]:
    wanted = case["expected"]
    received = wanted.get("verify_at")
    now_us = _happened(wanted) or NOW_US if received is None else int(received) * 1_000_000
    secret = case.get("secret")
    return preview(
        {
            "kind": kind,
            "secrets": {SECRETS[kind]: secret} if secret else {},
            "method": "POST",
            "url": case.get("url") or "https://omniroute.example/inbound",
            "headers": [[name, value] for name, value in case["headers"].items()],
            "body_base64": base64.b64encode(case["body"].encode()).decode(),
            "received_at": format_instant(now_us),
        },
        workspace="acme",
        now_us=NOW_US,
        languages=("de", "en"),
    )


def _happened(wanted: dict[str, Any]) -> int | None:
    names = ("occurred_at", "occurred_at_unix", "occurred_at_ms", "first_occurred_at_ms")
    return next((at for name in names if (at := moment(wanted, name)) is not None), None)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_a_sample_is_what_it_says(kind: str, case: dict[str, Any]) -> None:
    wanted, answer = case["expected"], shown(kind, case)
    if "signature_valid" in wanted:
        assert answer["verdict"] == ("valid" if wanted["signature_valid"] else "invalid")
        return
    assert answer["verdict"] == "none"
    assert answer["answer"]["status"] == wanted.get("http_status", 200)
    if "respond_with" in wanted:
        assert answer["answer"]["body"] == wanted["respond_with"]
        return
    if wanted.get("ignore") is True:
        assert answer["events"] == []
        return
    if "event_count" in wanted:
        return
    assert len(answer["events"]) == 1
    for name, check in CHECKS.items():
        if name in wanted:
            check(answer["events"][0], wanted[name])
    assert [p["code"] for p in answer["problems"]] == []


Event = dict[str, Any]


def _key(event: Event, wanted: Any) -> None:
    parts = wanted if isinstance(wanted, list) else [wanted]
    assert all(part is None or part in event["data"]["vendor"].values() for part in parts)


def _thread(event: Event, wanted: Any) -> None:
    parts = wanted if isinstance(wanted, list) else [wanted]
    assert all(str(part) in event["data"]["conversation_key"] for part in parts)


def _time(event: Event, wanted: Any) -> None:
    at = moment({"at": wanted}, "at")
    assert at is not None and parse_instant(event["time"]) == at


def _field(name: str) -> Callable[[Event, Any], None]:
    def check(event: Event, wanted: Any) -> None:
        assert event["data"].get(name) == wanted

    return check


def _vendor(name: str) -> Callable[[Event, Any], None]:
    def check(event: Event, wanted: Any) -> None:
        assert event["data"]["vendor"].get(name) == wanted

    return check


def _author(event: Event, wanted: Any) -> None:
    assert event["data"]["author"]["id"] == wanted


def _ours(event: Event, wanted: Any) -> None:
    assert event["data"]["direction"] == "outbound" and "echo" in event["data"]["flags"]


def _standby(event: Event, wanted: Any) -> None:
    assert "standby" in event["data"]["flags"]


def _priority(event: Event, wanted: Any) -> None:
    assert event["data"]["attributes"]["priority"] == wanted


CHECKS: dict[str, Callable[[Event, Any], None]] = {
    "idempotency_key": _key,
    "version_key": _key,
    "order_key": _key,
    "message_id": _key,
    "thread_key": _thread,
    "author": _author,
    "text": _field("text"),
    "subject": _field("subject"),
    "language": _field("language"),
    "in_reply_to": _field("in_reply_to"),
    "occurred_at": _time,
    "occurred_at_unix": _time,
    "occurred_at_ms": _time,
    "ignore": _ours,
    "standby": _standby,
    "priority": _priority,
    "for_user": _vendor("for_user_id"),
    "event_type": _vendor("event_type"),
    "conversation_type": _vendor("conversation_type"),
    "to": _vendor("recipient"),
    "kind": _vendor("kind"),
}


@pytest.mark.skipif(not CASES, reason="the vendors' samples are not here")
def test_the_samples_are_many() -> None:
    assert len(CASES) >= 50


@pytest.mark.skipif(not CASES, reason="the vendors' samples are not here")
def test_every_event_of_a_line_payload_counts_although_they_share_an_id() -> None:
    case = json.loads((SAMPLES / "line_webhook_28_events.json").read_text())
    answer, wanted = shown("line", case), case["expected"]
    kinds = [event["type"] for event in answer["events"]]
    assert kinds.count("interaction.message_edited.v1") == 1
    assert kinds.count("interaction.message_deleted.v1") == 1
    said = [e for e in answer["events"] if e["data"]["vendor"]["type"] == "message"]
    assert len(said) == wanted["message_events"]
    assert said[0]["data"]["text"] == wanted["first_text"]
    assert moment(said[0], "time") == wanted["first_occurred_at_ms"] * 1000
    assert len(answer["events"]) + len(answer["problems"]) == wanted["event_count"]
    assert len({event["id"] for event in answer["events"]}) == len(answer["events"])
    assert any("redelivered" in event["data"]["flags"] for event in said)
