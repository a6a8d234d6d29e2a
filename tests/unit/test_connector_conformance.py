"""Every kind of connector keeps the promises of `port`: one suite over all that are registered."""

import base64
import json
import re
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.channels.connectors import handling, meta, registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import (
    Connector,
    Example,
    HandshakeExample,
    InboundRequest,
    Secrets,
    Settings,
)
from services.channels.connectors.preview import preview
from shared.contracts import envelope, interactions
from shared.contracts.instants import format_instant

KINDS = registry.load()
EXAMPLES = [(c, e) for c in KINDS.values() for e in c.examples()]
CASES = [pytest.param(c, e, id=f"{c.kind}-{e.name}") for c, e in EXAMPLES]
SIGNED = [pytest.param(c, e, id=f"{c.kind}-{e.name}") for c, e in EXAMPLES if c.signed]
COVERED = [p for p in SIGNED if p.values[0].covers_body]
BY_KIND = [pytest.param(c, id=c.kind) for c in KINDS.values()]
TYPES = {*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL}


def run(connector: Connector, example: Example, **changes: object) -> Handled:
    request = msgspec.structs.replace(
        example.request,
        **{k: v for k, v in changes.items() if k in InboundRequest.__struct_fields__},
    )
    return handle(
        connector,
        connector.settings(),
        changes.get("secrets", example.secrets),
        request,
        connector_id=str(changes.get("connector_id", "main")),
        workspace="acme",
        trial=bool(changes.get("trial", False)),
    )


def test_the_four_first_kinds_are_there() -> None:
    expected = {
        "twilio_transcription": "phone",
        "email_mime": "email",
        "whatsapp_cloud": "chat",
        "messenger": "social",
    }
    assert expected.items() <= {k: c.channel for k, c in KINDS.items()}.items()


@pytest.mark.parametrize("connector", BY_KIND)
def test_a_kind_describes_itself(connector: Connector) -> None:
    described = next(d for d in registry.describe() if d["kind"] == connector.kind)
    assert described["settings_schema"]["properties"]
    assert described["setup"].strip() and described["title"].strip()
    assert set(connector.signature.secret_names) <= set(described["secrets"])
    assert all(purpose.strip() for purpose in connector.secrets.values())
    json.dumps(described)


@pytest.mark.parametrize("connector", BY_KIND)
def test_answers_lose_nothing(connector: Connector) -> None:
    answers = connector.answers
    assert answers.ok.status in range(200, 300)
    assert answers.duplicate.status in range(200, 300)
    assert answers.unavailable.status == 503
    assert dict(answers.unavailable.headers)["Retry-After"]
    assert answers.bad_signature.status in (401, 403)


@pytest.mark.parametrize(("connector", "example"), CASES)
def test_an_example_becomes_what_it_says(connector: Connector, example: Example) -> None:
    handled = run(connector, example)
    assert handled.verdict == ("valid" if connector.signed else "none")
    assert handled.accepted and handled.raw_ok and handled.dead_letter is None
    assert [each for each in handled.problems if each.code != "must_fetch"] == []
    assert handled.events or handled.wanted
    assert tuple(event.envelope.type for event in handled.events) == example.events
    assert handled.answer == connector.answers.ok
    for event in handled.events:
        assert event.envelope.type in TYPES
        again = envelope.from_record(envelope.to_headers(event.envelope), event.envelope.data)
        assert again == event.envelope
        data = msgspec.json.decode(event.envelope.data, type=interactions.Interaction)
        assert data == event.interaction
        assert data.channel in (connector.channel, *connector.other_channels)
        assert data.conversation_key
        assert event.envelope.partitionkey == data.conversation_id
        if event.envelope.type == interactions.MESSAGE:
            assert connector.order_by == "time" or data.vendor.get(connector.order_by)
            assert data.text or data.html or data.attachments


