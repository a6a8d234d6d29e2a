"""Cursors, preconditions, idempotency, rates, peers and logs: each by itself."""

import io
import json
import logging
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from shared.contracts.problems import Refused
from shared.http import peers
from shared.http.auth import Caller
from shared.http.idempotency import MemoryReplies, effect_id, idempotency_of, once
from shared.http.logging import HIDDEN, AccessLog, hide_secrets, setup_logging
from shared.http.pages import decode_cursor, encode_cursor, page
from shared.http.peers import PeerSeal
from shared.http.preconditions import Precondition, is_current, precondition_of
from shared.http.principals import Principal
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.replies import json_reply
from shared.http.sse import SseEvent, last_event_id
from shared.runtime.port import OutcomeUnknown


def request(method="POST", path="/v1/workspaces/acme/tasks", **headers):
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
    return Request({**scope, "scheme": "http", "server": ("h", 1)})


def caller(who="key:1"):
    return Caller(Principal(who, "acme", ("platform",)), "acme")


# Cursors

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
POSITIONS = st.tuples(st.integers(-(2**53), 2**53), TEXTS)


@given(POSITIONS)
def test_a_cursor_comes_back_as_it_went(position):
    assert decode_cursor(encode_cursor(position), tuple[int, str]) == position


@pytest.mark.parametrize("name", ["\0", "a\0b", "\\\0"])
def test_a_cursor_with_what_no_database_takes_is_refused(name):
    with pytest.raises(Refused):
        decode_cursor(encode_cursor((1, name)), tuple[int, str])
    assert decode_cursor(encode_cursor((1, "\\u0000")), tuple[int, str]) == (1, "\\u0000")


@given(st.text(max_size=40))
def test_any_other_text_is_refused_or_is_exactly_a_cursor(text):
    try:
        position = decode_cursor(text, tuple[int, str])
    except Refused as refused:
        assert refused.errors[0].pointer == "/query/cursor"
    else:
        assert encode_cursor(position) == text


@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 7))
def test_pages_put_together_are_the_whole(rows, limit):
    rows = sorted(rows)
    seen, after = [], None
    while True:
        rest = [row for row in rows if after is None or row > after]
        body = json.loads(page("rows", rest[: limit + 1], limit, lambda row: row).body)
        seen += body["rows"]
        assert len(body["rows"]) <= limit
        if body["next"] is None:
            break
        after = decode_cursor(body["next"], int)
    assert seen == rows


# Preconditions


@pytest.mark.parametrize(
    ("headers", "version", "holds"),
    [
        ({}, None, True),
        ({"if_match": '"3"'}, 3, True),
        ({"if_match": '"3"'}, 4, False),
        ({"if_match": '"3"'}, None, False),
        ({"if_match": '"1", "3"'}, 3, True),
        ({"if_match": 'W/"3"'}, 3, False),
        ({"if_match": '"x"'}, 3, False),
        ({"if_match": "*"}, 3, True),
        ({"if_match": "*"}, None, False),
        ({"if_none_match": "*"}, None, True),
        ({"if_none_match": "*"}, 3, False),
    ],
)
def test_if_match(headers, version, holds):
    demand = precondition_of(request("PUT", **headers))
    if holds:
        demand.check(version)
    else:
        with pytest.raises(Refused) as caught:
            demand.check(version)
        assert caught.value.kind == "precondition-failed"


@pytest.mark.parametrize("headers", [{"if_match": "3"}, {"if_match": '"3'}, {"if_none_match": "3"}])
def test_malformed_preconditions_are_refused_not_ignored(headers):
    with pytest.raises(Refused) as caught:
        precondition_of(request("PUT", **headers))
    assert caught.value.kind == "validation"


def test_preconditions_travel_as_json():
    demand = Precondition((3,), None)
    assert msgspec.json.decode(msgspec.json.encode(demand), type=Precondition) == demand


@pytest.mark.parametrize(
    ("sent", "current"),
    [('"7"', True), ('W/"7"', True), ('"1", "7"', True), ("*", True), ('"8"', False), ("7", False)],
)
def test_if_none_match_of_reads(sent, current):
    assert is_current(request("GET", if_none_match=sent), 7) is current


# Idempotency


def test_a_key_is_per_principal_and_route():
    sent = {"idempotency_key": "k"}
    same = idempotency_of(request(**sent), caller(), b"x")
    assert same == idempotency_of(request(**sent), caller(), b"x")
    others = [
        idempotency_of(request(**sent), caller("key:2"), b"x"),
        idempotency_of(request(path="/v1/workspaces/acme/tasks/1", **sent), caller(), b"x"),
        idempotency_of(request(method="PUT", **sent), caller(), b"x"),
        idempotency_of(request(idempotency_key="l"), caller(), b"x"),
    ]
    ids = {effect_id("msg", key) for key in (same, *others)}
    assert len(ids) == 5


