"""The vendors' own samples of phone and e-mail, each through the preview, against what they say."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from services.channels.connectors.preview import preview
from shared.contracts import interactions
from shared.contracts.instants import format_instant, parse_instant

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "webhooks"
KINDS = {
    "assemblyai_": ("assemblyai", None),
    "aws_ses_": ("ses_sns", None),
    "ses_": ("ses_sns", None),
    "sns_": ("ses_sns", None),
    "connect_chat_": ("connect_chat_sns", None),
    "connect_contact_lens_": ("connect_contact_lens", None),
    "aws_connect_": ("connect_contact_lens", None),
    "deepgram_": ("deepgram", None),
    "genesys_audiohook_": ("genesys_audiohook", "client_secret"),
    "http_message_": ("genesys_audiohook", "client_secret"),
    "genesys_transcription_": ("genesys_transcription", None),
    "gmail_": ("gmail_push", None),
    "mailgun_": ("mailgun", "signing_key"),
    "msgraph_": ("msgraph_mail", "client_state"),
    "postmark_": ("postmark", None),
    "retell_": ("retell", "api_key"),
    "sendgrid_": ("sendgrid_inbound", "public_key"),
    "vapi_": ("vapi", None),
    "vcon_": ("vcon", None),
    "webvtt_": ("webvtt", None),
}
SEGMENT, PARTIAL = interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL


def cases() -> list[Any]:
    found = []
    for path in sorted(SAMPLES.glob("*.json")) if SAMPLES.is_dir() else []:
        kind = next((each for prefix, each in KINDS.items() if path.name.startswith(prefix)), None)
        if kind is not None:
            found.append(pytest.param(*kind, json.loads(path.read_text()), id=path.stem))
    return found


def shown(kind: str, secret: str | None, case: dict[str, Any]) -> dict[str, Any]:
    wanted = case["expected"]
    given = case.get("secret") or case.get("public_key")
    asked: dict[str, Any] = {
        "kind": kind,
        "method": case["method"],
        "url": case.get("url") or "https://omniroute.example/inbound",
        "headers": [list(pair) for pair in case["headers"].items()],
        "body_base64": base64.b64encode((case["body"] or "").encode()).decode(),
    }
    if secret and given:
        asked["secrets"] = {secret: [given]}
    if "verify_at_ms" in wanted:
        asked["received_at"] = format_instant(wanted["verify_at_ms"] * 1000)
    return preview(asked, workspace="acme", now_us=parse_instant("2026-11-23T00:00:00Z"))


@pytest.mark.parametrize(("kind", "secret", "case"), cases())
def test_a_sample_becomes_what_it_says(kind: str, secret: str | None, case: dict[str, Any]) -> None:
    answer = shown(kind, secret, case)
    wanted = case["expected"]
    data = [event["data"] for event in answer["events"]]
    types = [event["type"] for event in answer["events"]]
    everything = json.dumps(answer, ensure_ascii=False)
    assert len({event["id"] for event in answer["events"]}) == len(data)
    assert data or answer["problems"] or "respond_with" in wanted or kind == "genesys_audiohook"
    if "signature_valid" in wanted:
        assert answer["verdict"] == ("valid" if wanted["signature_valid"] else "invalid")
    if "client_state_valid" in wanted:
        assert (answer["verdict"] == "valid") == wanted["client_state_valid"]
    if "http_status" in wanted:
        assert answer["answer"]["status"] == wanted["http_status"]
    if "respond_with" in wanted:
        assert answer["answer"]["body"] == wanted["respond_with"]
        assert wanted["response_content_type"] in dict(answer["answer"]["headers"])["Content-Type"]
    if "malformed" in wanted or wanted.get("valid") is False:
        assert data == [] and answer["problems"]
        return
    for name in ("idempotency_key", "mailbox", "history_id", "replay_token", "sns_message_id"):
        value = wanted.get(name)
        for part in value if isinstance(value, list) else [value]:
            assert part is None or part in everything
    if wanted.get("must_fetch") or wanted.get("must_fetch_transcript"):
        assert [problem["code"] for problem in answer["problems"]] == ["must_fetch"]
    for name in ("thread_key", "conversation_key"):
        assert name not in wanted or {d["conversation_key"] for d in data} == {wanted[name]}
    if "occurred_at" in wanted:
        assert parse_instant(data[0]["vendor"]["absolute_time"]) == parse_instant(
            wanted["occurred_at"]
        )
    if "utterance_start_ms" in wanted:
        assert data[0]["vendor"]["utterance_start_ms"] == wanted["utterance_start_ms"]
    check_words(wanted, data, types)
    check_mail(wanted, data)
    check_counts(wanted, data, types, answer)


def check_words(wanted: dict[str, Any], data: list[dict[str, Any]], types: list[str]) -> None:
    if wanted.get("text") is not None:
        assert data[0]["text"] == wanted["text"]
    if wanted.get("final") is not None:
        assert types == [SEGMENT if wanted["final"] else PARTIAL]
    if "start" in wanted:
        segment = data[0]["segment"]
        assert segment["start_ms"] == round(wanted["start"] * 1000)
        assert segment["end_ms"] == round((wanted["start"] + wanted["duration"]) * 1000)
    if "final_texts" in wanted:
        assert [d["text"] for d, t in zip(data, types, strict=True) if t == SEGMENT] == wanted[
            "final_texts"
        ]
    if "channel" in wanted:
        assert data[0]["vendor"]["channel"] == wanted["channel"]
    if "author" in wanted:
        assert data[0]["author"]["id"] == wanted["author"]
    if "author_role" in wanted:
        assert data[0]["author"]["role"] == wanted["author_role"].lower()
        assert data[0]["author"]["name"] == wanted["author_name"]
    if "speaker" in wanted:
        assert data[0]["author"]["role"] == "customer"
    if wanted.get("is_final_for_contact"):
        assert types == [interactions.CONVERSATION_ENDED]


def check_mail(wanted: dict[str, Any], data: list[dict[str, Any]]) -> None:
    if "from" not in wanted:
        return
    (mail,) = data
    assert mail["email"]["from"][0]["address"] == wanted["from"]
    assert mail["subject"] == wanted.get("subject", wanted.get("subject_field"))
    if "message_id" in wanted:
        assert f"<{mail['email']['message_id']}>" == wanted["message_id"]
    if "to" in wanted:
        assert [each["address"] for each in mail["email"]["to"]] == wanted["to"]
    if "date" in wanted:
        assert parse_instant(mail["email"]["date"]) == parse_instant(wanted["date"])
    for name, key in (("body_text", "text"), ("reply_text", "reply_text")):
        assert name not in wanted or mail[key] == wanted[name]
    for name in ("envelope_from", "envelope_to", "mailbox_hash"):
        assert name not in wanted or mail["vendor"][name] == wanted[name]
    if "attachments" in wanted:
        assert len(mail["attachments"]) == wanted["attachments"]
    if "spam_score" in wanted:
        assert float(mail["vendor"]["spam_score"]) == wanted["spam_score"]


def check_counts(
    wanted: dict[str, Any], data: list[dict[str, Any]], types: list[str], answer: dict[str, Any]
) -> None:
    for name, kind in (("utterances", PARTIAL), ("transcripts", SEGMENT), ("turns", SEGMENT)):
        assert name not in wanted or types.count(kind) == wanted[name]
    if "cues" in wanted:
        assert types == [SEGMENT] * wanted["cues"]
    if "sentiments" in wanted:
        found = [d["vendor"]["sentiment"] for d in data if "sentiment" in d["vendor"]]
        assert found == wanted["sentiments"]
        assert sum("categories" in d["attributes"] for d in data) == wanted["categories"]
    if "form" in wanted:
        assert {d["vendor"]["form"] for d in data} == {wanted["form"]}
        assert wanted["dialogs"] in (None, len(data))
        assert wanted["dialog_types"] in (None, [d["vendor"]["type"] for d in data])
        assert wanted["uuid"] in (None, *(d["conversation_key"] for d in data))
        assert wanted["parties"] in (None, *(d["vendor"]["parties"] for d in data))
        assert answer["verdict"] == "none"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the vendors' samples are not here")
def test_all_samples_of_these_kinds_are_seen() -> None:
    assert len(cases()) >= 46