@pytest.mark.parametrize(("connector", "example"), CASES)
def test_redelivery_gives_the_same_ids(connector: Connector, example: Example) -> None:
    later = example.request.received_at_us + 3_600_000_000
    first, again = (
        run(connector, example),
        run(connector, example, received_at_us=later, trial=True),
    )
    assert [e.envelope.id for e in first.events] == [e.envelope.id for e in again.events]
    times = [e.envelope.time for e in first.events], [e.envelope.time for e in again.events]
    assert times[0] == times[1] or not connector.dated, "an hour late is not an hour young"
    other = run(connector, example, connector_id="other")
    assert {e.envelope.id for e in first.events}.isdisjoint(e.envelope.id for e in other.events)


@pytest.mark.parametrize("connector", BY_KIND)
def test_ids_are_unique_among_examples(connector: Connector) -> None:
    ids = [e.envelope.id for x in connector.examples() for e in run(connector, x).events]
    keys = [want.key for x in connector.examples() for want in run(connector, x).wanted]
    assert len(set(ids)) == len(ids) and len(set(keys)) == len(keys) and (ids or keys)


@pytest.mark.parametrize(("connector", "example"), COVERED)
def test_tampering_is_refused(connector: Connector, example: Example) -> None:
    body = example.request.body
    for tampered in (body + b" ", body[:-1], body.replace(b"e", b"3", 1)):
        handled = run(connector, example, body=tampered)
        assert (handled.verdict, handled.accepted) == ("invalid", False)
        assert handled.answer == connector.answers.bad_signature
        assert not handled.raw_ok and handled.dead_letter is None and handled.events == []
    shown = run(connector, example, body=body + b" ", trial=True)
    assert shown.verdict == "invalid" and (shown.events or shown.problems)
    without = tuple(h for h in example.request.headers if "signature" not in h[0].lower())
    assert run(connector, example, headers=without).verdict == "invalid"


@pytest.mark.parametrize(
    ("connector", "example"), [p for p in SIGNED if not p.values[0].covers_body]
)
def test_a_token_that_is_not_ours_is_refused(connector: Connector, example: Example) -> None:
    request, carrying = example.request, 0
    for index, (name, value) in enumerate(request.headers):
        for forged in (value + "x", value[:-8]):
            headers = [*request.headers]
            headers[index] = (name, forged)
            handled = run(connector, example, headers=tuple(headers))
            carrying += handled.verdict == "invalid"
            if handled.verdict == "invalid":
                assert not handled.accepted and handled.events == []
                assert handled.answer == connector.answers.bad_signature
    for word in list(re.finditer(rb"[A-Za-z0-9+/_-]{6,}", request.body))[:60]:
        body = request.body[: word.start()] + b"forged" + request.body[word.end() :]
        carrying += run(connector, example, body=body).verdict == "invalid"
    assert carrying >= 2 or "@" in request.url, "nothing carries the credential"
    if carrying:
        bare = run(connector, example, headers=(), body=b"{}")
        assert bare.verdict == "invalid"


@pytest.mark.parametrize(("connector", "example"), SIGNED)
def test_a_signature_needs_its_secret(connector: Connector, example: Example) -> None:
    wrong = dict.fromkeys(example.secrets, ("wrong",))
    assert run(connector, example, secrets=wrong).verdict == "invalid"
    handled = run(connector, example, secrets={})
    assert (handled.verdict, handled.accepted) == ("none", False)
    assert handled.answer == connector.answers.bad_signature
    tried = run(connector, example, secrets={}, trial=True)
    assert (tried.verdict, tried.answer) == ("none", connector.answers.ok)


@pytest.mark.parametrize(("connector", "example"), SIGNED)
def test_secrets_rotate(connector: Connector, example: Example) -> None:
    for several in (lambda old: ("new", *old), lambda old: (*old, "new")):
        secrets = {name: several(values) for name, values in example.secrets.items()}
        assert run(connector, example, secrets=secrets).verdict == "valid"