@pytest.mark.parametrize("text", ["", "a b", "é", "x" * 256])
def test_malformed_keys(text):
    made = request()
    made.scope["headers"].append((b"idempotency-key", text.encode("latin-1")))
    with pytest.raises(Refused) as caught:
        idempotency_of(made, caller(), b"")
    assert caught.value.kind == "validation"


def test_no_key_is_no_key():
    assert idempotency_of(request(), caller(), b"") is None


class Effect:
    def __init__(self, error=None):
        self.times, self.error = 0, error

    async def __call__(self):
        self.times += 1
        if self.error is not None:
            raise self.error
        return json_reply({"time": self.times}, 201, {"ETag": '"1"'})


def key_of(body=b"x"):
    return idempotency_of(request(idempotency_key="k"), caller(), body)


async def test_the_same_again_has_one_effect_and_the_same_answer():
    replies, effect = MemoryReplies(), Effect()
    first = await once(replies, "acme", key_of(), effect)
    again = await once(replies, "acme", key_of(), effect)
    assert effect.times == 1
    assert (again.status_code, again.body) == (first.status_code, first.body)
    assert again.headers["etag"] == '"1"'
    assert again.headers["idempotency-replayed"] == "true"


async def test_another_body_is_a_mismatch_and_a_second_in_flight_a_conflict():
    replies, effect = MemoryReplies(), Effect()
    await once(replies, "acme", key_of(), effect)
    with pytest.raises(Refused) as caught:
        await once(replies, "acme", key_of(b"y"), effect)
    assert caught.value.kind == "idempotency-mismatch"
    held = MemoryReplies()
    assert await held.claim("acme", key_of()) is None
    with pytest.raises(Refused) as caught:
        await once(held, "acme", key_of(), effect)
    assert (caught.value.kind, caught.value.reason) == ("conflict", "in_flight")
    assert effect.times == 1


@pytest.mark.parametrize("error", [Refused("conflict", "no"), ValueError("broken")])
async def test_what_changed_nothing_may_be_tried_again(error):
    replies, effect = MemoryReplies(), Effect(error)
    for _ in range(2):
        with pytest.raises(type(error)):
            await once(replies, "acme", key_of(), effect)
    assert effect.times == 2


@pytest.mark.parametrize("error", [Refused("outcome-unknown", "?"), OutcomeUnknown()])
async def test_an_unknown_outcome_keeps_the_key(error):
    replies, effect = MemoryReplies(), Effect(error)
    with pytest.raises(type(error)):
        await once(replies, "acme", key_of(), effect)
    with pytest.raises(Refused) as caught:
        await once(replies, "acme", key_of(), effect)
    assert caught.value.reason == "in_flight"
    assert effect.times == 1


# Rates


def test_a_bucket_refills_and_says_when():
    now = [0.0]
    limiter = RateLimiter(Rate(2, 3), clock=lambda: now[0])
    for _ in range(3):
        limiter.admit("a")
    with pytest.raises(Refused) as caught:
        limiter.admit("a")
    assert (caught.value.kind, caught.value.retry_after_s) == ("rate-limited", 1)
    limiter.admit("b")
    now[0] = 0.5
    limiter.admit("a")
    with pytest.raises(Refused):
        limiter.admit("a")


def test_own_rates_and_no_rate():
    limiter = RateLimiter(None, {"a": Rate(0.1, 1)}.get, clock=lambda: 0.0)
    limiter.admit("a")
    with pytest.raises(Refused) as caught:
        limiter.admit("a")
    assert caught.value.retry_after_s == 10
    for _ in range(1000):
        limiter.admit("b")


def test_buckets_are_bounded():
    limiter = RateLimiter(Rate(1, 1), max_buckets=10, clock=lambda: 0.0)
    for number in range(1000):
        limiter.admit(str(number))
    assert len(limiter._buckets) == 10


@given(st.lists(st.floats(0, 2), max_size=60))
def test_no_more_pass_than_burst_and_rate_allow(gaps):
    now, passed = [0.0], 0
    limiter = RateLimiter(Rate(3, 4), clock=lambda: now[0])
    for gap in gaps:
        now[0] += gap
        try:
            limiter.admit("a")
            passed += 1
        except Refused:
            pass
    assert passed <= 4 + 3 * now[0] + 1e-6


# Peers


def sealed(seal, **changes):
    who = Principal("key:1", "acme", ("agent",), "ana", True)
    return {**seal.sign("POST", "/v1/x?a=1", b"body", who), **changes}


