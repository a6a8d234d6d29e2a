"""What the payloads of each e-mail provider mean, beyond what the conformance suite asks."""

import base64
import json
from typing import Any

import jwt
import pytest

from services.channels.connectors import registry, sns
from services.channels.connectors.credentials import basic_header
from services.channels.connectors.email import gmail_push, mailgun, msgraph_mail, sendgrid_inbound
from services.channels.connectors.email.bodies import File
from services.channels.connectors.email.mime import parse_mail
from services.channels.connectors.email.provided import header_lines, rebuilt
from services.channels.connectors.forms import fields_of
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest, Parsed, Secrets
from services.channels.connectors.public_keys import example_key, public_keys, sns_host
from shared.contracts import interactions
from shared.contracts.interactions import Delivery, Interaction

NOW_US = 1_772_442_000_000_000  # 2026-03-02T09:00:00Z
URL = "https://a.example/inbound"


def handled_by(
    kind: str, request: InboundRequest, secrets: Secrets | None = None, **settings: Any
) -> Handled:
    connector = registry.get(kind)
    chosen = connector.settings(**settings)
    return handle(
        connector, chosen, secrets or {}, request, connector_id="m", workspace="w", trial=True
    )


def post(kind: str, payload: Any, *headers: tuple[str, str], **more: Any) -> Handled:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = headers or (("Content-Type", "application/json"),)
    return handled_by(kind, InboundRequest("POST", URL, given, body, NOW_US), **more)


def only(handled: Handled) -> Interaction:
    assert [p.code for p in handled.problems] == [] and len(handled.events) == 1
    return handled.events[0].interaction


def codes(handled: Handled) -> list[str]:
    return [problem.code for problem in handled.problems]


# --- pieces put together ------------------------------------------------------------------------


def test_pieces_become_the_mail_they_were() -> None:
    files = [
        File(b"\x00\xff", "application/pdf", "Rechnung März;1.pdf"),
        File(b"From: a@b\r\n\r\nx", "message/rfc822", "old.eml"),
        File(b"png", "image/png", None, True, "logo@x"),
    ]
    head = [
        ("From", "Käthe <k@example.org>"),
        ("Subject", "Grüße\r\nBcc: x@y"),
        ("Content-Type", "x/y"),
    ]
    raw = rebuilt(head, "Guten Tag 😀", "<p>Guten Tag</p>", files)
    mail = parse_mail(raw, Parsed())
    assert (mail.sender[0].name, mail.subject) == ("Käthe", "Grüße Bcc: x@y")
    assert (mail.text, mail.html) == ("Guten Tag 😀", "<p>Guten Tag</p>")
    assert [(a.name, a.size) for a in mail.attachments] == [
        ("Rechnung März;1.pdf", 2), ("old.eml", 14), (None, 3),
    ]  # fmt: skip
    assert mail.attachments[2].content_id == "logo@x"
    assert rebuilt(head, "Guten Tag 😀", "<p>Guten Tag</p>", files) == raw


def test_header_blocks_are_unfolded() -> None:
    assert header_lines("A: 1\r\n 2\nB: 3\nno header\n") == [("A", "1 2"), ("B", "3")]


@pytest.mark.parametrize("body", [b"", b"--x", b"--x--", b"junk", b"--x\r\n\r\n--x--\r\n"])
def test_broken_forms_are_no_fields(body: bytes) -> None:
    headers = (("Content-Type", "multipart/form-data; boundary=x"),)
    assert not fields_of(InboundRequest("POST", URL, headers, body, 0))


def test_files_of_a_form_keep_their_bytes() -> None:
    body = sendgrid_inbound.multipart([('f"; filename="a.bin', b"\r\n\x00--xYzZ\r\n")])
    headers = (("Content-Type", 'multipart/form-data; boundary="xYzZY"'),)
    (found,) = fields_of(InboundRequest("POST", URL, headers, body, 0)) or []
    assert (found.filename, found.content) == ("a.bin", b"\r\n\x00--xYzZ\r\n")