@pytest.mark.parametrize("connector", [p for p in BY_KIND if p.values[0].handshake])
def test_a_handshake_is_answered_with_the_right_secret_only(connector: Connector) -> None:
    examples = connector.handshakes()
    assert examples

    def shake(example: HandshakeExample, secrets: Secrets, trial: bool = False) -> Handled:
        return handle(
            connector,
            connector.settings(),
            secrets,
            example.request,
            connector_id="main",
            workspace="acme",
            trial=trial,
        )

    for example in examples:
        right = shake(example, example.secrets)
        assert (right.verdict, right.accepted, right.events) == ("valid", True, [])
        assert right.answer == example.answer and not right.raw_ok
        older = {name: (*values, "new") for name, values in example.secrets.items()}
        assert shake(example, older).answer == example.answer
        if example.open:
            continue
        wrong = shake(example, dict.fromkeys(example.secrets, ("wrong",)))
        assert not wrong.accepted or wrong.answer != example.answer
        assert not shake(example, {}).accepted
        assert shake(example, {}, trial=True).verdict == "none"


@pytest.mark.parametrize(
    "connector", [p for p in BY_KIND if p.values[0].handshake is meta.handshake]
)
def test_the_handshake_echoes_only_for_the_right_token(connector: Connector) -> None:
    query = "hub.mode=subscribe&hub.challenge=c%2042&hub.verify_token="
    base = "https://omniroute.example/inbound?" + query

    def shake(token: str, secrets: dict[str, tuple[str, ...]], trial: bool = False) -> Handled:
        request = InboundRequest("GET", base + token, (), b"", 0)
        return handle(
            connector,
            connector.settings(),
            secrets,
            request,
            connector_id="main",
            workspace="acme",
            trial=trial,
        )

    right = shake("token", {"verify_token": ("old", "token")})
    assert (right.verdict, right.answer.status, right.answer.body) == ("valid", 200, "c 42")
    wrong = shake("guess", {"verify_token": ("token",)})
    assert (wrong.verdict, wrong.answer.status, wrong.answer.body) == ("invalid", 403, "")
    unknown = shake("guess", {}, trial=True)
    assert (unknown.verdict, unknown.answer.status) == ("none", 200)
    assert not shake("guess", {}).accepted


@pytest.mark.parametrize("connector", BY_KIND)
def test_revisions_name_the_message_they_change(connector: Connector) -> None:
    examples = {example.name: example for example in connector.examples()}
    for example in examples.values():
        if example.revises is None:
            continue
        original = run(connector, examples[example.revises]).events[0]
        change = run(connector, example).events[0]
        assert change.interaction.replaces_message_id == original.interaction.message_id
        assert change.interaction.conversation_id == original.interaction.conversation_id
        assert change.envelope.id != original.envelope.id
        assert {"edited", "deleted"} & set(change.interaction.flags)


@pytest.mark.parametrize(
    "connector", [p for p in BY_KIND if p.values[0].channel == "chat" and p.values[0].edits]
)
def test_chat_kinds_show_an_edit(connector: Connector) -> None:
    assert any(example.revises for example in connector.examples())


@pytest.mark.parametrize(("connector", "example"), CASES)
def test_preview_agrees(connector: Connector, example: Example) -> None:
    request = example.request
    shown = preview(
        {
            "kind": connector.kind,
            "secrets": {name: list(values) for name, values in example.secrets.items()},
            "method": request.method,
            "url": request.url,
            "headers": [list(pair) for pair in request.headers],
            "body_base64": base64.b64encode(request.body).decode(),
            "received_at": format_instant(request.received_at_us),
        },
        workspace="acme",
        now_us=0,
    )
    handled = run(connector, example, connector_id=connector.kind)
    assert [e["id"] for e in shown["events"]] == [e.envelope.id for e in handled.events]
    assert shown["verdict"] == handled.verdict
    for event in shown["events"]:
        needed = {"revision", "flags", "vendor", "received_at", "message_id", "conversation_id"}
        assert needed <= event["data"].keys()
    json.dumps(shown)


