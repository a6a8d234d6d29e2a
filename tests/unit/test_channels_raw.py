"""What is kept of a vendor's request: everything a codec reads, nothing that opens a door."""

import msgspec
import pytest

from services.channels.connectors.port import InboundRequest
from services.channels.raw import RawRequest, raw_record, raw_request, read_raw

BASE = "https://omni.example/v1/workspaces/acme/connectors/c/inbound"


def kept(url: str, *headers: tuple[str, str]) -> RawRequest:
    return raw_request(InboundRequest("POST", url, headers, b"{}", 7), "c", None)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"{BASE}/s3cr3t-path", f"{BASE}/…"),
        (f"{BASE}/s3cr3t-path?conversation_key=77", f"{BASE}/…?conversation_key=77"),
        (f"{BASE}?key=s3cr3t&from=1&api_key=s3cr3t", f"{BASE}?key=…&from=1&api_key=…"),
        (f"{BASE}?sig=s3cr3t&started_at=x", f"{BASE}?sig=…&started_at=x"),
    ],
)
def test_an_address_loses_its_secrets_and_keeps_what_codecs_read(url: str, shown: str) -> None:
    assert kept(url).url == shown


def test_credentials_in_headers_are_left_out() -> None:
    given = (
        ("Content-Type", "text/vtt"),
        ("Authorization", "Bearer s3cr3t"),
        ("X-Api-Key", "s3cr3t"),
        ("X-Hub-Signature-256", "sha256=s3cr3t"),
        ("X-Slack-Retry-Num", "1"),
    )
    raw = kept(BASE, *given)
    assert [name for name, _ in raw.headers] == ["Content-Type", "X-Slack-Retry-Num"]
    assert raw.request(b"{}").header("content-type") == "text/vtt"


def test_a_record_is_read_by_its_connector_and_workspace_alone() -> None:
    raw = kept(BASE)
    sent = raw_record(raw, "acme", 3)
    assert read_raw(sent, "acme", "c") == raw
    assert read_raw(sent, "acme", "d") is None and read_raw(sent, "other", "c") is None
    assert read_raw(msgspec.structs.replace(sent, value=None), "acme", "c") is None