@pytest.mark.parametrize("name", ["Rechnung März.pdf", "报价.pdf", "счёт; 2.pdf"])
def test_a_file_may_have_any_name(name: str) -> None:
    body = sendgrid_inbound.multipart([(f'attachment1"; filename="{name}', b"PDF")])
    headers = (("Content-Type", 'multipart/form-data; boundary="xYzZY"'),)
    (found,) = fields_of(InboundRequest("POST", URL, headers, body, 0)) or []
    assert (found.name, found.filename, found.content) == ("attachment1", name, b"PDF")


# --- SendGrid, Mailgun, Postmark ----------------------------------------------------------------


def test_sendgrid_fields_are_in_their_own_charset() -> None:
    example = registry.get("sendgrid_inbound").examples()[0]
    data = only(handled_by("sendgrid_inbound", example.request))
    assert data.text == "Die Rechnung für März ist falsch."
    assert [a.name for a in data.attachments] == ["invoice.txt"]
    assert data.vendor["envelope_to"] == ["help@acme.example"]


def test_a_timestamp_of_the_future_is_refused() -> None:
    for kind, secrets in (("sendgrid_inbound", "public_key"), ("mailgun", "signing_key")):
        example = registry.get(kind).examples()[0]
        early = InboundRequest("POST", example.request.url, example.request.headers,
                               example.request.body, NOW_US - 3_600_000_000)  # fmt: skip
        assert handled_by(kind, early, example.secrets).verdict == "invalid"
        assert secrets in example.secrets


def test_mailgun_hands_over_files_and_names_those_that_stay() -> None:
    headers = (("Content-Type", "multipart/form-data; boundary=xYzZY"),)
    parts = [
        ("from", b"kim@example.org"),
        ("subject", b"Photo"),
        ("body-plain", b"Look"),
        ("content-id-map", b'{"<cid1>": "attachment-1"}'),
        ('attachment-1"; filename="a.png', b"png"),
        ("attachments", b'[{"url": "https://mg.example/1", "name": "b.pdf", "size": 9}]'),
    ]
    handled = post("mailgun", sendgrid_inbound.multipart(parts), *headers)
    first, second = only(handled).attachments
    assert (first.name, first.inline, first.content_id) == ("a.png", True, "cid1")
    assert (second.url, second.size, second.sha256) == ("https://mg.example/1", 9, None)


def test_mailgun_tells_what_became_of_a_mail() -> None:
    example = registry.get("mailgun").examples()[2]
    data = only(handled_by("mailgun", example.request, example.secrets))
    assert data.delivery_status == Delivery("ours@acme.example", "failed", "No such mailbox")
    assert registry.get("mailgun").answers.bad_signature.status == 401, "406 would discard the mail"


@pytest.mark.parametrize(
    ("word", "verdict"), [("u:p", "valid"), ("u:x", "invalid"), ("", "invalid")]
)
def test_postmarks_password(word: str, verdict: str) -> None:
    connector = registry.get("postmark")
    request = connector.examples()[0].request
    headers = (*request.headers, basic_header(word)) if word else request.headers
    asked = InboundRequest("POST", request.url, headers, request.body, NOW_US)
    handled = handled_by("postmark", asked, {"basic_auth": ("old:1", "u:p")})
    assert handled.verdict == verdict
    assert connector.answers.bad_signature.status == 401, "403 would stop Postmark"
    in_url = InboundRequest(
        "POST", "https://u:p@a.example/x", request.headers, request.body, NOW_US
    )
    assert handled_by("postmark", in_url, {"basic_auth": ("u:p",)}).verdict == "valid"


def test_postmarks_mailbox_hash_names_the_conversation() -> None:
    example = registry.get("postmark").examples()[0]
    event = handled_by("postmark", example.request).events[0]
    assert event.thread_candidates[0] == "token:T-1"
    assert event.interaction.email is not None
    assert event.interaction.email.sender[0].name == "Kim Example"


# --- Amazon -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://sns.eu-central-1.amazonaws.com/x", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/x", True),
        ("http://sns.eu-central-1.amazonaws.com/x", False),
        ("https://sns.eu-central-1.amazonaws.com.evil.example/x", False),
        ("https://sns.eu-central-1.amazonaws.com@evil.example/x", False),
        ("https://sns.eu-central-1.amazonaws.com:8443/x", False),
        ("https://evil.example/sns.eu-central-1.amazonaws.com", False),
        (None, False),
    ],
)
def test_only_amazons_hosts_count(url: str | None, good: bool) -> None:
    assert sns_host(url) is good


