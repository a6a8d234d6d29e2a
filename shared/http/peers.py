"""Mutual authentication of replicas that forward calls to each other.

A key derived from OMNIROUTE_SECRET_KEY signs method, target, instant, nonce, body and the principal
that the first replica authenticated; the owner proves itself by signing that signature.
"""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from os import urandom

import msgspec

from shared.contracts.problems import Refused
from shared.http.principals import Principal

FORWARDED = "x-omniroute-forwarded"
PRINCIPAL = "x-omniroute-principal"
AT = "x-omniroute-at"
NONCE = "x-omniroute-nonce"
DIGEST = "x-omniroute-digest"
SIGNATURE = "x-omniroute-signature"
OWNER = "x-omniroute-owner"

WINDOW_S = 30
MAX_NONCES = 100_000


class PeerSeal:
    """Signs calls to other replicas and checks theirs. `secret` is OMNIROUTE_SECRET_KEY."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, b"omniroute peer forwarding v1", "sha256")
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def sign(
        self, method: str, target: str, body: bytes, principal: Principal | None
    ) -> dict[str, str]:
        """The headers that carry one forwarded call."""
        who = "" if principal is None else _pack(principal)
        at, nonce, digest = str(int(self._clock())), urandom(12).hex(), sha256(body).hexdigest()
        return {
            FORWARDED: "1",
            PRINCIPAL: who,
            AT: at,
            NONCE: nonce,
            DIGEST: digest,
            SIGNATURE: self._mac("call", method, target, at, nonce, digest, who),
        }

    def check(self, method: str, target: str, headers: Mapping[str, str]) -> Principal | None:
        """The principal of a forwarded call. Raises Refused("unauthenticated").

        The caller of this must still compare the body with `headers[DIGEST]`.
        """
        at, nonce = headers.get(AT, ""), headers.get(NONCE, "")
        who = headers.get(PRINCIPAL, "")
        wanted = self._mac("call", method, target, at, nonce, headers.get(DIGEST, ""), who)
        if not same(wanted, headers.get(SIGNATURE, "")):
            raise _untrusted("signature")
        ahead_s = int(at) - round(self._clock())
        if abs(ahead_s) > WINDOW_S:
            raise _untrusted(f"its clock differs by {ahead_s} s, more than {WINDOW_S} s")
        self._once(nonce)
        return _unpack(who) if who else None

    def answer(self, signature: str) -> str:
        """What the owner proves itself with."""
        return self._mac("answer", signature)

    def _once(self, nonce: str) -> None:
        now = self._clock()
        while self._seen and (
            next(iter(self._seen.values())) < now - 2 * WINDOW_S or len(self._seen) >= MAX_NONCES
        ):
            self._seen.popitem(last=False)
        if nonce in self._seen:
            raise _untrusted("repetition")
        self._seen[nonce] = now

    def _mac(self, *parts: str) -> str:
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))


def _untrusted(what: str) -> Refused:
    return Refused("unauthenticated", f"The forwarded call is not trusted: {what}.")


def _pack(principal: Principal) -> str:
    return urlsafe_b64encode(msgspec.json.encode(principal)).decode()


def _unpack(text: str) -> Principal:
    return msgspec.json.decode(urlsafe_b64decode(text), type=Principal)
