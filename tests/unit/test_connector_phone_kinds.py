"""What the payloads of each phone vendor mean, beyond what the conformance suite asks."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from services.channels.connectors import registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.phone import vcon
from services.channels.connectors.phone.genesys_audiohook import milliseconds
from services.channels.connectors.phone.webvtt import BadFile, cues_of
from services.channels.connectors.port import InboundRequest, Secrets
from shared.contracts import interactions
from shared.contracts.interactions import Identity, Interaction

NOW_US = 1_772_442_000_000_000  # 2026-03-02T09:00:00Z
SEGMENT, PARTIAL = interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL


def run(
    kind: str, payload: Any, *, url: str = "", secrets: Secrets | None = None, **settings: Any
) -> Handled:
    connector = registry.get(kind)
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = (("Content-Type", "application/json"),)
    request = InboundRequest("POST", url or "https://a.example/x", headers, body, NOW_US)
    chosen = connector.settings(**settings)
    return handle(
        connector, chosen, secrets or {}, request, connector_id="m", workspace="w", trial=True
    )


def said(handled: Handled) -> list[tuple[str, str | None, str]]:
    return [
        (e.envelope.type, e.interaction.text, e.interaction.author.role) for e in handled.events
    ]


def data_of(handled: Handled) -> list[Interaction]:
    return [event.interaction for event in handled.events]


def codes(handled: Handled) -> list[str]:
    return [problem.code for problem in handled.problems]


PARTIAL_AND_FINAL = ["genesys_transcription", "genesys_audiohook", "deepgram", "assemblyai"]


@pytest.mark.parametrize("kind", PARTIAL_AND_FINAL)
def test_partial_and_final_are_one_message(kind: str) -> None:
    connector = registry.get(kind)
    heard, final = (
        handle(
            connector, connector.settings(), e.secrets, e.request, connector_id="m", workspace="w"
        ).events[0]
        for e in connector.examples()[:2]
    )
    assert (heard.envelope.type, final.envelope.type) == (PARTIAL, SEGMENT)
    assert heard.interaction.message_id == final.interaction.message_id
    assert heard.envelope.id != final.envelope.id
    assert heard.interaction.conversation_id == final.interaction.conversation_id


# --- Contact Lens -------------------------------------------------------------------------------


def record(kind: str, *segments: dict[str, Any]) -> dict[str, Any]:
    return {"ContactId": "c1", "EventType": kind, "LanguageCode": "de-DE", "Segments": segments}


HEARD = {"Utterance": {"Id": "u", "TranscriptId": "t", "ParticipantRole": "CUSTOMER",
                       "PartialContent": "Meine"}}  # fmt: skip
FINAL = {"Transcript": {"Id": "t", "ParticipantRole": "CUSTOMER", "Content": "Meine Rechnung",
                        "Sentiment": "NEGATIVE", "BeginOffsetMillis": 10}}  # fmt: skip


def test_an_utterance_is_superseded_by_the_transcript_it_names() -> None:
    heard, final = data_of(run("connect_contact_lens", record("SEGMENTS", HEARD, FINAL)))
    assert heard.message_id == final.message_id and final.language == "de"
    assert final.vendor["sentiment"] == "NEGATIVE" and final.segment is not None


def test_firehose_gets_its_request_id_back() -> None:
    coded = base64.b64encode(json.dumps(record("STARTED")).encode()).decode()
    payload = {"requestId": "r-1", "timestamp": 5, "records": [{"data": coded}, {"data": "%"}]}
    handled = run("connect_contact_lens", payload)
    assert [t for t, _, _ in said(handled)] == [interactions.CONVERSATION_STARTED]
    assert codes(handled) == ["broken_record"]
    assert json.loads(handled.answer.body) == {"requestId": "r-1", "timestamp": 5}
    assert dict(handled.answer.headers)["Content-Type"] == "application/json"


def test_contact_events_carry_the_callers_number_and_the_clock() -> None:
    told = {"ContactId": "c1", "Channel": "VOICE", "CustomerEndpoint": {"Address": "+14802021091"}}
    flow = run("connect_contact_lens", {"Details": {"ContactData": told}})
    assert data_of(flow)[0].identities == [Identity("phone", "+14802021091")]
    left = {
        "time": "2026-03-02T08:59:00Z",
        "detail": {"contactId": "c1", "eventType": "DISCONNECTED"},
    }
    event = run("connect_contact_lens", left).events[0]
    assert event.envelope.type == interactions.CONVERSATION_ENDED
    assert event.envelope.time == "2026-03-02T08:59:00Z"


# --- Genesys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"eventBody": b}, lambda b: [b],
                                  lambda b: {"detail": {"eventBody": b}}])  # fmt: skip
def test_genesys_shapes(wrap: Any) -> None:
    heard = {"utteranceId": "u", "isFinal": True, "channel": "INTERNAL",
             "alternatives": [{"transcript": "raw", "decoratedTranscript": "Nice."}]}  # fmt: skip
    for name, value in (("transcripts", [heard]), ("transcript", heard)):
        handled = run("genesys_transcription", wrap({"conversationId": "c", name: value}))
        assert said(handled) == [(SEGMENT, "Nice.", "agent")]
    turned = run("genesys_transcription", wrap({"conversationId": "c", "transcripts": [heard]}),
                 customer_channel="INTERNAL")  # fmt: skip
    assert said(turned) == [(SEGMENT, "Nice.", "customer")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("PT1.5S", 1500),
        ("PT1M2S", 62_000),
        ("PT1H", 3_600_000),
        ("PT", None),
        ("1S", None),
        (None, None),
    ],
)
def test_durations(text: str | None, wanted: float | None) -> None:
    assert milliseconds(text) == wanted


# --- Deepgram, AssemblyAI -----------------------------------------------------------------------


def test_deepgram_speakers() -> None:
    words = [{"word": "hello", "speaker": 1}]
    result = {"type": "Results", "is_final": True, "start": 1, "metadata": {"request_id": "r"},
              "channel": {"alternatives": [{"transcript": "hello", "words": words}]}}  # fmt: skip
    assert said(run("deepgram", result)) == [(SEGMENT, "hello", "customer")]
    assert said(run("deepgram", result, customer_speaker=0)) == [(SEGMENT, "hello", "agent")]
    assert said(run("deepgram", {**result, "channel_index": [1, 2]}))[0][2] == "agent"
    dated = run("deepgram", result, url="https://a.example/?started_at=2026-03-02T08:59:00Z")
    assert dated.events[0].envelope.time == "2026-03-02T08:59:01Z"
    assert codes(
        run("deepgram", {**result, "channel": {"alternatives": [{"transcript": ""}]}})
    ) == ["silence"]


@pytest.mark.parametrize("form", ["header", "extra", "wrong"])
def test_deepgram_secrets(form: str) -> None:
    connector, secrets = registry.get("deepgram"), {"callback_secret": ("s3cret",)}
    extra = {"callback_secret": "s3cret" if form == "extra" else "other"}
    body = json.dumps({"metadata": {"extra": extra}}).encode()
    headers = (("dg-token", "s3cret" if form == "header" else ""),)
    request = InboundRequest("POST", "https://a.example/", headers, body, NOW_US)
    wanted = "invalid" if form == "wrong" else "valid"
    assert connector.signature.verify(request, secrets) == wanted


def test_formatted_turns() -> None:
    turn = {"type": "Turn", "turn_order": 3, "transcript": "hi", "end_of_turn": True, "id": "s"}
    assert said(run("assemblyai", turn))[0][0] == SEGMENT
    assert said(run("assemblyai", turn, format_turns=True))[0][0] == PARTIAL
    formatted = {**turn, "turn_is_formatted": True, "transcript": "Hi."}
    final = run("assemblyai", formatted, format_turns=True)
    assert said(final) == [(SEGMENT, "Hi.", "customer")]
    spoken = {"status": "completed", "id": "t", "utterances": [{"speaker": "B", "text": "Yes"}]}
    assert said(run("assemblyai", spoken, customer_speaker="A")) == [(SEGMENT, "Yes", "agent")]


def test_a_failed_recording_is_told() -> None:
    handled = run("assemblyai", {"transcript_id": "t", "status": "error"})
    assert codes(handled) == ["operation"] and handled.wanted == []
    ready = run("assemblyai", {"transcript_id": "t", "status": "completed"})
    assert [(w.purpose, w.key, w.ids["transcript_id"]) for w in ready.wanted] == [
        ("transcript", "t:completed", "t")
    ]


# --- Vapi, Retell -------------------------------------------------------------------------------


def test_vapi_text_comes_from_one_place() -> None:
    call = {"id": "c", "customer": {"number": "+4915112345678"}}
    final = {"type": 'transcript[transcriptType="final"]', "role": "user", "transcript": "Hi"}
    live = run("vapi", {"message": {**final, "call": call, "timestamp": NOW_US // 1000}})
    assert said(live) == [(SEGMENT, "Hi", "customer")]
    assert data_of(live)[0].identities == [Identity("phone", "+4915112345678")]
    messages = [{"role": "system", "message": "x"}, {"role": "bot", "message": "Hello"}]
    told = {"type": "end-of-call-report", "call": call, "artifact": {"messages": messages}}
    assert [t for t, _, _ in said(run("vapi", {"message": told}))] == [
        interactions.CONVERSATION_ENDED
    ]
    report = run("vapi", {"message": told}, segments_from="report")
    assert said(report)[0] == (SEGMENT, "Hello", "bot")


@pytest.mark.parametrize("name", ["Authorization", "X-Vapi-Secret"])
def test_vapi_tokens(name: str) -> None:
    value = "Bearer word" if name == "Authorization" else "word"
    request = InboundRequest("POST", "https://a.example/", ((name, value),), b"{}", NOW_US)
    verify = registry.get("vapi").signature.verify
    assert verify(request, {"server_secret": ("old", "word")}) == "valid"
    assert verify(request, {"server_secret": ("other",)}) == "invalid"


def test_the_last_turn_of_a_running_call_is_partial() -> None:
    turns = [{"role": "agent", "content": "Hello"}, {"role": "user", "content": "I"}]
    call = {"call_id": "c", "from_number": "+4915112345678", "transcript_object": turns}
    running = run("retell", {"event": "transcript_updated", "call": call})
    assert said(running) == [(SEGMENT, "Hello", "bot"), (PARTIAL, "I", "customer")]
    over = run("retell", {"event": "call_ended", "call": call})
    assert [t for t, _, _ in said(over)] == [SEGMENT, SEGMENT, interactions.CONVERSATION_ENDED]
    ids = [[e.interaction.message_id for e in h.events[:2]] for h in (running, over)]
    assert ids[0] == ids[1] and running.events[0].envelope.id == over.events[0].envelope.id


def test_plain_retell_transcripts_are_read_by_line() -> None:
    call = {"call_id": "c", "transcript": "Agent: Hello\nUser: My invoice\nis wrong\nAgent: Oh"}
    spoken = said(run("retell", {"event": "call_ended", "call": call}))[:3]
    assert [text for _, text, _ in spoken] == ["Hello", "My invoice\nis wrong", "Oh"]


# --- WebVTT -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("WEBVTT", []),
        ("\ufeffWEBVTT - x\r\n\r\n00:01.000 --> 00:02.000\r\nHi", [(1000, 2000)]),
        ("WEBVTT\n\n0:0:0.0 --> 0:0:0.57\nHi", [(0, 570)]),
        ("WEBVTT\n\nSTYLE\n::cue{}\n\nNOTE x\n\n1\n00:01.000 --> 00:02.000\nA\n00:02.000 --> 00:03.000\nB",
         [(1000, 2000), (2000, 3000)]),
        ("WEBVTT\nKind: x\nStyle:\n##\n\n100:00:00.000 --> 100:00:01.000 line:0\nx",
         [(360_000_000, 360_001_000)]),
    ],
)  # fmt: skip
def test_files_in_order(text: str, spans: list[tuple[int, int]]) -> None:
    assert [(cue.start_ms, cue.end_ms) for cue in cues_of(text)] == spans


@pytest.mark.parametrize(
    "text",
    ["", "WEBVTTX", "x", "WEBVTT\n\nwords", "WEBVTT\n\n00:01.000 --> 00:0x.000\nx",
     "WEBVTT\n\n00:02.000 --> 00:01.000\nx", "WEBVTT\n\n00:61.000 --> 00:62.000\nx"],
)  # fmt: skip
def test_files_with_a_fault_are_refused_whole(text: str) -> None:
    with pytest.raises(BadFile):
        cues_of(text)
    handled = run("webvtt", text.encode())
    assert (handled.events, codes(handled)) == ([], ["invalid_webvtt"])
    assert handled.answer.status == 422


def test_voices_tell_who_speaks() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Ana>Yes &amp; <i>no</i></v>\n<v Kim>Ah</v>"
    handled = run("webvtt", text.encode(), agent_names=["Ana"])
    assert said(handled) == [(SEGMENT, "Yes & no", "agent"), (SEGMENT, "Ah", "customer")]
    assert [d.author.name for d in data_of(handled)] == ["Ana", "Kim"]
    keyed = run("webvtt", text.encode(), url="https://a.example/?conversation_key=call-7")
    assert {d.conversation_key for d in data_of(keyed)} == {"call-7"}


# --- vCon ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"uuid": None}, {"vcon": "9"}, {"parties": None}, {"dialog": None}, {"analysis": "x"},
        {"dialog": [{"type": "text", "start": "2026-03-02T09:00:00Z", "parties": [0, 9]}]},
        {"dialog": [{"type": "song", "start": "2026-03-02T09:00:00Z", "parties": [0]}]},
        {"dialog": [{"type": "text", "start": "soon", "parties": [0]}]},
        {"dialog": [{"type": "text", "start": "2026-03-02T09:00:00Z", "duration": "long"}]},
        {"dialog": [{"type": "text", "start": "2026-03-02T09:00:00Z", "url": "not-a-url"}]},
        {"dialog": [{"type": "text", "start": "2026-03-02T09:00:00Z", "mimetype": "not a type!"}]},
    ],
)  # fmt: skip
def test_vcons_with_a_fault_are_refused(change: dict[str, Any]) -> None:
    handled = run("vcon", {**vcon.document(), **change})
    assert handled.events == [] and set(codes(handled)) == {"invalid_vcon"}
    assert handled.answer.status == 422


def test_a_vcon_is_history_unless_told_otherwise() -> None:
    assert {tuple(d.flags) for d in data_of(run("vcon", vcon.document()))} == {("suppress",)}
    kim, ana, recording = data_of(run("vcon", vcon.document(), route=True))
    assert (kim.author.role, kim.identities) == ("customer", [Identity("phone", "+4915112345678")])
    assert (ana.author.role, ana.direction, ana.flags) == ("agent", "outbound", [])
    assert recording.attachments[0].url == "https://recordings.example/call.mp3"
    assert kim.conversation_key == vcon.document()["uuid"]


def test_a_changed_dialog_is_the_same_message() -> None:
    document = vcon.document()
    first = run("vcon", document).events[0]
    document["dialog"][0]["body"] = "Another text"
    again = run("vcon", document).events[0]
    assert again.interaction.message_id == first.interaction.message_id
    assert again.envelope.id != first.envelope.id


def certificate(
    name: str, key: rsa.RSAPrivateKey, issuer: x509.Certificate | None, by: rsa.RSAPrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.fromtimestamp(NOW_US / 1_000_000, UTC)
    authority = x509.BasicConstraints(ca=issuer is None, path_length=None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(authority, critical=True)
        .sign(by, hashes.SHA256())
    )


def url64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_signed_vcons_need_a_signer_that_is_trusted() -> None:
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root = certificate("root", root_key, None, root_key)
    leaf = certificate("signer", key, root, root_key)
    chain = [base64.b64encode(leaf.public_bytes(serialization.Encoding.DER)).decode()]
    protected = url64(json.dumps({"alg": "RS256", "x5c": chain}).encode())
    payload = url64(json.dumps(vcon.document()).encode())
    signature = key.sign(f"{protected}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
    signed = {
        "payload": payload,
        "signatures": [{"protected": protected, "signature": url64(signature)}],
    }
    pem = root.public_bytes(serialization.Encoding.PEM).decode()
    trusted = {"trusted_certificate": ("nonsense", pem)}
    assert run("vcon", signed, secrets=trusted).verdict == "valid"
    assert len(run("vcon", signed).events) == 3 and run("vcon", signed).verdict == "none"
    other = url64(json.dumps({**vcon.document(), "subject": "x"}).encode())
    for secrets in ({}, trusted):
        assert run("vcon", {**signed, "payload": other}, secrets=secrets).verdict == "invalid"
    stranger = certificate("root", key, None, key).public_bytes(serialization.Encoding.PEM).decode()
    assert run("vcon", signed, secrets={"trusted_certificate": (stranger,)}).verdict == "invalid"
    assert run("vcon", vcon.document(), secrets=trusted).verdict == "invalid"
    assert codes(run("vcon", {"ciphertext": "x", "recipients": []})) == ["encrypted"]


def test_times_are_the_vendors() -> None:
    document = vcon.document()
    document["dialog"][0]["start"] = "2025-12-24T10:00:00+01:00"
    assert run("vcon", document).events[0].envelope.time == "2025-12-24T09:00:00Z"


def test_a_long_call_is_whole_and_a_longer_one_is_told() -> None:
    for count, wanted in ((2000, []), (6000, ["too_many_events"])):
        turns = [{"turn_order": n, "transcript": f"t{n}"} for n in range(count)]
        handled = run("assemblyai", {"session_id": "s", "messages": turns})
        assert len(handled.events) == min(count, 4900) and codes(handled) == wanted