SNS_SECRETS = {"signing_certificate": (example_key()[1],)}
MAIL = {
    "mail": {"messageId": "m1"},
    "content": "Subject: Hi\n\nHello",
    "notificationType": "Received",
}


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_signature_versions(version: str) -> None:
    request = sns.sign(MAIL, NOW_US, url=URL, version=version)
    assert handled_by("ses_sns", request, SNS_SECRETS).verdict == "valid"
    other = "2" if version == "1" else "1"
    body = request.body.replace(f'"SignatureVersion": "{version}"'.encode(),
                                f'"SignatureVersion": "{other}"'.encode())  # fmt: skip
    assert body != request.body
    changed = InboundRequest("POST", URL, request.headers, body, NOW_US)
    assert handled_by("ses_sns", changed, SNS_SECRETS).verdict == "invalid"


@pytest.mark.parametrize(
    "more",
    [
        {"SigningCertURL": "https://evil.example/SimpleNotificationService-0.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com/other.pem"},
        {"Timestamp": "2026-03-02T10:00:00Z"},
        {"Timestamp": "soon"},
        {"SignatureVersion": "3"},
    ],
)
def test_sns_refuses_foreign_certificates_and_times_to_come(more: dict[str, str]) -> None:
    request = sns.sign(MAIL, NOW_US, url=URL, **more)
    assert handled_by("ses_sns", request, SNS_SECRETS).verdict == "invalid"


