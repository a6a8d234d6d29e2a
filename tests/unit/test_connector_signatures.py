"""Signature schemes against the vendors' published vectors, and against forgery."""

import hashlib
import json
from pathlib import Path

import pytest

from services.channels.connectors.port import InboundRequest
from services.channels.connectors.signatures import (
    HUB_SIGNATURE_256,
    BodyHmac,
    StandardWebhooks,
    StaticToken,
    TwilioSignature,
    Unsigned,
    digest,
)

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "webhooks"
SCHEMES = {
    "twilio_": (TwilioSignature(), "auth_token"),
    "hub_": (HUB_SIGNATURE_256, "app_secret"),
    "whatsapp_": (HUB_SIGNATURE_256, "app_secret"),
    "standardwebhooks_": (StandardWebhooks(), "signing_secret"),
    "svix_": (StandardWebhooks(headers="svix"), "signing_secret"),
    "line_": (
        BodyHmac("channel_secret", "X-Line-Signature", encoding="base64"),
        "channel_secret",
    ),
    "slack_": (
        BodyHmac(
            "signing_secret",
            "X-Slack-Signature",
            prefix="v0=",
            message="v0:{timestamp}:{body}",
            timestamp_header="X-Slack-Request-Timestamp",
        ),
        "signing_secret",
    ),
}


def vectors() -> list[tuple[str, dict[str, object]]]:
    found = []
    for path in sorted(SAMPLES.glob("*.json")) if SAMPLES.is_dir() else []:
        case = json.loads(path.read_text())
        wanted = isinstance(case, dict) and "signature_valid" in (case.get("expected") or {})
        if wanted and path.name.startswith(tuple(SCHEMES)):
            found.append((path.stem, case))
    return found


def request_of(case: dict[str, object], **changes: object) -> InboundRequest:
    expected = case["expected"]
    headers = case["headers"]
    assert isinstance(expected, dict) and isinstance(headers, dict)
    values = {
        "method": str(case["method"]),
        "url": str(case.get("url") or "https://example.com/"),
        "headers": tuple(headers.items()),
        "body": str(case["body"]).encode(),
        "received_at_us": int(expected.get("verify_at") or 0) * 1_000_000,
        **changes,
    }
    return InboundRequest(**values)  # type: ignore[arg-type]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the vendors' samples are not here")
def test_the_published_vectors_hold() -> None:
    seen = 0
    for name, case in vectors():
        scheme, secret = next(s for p, s in SCHEMES.items() if name.startswith(p))
        verdict = scheme.verify(request_of(case), {secret: (str(case["secret"]),)})
        wanted = "valid" if case["expected"]["signature_valid"] else "invalid"  # type: ignore[index]
        assert verdict == wanted, name
        if wanted == "valid":
            rotated = {secret: ("another", str(case["secret"]))}
            assert scheme.verify(request_of(case), rotated) == "valid", name
            forged = request_of(case, body=request_of(case).body + b"&x=1")
            assert scheme.verify(forged, {secret: (str(case["secret"]),)}) == "invalid", name
        seen += 1
    assert seen >= 18


def twilio(url: str, signed_url: str, body: bytes = b"a=1&b=2") -> str:
    scheme = TwilioSignature()
    signature = scheme.sign("token", signed_url, [("a", "1"), ("b", "2")])
    headers = (
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-twilio-signature", signature),
    )
    request = InboundRequest("POST", url, headers, body, 0)
    return scheme.verify(request, {"auth_token": ("token",)})


def test_twilio_signs_the_url_with_or_without_its_port() -> None:
    bare, ported = "https://u:p@a.example/x?y=1", "https://u:p@a.example:443/x?y=1"
    for url in (bare, ported):
        for signed in (bare, ported):
            assert twilio(url, signed) == "valid"
    assert twilio(bare + "#rc=3", bare) == "valid"
    assert twilio("https://b.example/x?y=1", bare) == "invalid"
    assert twilio("https://[broken", bare) == "invalid"


def test_twilio_json_needs_the_hash_of_its_body() -> None:
    scheme, body = TwilioSignature(), b'{"a": 1}'
    for url, wanted in (
        (f"https://a.example/?bodySHA256={hashlib.sha256(body).hexdigest()}", "valid"),
        (f"https://a.example/?bodySHA256={hashlib.sha256(b'{}').hexdigest()}", "invalid"),
        ("https://a.example/", "invalid"),
    ):
        headers = (
            ("Content-Type", "application/json"),
            ("X-Twilio-Signature", scheme.sign("token", url, [])),
        )
        request = InboundRequest("POST", url, headers, body, 0)
        assert scheme.verify(request, {"auth_token": ("token",)}) == wanted


@pytest.mark.parametrize(("age_s", "wanted"), [(0, True), (300, True), (301, False), (-301, False)])
def test_standard_webhooks_judge_age_when_received(age_s: int, wanted: bool) -> None:
    scheme = StandardWebhooks()
    headers = (
        ("Webhook-Id", "m1"),
        ("Webhook-Timestamp", "1000"),
        ("Webhook-Signature", "v1a,zzz " + scheme.sign("c2VjcmV0", "m1", "1000", b"{}")),
    )
    request = InboundRequest("POST", "https://a/", headers, b"{}", (1000 + age_s) * 1_000_000)
    verdict = scheme.verify(request, {"signing_secret": ("whsec_c2VjcmV0",)})
    assert verdict == ("valid" if wanted else "invalid")


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1e9", "1000.5", "9" * 40, "١٠٠٠"])
def test_odd_timestamps_are_refused(stamp: str) -> None:
    scheme = StandardWebhooks()
    headers = (
        ("webhook-id", "m1"),
        ("webhook-timestamp", stamp),
        ("webhook-signature", scheme.sign("k", "m1", stamp, b"")),
    )
    request = InboundRequest("POST", "https://a/", headers, b"", 1000 * 1_000_000)
    assert scheme.verify(request, {"signing_secret": ("k",)}) == "invalid"


def test_an_empty_key_signs_nothing() -> None:
    scheme = StandardWebhooks()
    guessed = "v1," + digest("sha256", b"", b"m1.1000.", "base64")
    assert scheme.sign("whsec_", "m1", "1000", b"") != guessed


def test_a_static_token_and_no_signature() -> None:
    scheme = StaticToken("token", "X-Token")
    right = InboundRequest("POST", "https://a/", (("x-token", "s3"),), b"", 0)
    assert scheme.verify(right, {"token": ("old", "s3")}) == "valid"
    assert scheme.verify(right, {"token": ("other",)}) == "invalid"
    assert scheme.verify(InboundRequest("POST", "", (), b"", 0), {"token": ("s3",)}) == "invalid"
    assert scheme.verify(right, {}) == "none"
    assert Unsigned().verify(right, {"token": ("s3",)}) == "none"


def test_odd_signature_headers_do_not_raise() -> None:
    for given in ("sha256=ü", "\ud800", "sha256=", "x" * 10_000):
        headers = (("X-Hub-Signature-256", given),)
        request = InboundRequest("POST", "https://a/", headers, b"{}", 0)
        assert HUB_SIGNATURE_256.verify(request, {"app_secret": ("s",)}) == "invalid"
