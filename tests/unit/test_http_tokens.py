"""JWTs: good ones, and each way in which one is refused. Keys and tokens are made here."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from shared.contracts.problems import Refused
from shared.http.tokens import JwtSettings, JwtVerifier, KeySet

ISSUER = "https://login.example"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER = rsa.generate_private_key(65537, 2048)
ALGORITHMS = {
    "rsa": (RSA, "RS256", jwt.algorithms.RSAAlgorithm),
    "ec": (EC, "ES256", jwt.algorithms.ECAlgorithm),
    "ed": (ED, "EdDSA", jwt.algorithms.OKPAlgorithm),
}


def jwk(kid, **more):
    key, _, kind = ALGORITHMS[kid]
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid, **more}


class Issuer:
    """An issuer's key set, fetched as over HTTP."""

    def __init__(self, *kids):
        self.keys = [jwk(kid) for kid in kids]
        self.fetched = []
        self.now = 0.0
        self.down = False

    async def fetch(self, url):
        self.fetched.append(url)
        if self.down:
            raise ValueError("away")
        if url.endswith("openid-configuration"):
            return json.dumps({"issuer": ISSUER, "jwks_uri": ISSUER + "/keys"}).encode()
        return json.dumps({"keys": self.keys}).encode()

    def verifier(self, **settings):
        chosen = JwtSettings(ISSUER, **{"jwks_url": ISSUER + "/keys", **settings})
        return JwtVerifier(chosen, KeySet(chosen, self.fetch, lambda: self.now))


def claims(**more):
    base = {"iss": ISSUER, "sub": "u1", "exp": time.time() + 60, "workspace": "acme"}
    merged = {**base, "roles": ["agent"], "agent": "ana", **more}
    return {name: value for name, value in merged.items() if value is not None}


def token(kid="rsa", key=None, alg=None, header=None, **more):
    private, algorithm, _ = ALGORITHMS[kid]
    head = {"kid": kid, **(header or {})}
    return jwt.encode(claims(**more), key or private, alg or algorithm, headers=head)


async def refused(verifier, text):
    with pytest.raises(Refused) as caught:
        await verifier.verify(text)
    return caught.value


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
async def test_a_good_token_of_each_algorithm(kid):
    exp = time.time() + 60
    principal = await Issuer(kid).verifier(leeway_s=5).verify(token(kid, exp=exp))
    assert principal.ends == pytest.approx(exp + 5, abs=1)
    assert principal.id == f"jwt:{ISSUER}:u1"
    assert (principal.workspace, principal.roles, principal.agent) == ("acme", ("agent",), "ana")


@pytest.mark.parametrize(
    ("settings", "more", "says"),
    [
        ({}, {"exp": time.time() - 31}, "expired"),
        ({}, {"exp": None}, "not valid"),
        ({}, {"sub": None}, "not valid"),
        ({}, {"nbf": time.time() + 86_400}, "not valid"),
        ({}, {"iss": "https://evil.example"}, "another issuer"),
        ({"audience": "omniroute"}, {"aud": "other"}, "another audience"),
        ({"audience": "omniroute"}, {}, "not valid"),
        ({}, {"workspace": None}, "no workspace"),
        ({}, {"workspace": "a b"}, "no workspace"),
        ({}, {"workspace": ["acme"]}, "no workspace"),
        ({}, {"agent": "a/b"}, "no agent id"),
    ],
)
async def test_bad_claims_are_refused(settings, more, says):
    error = await refused(Issuer("rsa").verifier(**settings), token(**more))
    assert error.kind == "unauthenticated"
    assert says in error.detail


async def test_leeway_forgives_a_clock_that_is_slightly_off():
    assert await Issuer("rsa").verifier().verify(token(exp=time.time() - 5))
    assert await refused(Issuer("rsa").verifier(leeway_s=0), token(exp=time.time() - 5))


async def test_audience_is_checked_where_it_is_set():
    principal = await Issuer("rsa").verifier(audience="o").verify(token(aud=["x", "o"]))
    assert principal.workspace == "acme"


async def test_a_signature_by_another_key_is_refused():
    assert "not valid" in (await refused(Issuer("rsa").verifier(), token(key=OTHER))).detail


def _b64(data):
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _forged(alg, sign):
    head = _b64(json.dumps({"alg": alg, "kid": "rsa", "typ": "JWT"}).encode())
    text = f"{head}.{_b64(json.dumps(claims()).encode())}"
    return f"{text}.{_b64(sign(text.encode()))}"


async def test_algorithm_confusion_is_refused():
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    hs256 = _forged("HS256", lambda text: hmac.new(pem, text, hashlib.sha256).digest())
    none = _forged("none", lambda text: b"")
    verifier = Issuer("rsa").verifier()
    for text in (hs256, none):
        assert "another algorithm" in (await refused(verifier, text)).detail
    ec_as_rsa = jwt.encode(claims(), EC, "ES256", headers={"kid": "rsa"})
    assert "another algorithm" in (await refused(verifier, ec_as_rsa)).detail


async def test_algorithms_that_are_not_set_are_not_taken():
    verifier = Issuer("rsa").verifier(algorithms=("ES256",))
    assert "unknown key" in (await refused(verifier, token())).detail