def test_a_subscription_is_to_be_confirmed_at_amazon_only() -> None:
    address = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    more = {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": address}
    asked = handled_by("ses_sns", sns.sign("x", NOW_US, url=URL, **more), SNS_SECRETS)
    assert asked.verdict == "valid" and codes(asked) == ["must_fetch"] and asked.events == []
    assert [(w.purpose, w.ids["url"]) for w in asked.wanted] == [("subscription", address)]
    more["SubscribeURL"] = "https://evil.example/"
    assert codes(handled_by("ses_sns", sns.sign("x", NOW_US, url=URL, **more))) == [
        "foreign_address"
    ]


def test_messages_of_another_topic_are_left_aside() -> None:
    request = sns.sign(MAIL, NOW_US, url=URL)
    assert handled_by("ses_sns", request, topic_arn=sns.TOPIC).events
    other = handled_by("ses_sns", request, topic_arn="arn:aws:sns:eu-central-1:1:other")
    assert (other.events, codes(other)) == ([], ["other_topic"])


def test_a_mail_in_s3_is_named_and_not_made_up() -> None:
    example = registry.get("ses_sns").examples()[1]
    handled = handled_by("ses_sns", example.request)
    assert handled.events == [] and handled.wanted[0].ids == {"bucket": "mail", "object": "in/ses2"}


@pytest.mark.parametrize(("visible", "role", "flags"), [("ALL", "agent", []), ("AGENT", "system", ["suppress"])])  # fmt: skip
def test_whispers_do_not_leak(visible: str, role: str, flags: list[str]) -> None:
    item = {"Id": "1", "Type": "MESSAGE", "Content": "psst", "ParticipantRole": "AGENT",
            "InitialContactId": "c0", "ContactId": "c1"}  # fmt: skip
    told = {"MessageVisibility": {"Type": "String", "Value": visible}}
    data = only(
        handled_by("connect_chat_sns", sns.sign(item, NOW_US, url=URL, MessageAttributes=told))
    )
    assert (data.author.role, data.flags, data.conversation_key) == (role, flags, "c0")


# --- Google, Microsoft --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "valid"),
        ({"iss": "https://evil.example"}, "invalid"),
        ({"aud": "https://other.example"}, "invalid"),
        ({"email": "stranger@example.iam.gserviceaccount.com"}, "invalid"),
        ({"email_verified": False}, "invalid"),
        ({"exp": NOW_US // 1_000_000 - 4000}, "invalid"),
        ({"iat": NOW_US // 1_000_000 + 4000}, "invalid"),
    ],
)
def test_googles_token(change: dict[str, Any], verdict: str) -> None:
    now = NOW_US // 1_000_000
    claims = {"iss": "https://accounts.google.com", "aud": gmail_push.URL, "iat": now,
              "exp": now + 60, "email": gmail_push.ACCOUNT, "email_verified": True}  # fmt: skip
    token = jwt.encode({**claims, **change}, example_key()[0], "RS256")
    headers = (("Authorization", f"Bearer {token}"),)
    secrets = {"google_keys": (example_key()[1],), "service_account": (gmail_push.ACCOUNT,)}
    request = InboundRequest("POST", gmail_push.URL, headers, b"{}", NOW_US)
    verify = registry.get("gmail_push").signature.verify
    assert verify(request, secrets) == verdict
    assert verify(request, {"google_keys": secrets["google_keys"]}) == "none", "anybody's account"
    forged = jwt.encode({**claims, **change}, "k" * 32, "HS256")
    asked = InboundRequest(
        "POST", gmail_push.URL, (("Authorization", f"Bearer {forged}"),), b"", NOW_US
    )
    assert verify(asked, secrets) == "invalid"


def test_keys_in_every_form() -> None:
    numbers = example_key()[0].public_key()
    jwk = {**jwt.algorithms.RSAAlgorithm.to_jwk(numbers, as_dict=True), "kid": "k1"}
    assert [kid for kid, _ in public_keys(json.dumps({"keys": [jwk, {"kty": "x"}]}))] == ["k1"]
    assert len(public_keys(sendgrid_inbound.PUBLIC_KEY)) == len(public_keys(example_key()[1])) == 1
    for nonsense in ("", "wrong", "{", "-----BEGIN X-----\nx\n-----END X-----", "{}"):
        assert public_keys(nonsense) == ()


def test_a_fetched_gmail_message_is_a_mail() -> None:
    raw = base64.urlsafe_b64encode(b"Subject: Hi\r\nFrom: kim@example.org\r\n\r\nHello?>").decode()
    handled = post("gmail_push", {"id": "g", "threadId": "t", "raw": raw.rstrip("=")})
    assert only(handled).text == "Hello?>"
    assert handled.events[0].thread_candidates == ("thread:gmail:t",)


def test_every_notification_needs_the_client_state() -> None:
    good, bad = {"clientState": "a"}, {"clientState": "b"}
    secrets = {"client_state": ("old", "a")}
    for notices, verdict in (
        ([good], "valid"),
        ([good, bad], "invalid"),
        ([], "invalid"),
        ([{}], "invalid"),
    ):
        assert post("msgraph_mail", {"value": notices}, secrets=secrets).verdict == verdict


def test_lifecycle_notices_are_operations() -> None:
    told = {"subscriptionId": "s", "lifecycleEvent": "reauthorizationRequired"}
    handled = post("msgraph_mail", {"value": [told]})
    assert (codes(handled), handled.events) == (["operation"], [])
    assert [one.purpose for one in handled.wanted] == ["renewal"]
    assert handled.answer.status == 202 and handled.dead_letter is None


def test_a_fetched_graph_message_is_a_mail() -> None:
    request = registry.get("msgraph_mail").examples()[1].request
    handled = handled_by("msgraph_mail", request, {"client_state": (msgraph_mail.STATE,)})
    data = only(handled)
    assert (data.text, data.subject) == ("The invoice is wrong.", "Invoice")
    assert "thread:graph:AAQk1" in handled.events[0].thread_candidates
    assert handled.events[0].envelope.type == interactions.MESSAGE


def test_a_mailgun_signature_is_bound_to_its_token() -> None:
    told = mailgun.proof(NOW_US // 1_000_000, "token")
    secrets = {"signing_key": (mailgun.SIGNING_KEY,)}
    payload = {"signature": told, "event-data": {"event": "clicked"}}
    assert post("mailgun", payload, secrets=secrets).verdict == "valid"
    payload["signature"] = {**told, "token": "other"}
    assert post("mailgun", payload, secrets=secrets).verdict == "invalid"