WRONG_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CALM = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def texts(value: object) -> Iterator[str]:
    """All texts of a JSON value, the names of its members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def garbage(connector: Connector, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
    request = InboundRequest("POST", "https://a.example/x", headers, body, 10**15)
    context = handling.Context("acme", "main", 10**15)
    parsed = connector.parse(request, connector.settings(), context)
    events = handling.assemble(connector, parsed, context)
    assert len({e.envelope.id for e in events}) == len(events)
    for event in events:
        assert not any("\x00" in text for text in texts(msgspec.json.decode(event.envelope.data)))
        event.envelope.data.decode()


@pytest.mark.parametrize("connector", BY_KIND)
@CALM
@given(body=st.binary(max_size=400))
def test_random_bytes_never_raise(connector: Connector, body: bytes) -> None:
    headers = connector.examples()[0].request.headers
    garbage(connector, body, headers)


@pytest.mark.parametrize("connector", BY_KIND)
@CALM
@given(data=st.data())
def test_damaged_examples_never_raise(connector: Connector, data: st.DataObject) -> None:
    request = data.draw(st.sampled_from(connector.examples())).request
    start = data.draw(st.integers(0, len(request.body)))
    stop = data.draw(st.integers(start, len(request.body)))
    junk = data.draw(st.binary(max_size=12))
    garbage(connector, request.body[:start] + junk + request.body[stop:], request.headers)


def replaced(value: object, target: int, junk: object) -> object:
    """The JSON with its `target`-th node, counted from the root down, replaced."""
    count = [0]

    def walk(node: object) -> object:
        count[0] += 1
        if count[0] == target:
            return junk
        if isinstance(node, dict):
            return {key: walk(each) for key, each in node.items()}
        if isinstance(node, list):
            return [walk(each) for each in node]
        return node

    return walk(value)


JSON_KINDS = [
    p for p in BY_KIND if p.values[0].examples()[0].request.media_type == "application/json"
]


@pytest.mark.parametrize("connector", JSON_KINDS)
@CALM
@given(data=st.data(), junk=WRONG_JSON, target=st.integers(1, 60))
def test_wrong_types_never_raise(
    connector: Connector, data: st.DataObject, junk: object, target: int
) -> None:
    request = data.draw(st.sampled_from(connector.examples())).request
    payload = replaced(json.loads(request.body), target, junk)
    garbage(connector, json.dumps(payload).encode("utf-8", "surrogatepass"), request.headers)


@pytest.mark.parametrize("connector", JSON_KINDS)
@pytest.mark.parametrize("depth", [65, 500, 100_000])
def test_deep_nesting_is_a_problem_and_not_a_crash(connector: Connector, depth: int) -> None:
    for body in (b"[" * depth + b"]" * depth, b'{"entry":' * depth + b"1" + b"}" * depth):
        request = InboundRequest("POST", "https://a.example/x", (), body, 0)
        handled = handle(
            connector,
            connector.settings(),
            {},
            request,
            connector_id="main",
            workspace="acme",
            trial=True,
        )
        assert [p.code for p in handled.problems] in (["too_deep"], ["invalid_json"])
        assert handled.answer == connector.answers.unusable


@pytest.mark.parametrize("connector", BY_KIND)
def test_other_methods_and_too_large_bodies_are_refused(connector: Connector) -> None:
    example = connector.examples()[0]
    assert run(connector, example, method="PUT", trial=True).answer.status == 405
    bare = run(connector, example, method="GET", url="https://a/", headers=())
    assert bare.answer.status == 405
    large = run(connector, example, body=b"x" * (connector.max_body_bytes + 1))
    assert (large.answer, large.accepted, large.events) == (connector.answers.too_large, False, [])
    assert connector.answers.too_large.status in (413, 406), "what ends the vendor's repeats"


def test_a_fault_of_a_codec_becomes_a_dead_letter() -> None:
    connector = KINDS["email_mime"]
    foreign = Settings()  # lacks the fields that this codec reads
    handled = handle(
        connector,
        foreign,
        {},
        connector.examples()[0].request,
        connector_id="main",
        workspace="acme",
    )
    assert handled.accepted and handled.events == []
    assert handled.dead_letter is not None and handled.dead_letter.code == "codec_fault"