async def test_an_encryption_key_and_a_symmetric_key_verify_nothing():
    issuer = Issuer()
    issuer.keys = [jwk("rsa", use="enc"), {"kty": "oct", "kid": "ec", "k": "AAAA"}]
    assert "unknown key" in (await refused(issuer.verifier(), token())).detail
    assert "unknown key" in (await refused(issuer.verifier(), token("ec"))).detail


@pytest.mark.parametrize("text", ["a.b.c", "..", "eyJ.eyJ.x", "ü.ü.ü"])
async def test_malformed_tokens(text):
    assert (await refused(Issuer("rsa").verifier(), text)).kind == "unauthenticated"


async def test_keys_are_cached_and_a_new_kid_is_fetched_once_in_a_while():
    issuer = Issuer("rsa")
    verifier = issuer.verifier()
    for _ in range(3):
        await verifier.verify(token())
    assert len(issuer.fetched) == 1
    issuer.keys.append(jwk("ec"))
    await refused(verifier, token("ec"))  # too soon after the last fetch
    assert len(issuer.fetched) == 1
    issuer.now = 11.0
    assert await verifier.verify(token("ec"))
    for _ in range(5):
        await refused(verifier, token("ed"))
    assert len(issuer.fetched) == 2


async def test_a_withdrawn_key_ends_with_the_cache():
    issuer = Issuer("rsa", "ec")
    verifier = issuer.verifier()
    await verifier.verify(token())
    issuer.keys = [jwk("ec")]
    issuer.now = 601.0
    assert "unknown key" in (await refused(verifier, token())).detail


async def test_old_keys_serve_while_the_issuer_is_away():
    issuer = Issuer("rsa")
    verifier = issuer.verifier()
    await verifier.verify(token())
    issuer.down, issuer.now = True, 601.0
    assert await verifier.verify(token())


class Held(Issuer):
    """An issuer that takes its time while `gate` is closed."""

    def __init__(self, *kids):
        super().__init__(*kids)
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url):
        await self.gate.wait()
        return await super().fetch(url)


async def test_nobody_waits_for_an_issuer_whose_keys_are_known():
    issuer = Held("rsa")
    verifier = issuer.verifier()
    await verifier.verify(token())
    issuer.gate.clear()
    issuer.now = 301.0  # old enough to be renewed, beside the calls
    assert await asyncio.wait_for(verifier.verify(token()), 1)
    issuer.down = True
    issuer.gate.set()
    await asyncio.sleep(0.01)
    issuer.gate.clear()
    for issuer.now in (601.0, 612.0):  # too old, but it is known that the issuer is away
        assert await asyncio.wait_for(verifier.verify(token()), 1)
    issuer.down = False
    issuer.keys = [jwk("ec")]
    issuer.gate.set()
    await asyncio.sleep(0.01)
    assert "unknown key" in (await refused(verifier, token())).detail


async def test_one_broken_key_does_not_keep_the_others_out():
    issuer = Issuer("rsa")
    broken = {"kty": "RSA", "kid": "b", "n": "!", "e": "AQAB"}
    off_curve = {**jwk("ec"), "kid": "c", "x": "AAAA"}
    numbers = {"kty": "EC", "crv": "P-256", "kid": "d", "x": 1, "y": 2}
    issuer.keys = [broken, off_curve, numbers, *issuer.keys]
    assert await issuer.verifier().verify(token())


@pytest.mark.parametrize("told", [b"[]", b"{}", b'{"keys": null}', b'{"keys": ["x"]}', b"<html>"])
async def test_what_is_no_key_set_is_an_issuer_that_is_away(told):
    async def fetch(url):
        return told

    for jwks_url in (None, ISSUER + "/keys"):
        chosen = JwtSettings(ISSUER, jwks_url=jwks_url)
        verifier = JwtVerifier(chosen, KeySet(chosen, fetch))
        assert (await refused(verifier, token())).kind == "unavailable"


async def test_no_keys_at_all_is_unavailable_not_unauthenticated():
    issuer = Issuer("rsa")
    issuer.down = True
    assert (await refused(issuer.verifier(), token())).kind == "unavailable"


async def test_discovery():
    issuer = Issuer("rsa")
    assert await issuer.verifier(jwks_url=None).verify(token())
    assert issuer.fetched == [ISSUER + "/.well-known/openid-configuration", ISSUER + "/keys"]


async def test_claim_names_and_paths_are_configurable():
    settings = {
        "workspace_claim": "https://omniroute.example/ws",
        "roles_claim": "realm.roles",
        "agent_claim": "employee",
    }
    text = token(
        **{"https://omniroute.example/ws": "beta", "realm": {"roles": "ops supervisor x"}},
        employee="ben",
        workspace=None,
    )
    principal = await Issuer("rsa").verifier(**settings).verify(text)
    assert principal.workspace == "beta"
    assert principal.roles == ("supervisor", "ops")
    assert principal.agent == "ben"


@pytest.mark.parametrize("roles", [None, 5, {"a": 1}, [], ["root"]])
async def test_unknown_roles_grant_nothing(roles):
    assert (await Issuer("rsa").verifier().verify(token(roles=roles))).roles == ()