def test_a_peer_is_believed_once():
    seal, owner = PeerSeal(b"secret"), PeerSeal(b"secret")
    headers = sealed(seal)
    found = owner.check("POST", "/v1/x?a=1", headers)
    assert found == Principal("key:1", "acme", ("agent",), "ana", True)
    with pytest.raises(Refused) as caught:
        owner.check("POST", "/v1/x?a=1", headers)
    assert "repetition" in caught.value.detail
    assert seal.answer(headers[peers.SIGNATURE]) == owner.answer(headers[peers.SIGNATURE])


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("/v1/y", {}),
        ("/v1/x?a=1", {peers.PRINCIPAL: ""}),
        ("/v1/x?a=1", {peers.NONCE: "0"}),
        ("/v1/x?a=1", {peers.AT: "1"}),
        ("/v1/x?a=1", {peers.DIGEST: "0"}),
        ("/v1/x?a=1", {peers.SIGNATURE: ""}),
        ("/v1/x?a=1", {peers.SIGNATURE: "é"}),
    ],
)
def test_what_is_changed_on_the_way_is_not_believed(target, changes):
    with pytest.raises(Refused) as caught:
        PeerSeal(b"secret").check("POST", target, sealed(PeerSeal(b"secret"), **changes))
    assert caught.value.kind == "unauthenticated"


def test_another_secret_and_an_old_call_are_not_believed():
    with pytest.raises(Refused):
        PeerSeal(b"other").check("POST", "/v1/x?a=1", sealed(PeerSeal(b"secret")))
    old = sealed(PeerSeal(b"secret", clock=lambda: 1000.0))
    with pytest.raises(Refused) as caught:
        PeerSeal(b"secret", clock=lambda: 1031.0).check("POST", "/v1/x?a=1", old)
    assert "clock differs by -31 s" in caught.value.detail


# Streams and logs


def test_events_on_the_wire():
    assert SseEvent(b'{"a":1}', "7", "work").encoded() == b'id: 7\nevent: work\ndata: {"a":1}\n\n'
    assert SseEvent(b"a\nb").encoded() == b"data: a\ndata: b\n\n"


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "9" * 30, "²"])
def test_bad_last_event_ids(text):
    made = request("GET")
    made.scope["headers"].append((b"last-event-id", text.encode("latin-1", "replace")))
    with pytest.raises(Refused):
        last_event_id(made)


def test_last_event_id():
    assert last_event_id(request("GET", last_event_id="41")) == 41
    assert last_event_id(request("GET")) is None


def test_a_library_that_connects_again_goes_before_the_address_that_it_was_given():
    made = request("GET")
    made.scope["query_string"] = b"after=3&lastEventId=9"
    assert last_event_id(made) == 9
    made = request("GET", last_event_id="41")
    made.scope["query_string"] = b"lastEventId=9"
    assert last_event_id(made) == 41


SECRET = "s3cr3t-value"


@given(st.recursive(st.just(SECRET), lambda inner: st.lists(inner, max_size=3)))
def test_secrets_are_hidden_at_any_depth(value):
    event: dict[str, Any] = {
        "Authorization": value,
        "deep": [{"X-Hub-Signature-256": value, "api_key": value, "ticket": value}],
        "token": value,
    }
    hidden = hide_secrets(None, "info", event)
    assert SECRET not in str(hidden)
    assert hidden["token"] == HIDDEN


def written(path):
    """What the access log says of a call's path."""
    scope = {"omniroute.request_id": "r", "method": "POST", "path": path}
    with structlog.testing.capture_logs() as lines:
        AccessLog("faults").write(scope, 503, 0.001)
    return lines[0]["path"]


@pytest.mark.parametrize("end", ["", "/", "/more", "\n"])
def test_the_secret_end_of_a_vendors_address_is_not_logged(end):
    address = "/v1/workspaces/acme/connectors/phone/inbound/"
    assert written(address + SECRET + end) == address + HIDDEN
    assert written(address[:-1]) == address[:-1]


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_show_no_local_variables(style):
    stream, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    setup_logging("info", style, stream)
    try:
        broken(SECRET)
    except ZeroDivisionError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("y").exception("failed too")
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before
        root.setLevel(level)
    assert stream.getvalue().count("ZeroDivisionError") >= 2
    assert SECRET not in stream.getvalue()


def broken(credential):
    return len(credential) / 0


def test_json_logs():
    stream, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    setup_logging("info", "json", stream)
    try:
        structlog.get_logger("x").info("hello", authorization=f"Bearer {SECRET}", n=1)
        structlog.get_logger("x").debug("quiet")
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before
        root.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["hello"]
    assert lines[0]["n"] == 1
    assert SECRET not in stream.getvalue()
