"""Signatures made with a private key: ECDSA, Amazon SNS, JSON Web Tokens. Connectors do no I/O, so
the public keys and certificates are given as secrets. Nothing here raises on bad input."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from re import compile as regex
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest, Parsed, Secrets, Verdict
from services.channels.connectors.signatures import decimal_us
from shared.contracts.instants import SECOND_US, parse_instant

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
FUTURE_SKEW_S = 300

_BROKEN = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, jwt.PyJWTError)
_PEM = regex(r"-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----")


@lru_cache(maxsize=256)
def public_keys(text: str) -> tuple[tuple[str | None, PublicKey], ...]:
    """(key id, key) of a PEM certificate or public key (or several), of base64 DER, of a JWK or a
    JWK set; () for anything else."""
    written = text.strip()
    if written.startswith("{"):
        return tuple(_from_jwks(written))
    blocks = [block[0] for block in _PEM.finditer(written)]
    found = [_from_pem(block) for block in blocks] if blocks else [_from_der(written)]
    return tuple((None, key) for key in found if key is not None)


def _from_jwks(written: str) -> Iterator[tuple[str | None, PublicKey]]:
    try:
        document = json.loads(written)
    except (ValueError, RecursionError):
        return
    for each in fields.items(document, "keys") if "keys" in document else [document]:
        try:
            key = jwt.PyJWK.from_dict(each).key
        except _BROKEN:
            continue
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            yield fields.key(each, "kid"), key


def _from_pem(block: str) -> PublicKey | None:
    try:
        if "CERTIFICATE" in block:
            return _usable(x509.load_pem_x509_certificate(block.encode()).public_key())
        return _usable(serialization.load_pem_public_key(block.encode()))
    except _BROKEN:
        return None


def _from_der(written: str) -> PublicKey | None:
    try:
        der = base64.b64decode("".join(written.split()), validate=True)
        return _usable(serialization.load_der_public_key(der))
    except (*_BROKEN, binascii.Error):
        return None


def _usable(key: Any) -> PublicKey | None:
    return key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else None


def all_keys(secrets: Secrets, name: str) -> list[PublicKey]:
    """The keys in every value of a secret."""
    return [key for text in secrets.get(name, ()) for _, key in public_keys(text)]


def signed_by(
    key: PublicKey, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    """Whether a key made a signature: PKCS #1 1.5 for RSA, ASN.1 for elliptic curves."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), algorithm)
        else:
            key.verify(signature, message, ec.ECDSA(algorithm))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def decode_base64(text: str | None) -> bytes:
    """The bytes behind standard base64; b"" for what is none."""
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        return b""


def not_ahead(timestamp_us: int | None, received_at_us: int) -> bool:
    """Whether a timestamp lies in the past, give or take FUTURE_SKEW_S. For vendors that repeat for
    days and do not sign repeats anew: old is no fault there, and the ids tell a repeat."""
    if timestamp_us is None:
        return False
    return timestamp_us <= received_at_us + FUTURE_SKEW_S * SECOND_US


@dataclass(frozen=True, slots=True)
class EcdsaOverBody:
    """ECDSA P-256 with SHA-256 over timestamp + raw body, both named by headers.

    https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/securing-your-parse-webhooks
    """

    secret: str = "public_key"
    header: str = "X-Twilio-Email-Event-Webhook-Signature"
    timestamp_header: str = "X-Twilio-Email-Event-Webhook-Timestamp"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        if not secrets.get(self.secret):
            return "none"
        stamp = request.header(self.timestamp_header) or ""
        signature = decode_base64(request.header(self.header))
        if not signature or not not_ahead(decimal_us(stamp), request.received_at_us):
            return "invalid"
        message = stamp.encode() + request.body
        known = all_keys(secrets, self.secret)
        good = any(signed_by(key, signature, message, hashes.SHA256()) for key in known)
        return "valid" if good else "invalid"


_SNS_HOST = regex(r"sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?\Z")
_SNS_PATH = regex(r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem\Z")
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def sns_host(url: str | None) -> bool:
    """Whether an address is one of Amazon SNS itself: https, and no port, user or other host."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return False
    return parts.scheme == "https" and bool(_SNS_HOST.match(parts.netloc))


def sns_message(envelope: Mapping[str, Any]) -> bytes:
    """What SNS signs: names and values by line, sorted; an absent Subject is left out."""
    names = _NOTIFICATION if envelope.get("Type") == "Notification" else _CONFIRMATION
    present = [name for name in names if isinstance(envelope.get(name), str)]
    text = "".join(f"{name}\n{envelope[name]}\n" for name in present)
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class SnsSignature:
    """Amazon SNS: RSA over the envelope's own fields, SHA-1 (version 1) or SHA-256 (version 2).

    The certificate is given; the address that the envelope names for it is pinned to SNS all the
    same. All customers of SNS share its keys, so a kind also compares the topic.
    https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
    """

    secret: str = "signing_certificate"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        if not secrets.get(self.secret):
            return "none"
        envelope = fields.obj(fields.decode_json(request.body, Parsed()))
        signature = decode_base64(fields.text(envelope, "Signature"))
        algorithm = self._algorithm(fields.text(envelope, "SignatureVersion"))
        if algorithm is None or not signature or not self._plausible(envelope, request):
            return "invalid"
        message = sns_message(envelope)
        known = all_keys(secrets, self.secret)
        good = any(signed_by(key, signature, message, algorithm) for key in known)
        return "valid" if good else "invalid"

    def _algorithm(self, version: str | None) -> hashes.HashAlgorithm | None:
        if version == "1":
            return hashes.SHA1()
        return hashes.SHA256() if version == "2" else None

    def _plausible(self, envelope: Mapping[str, Any], request: InboundRequest) -> bool:
        url = fields.text(envelope, "SigningCertURL") or ""
        if not sns_host(url) or not _SNS_PATH.match(urlsplit(url).path):
            return False
        try:
            sent = parse_instant(fields.text(envelope, "Timestamp") or "")
        except (ValueError, OverflowError):
            return False
        return not_ahead(sent, request.received_at_us)


def token_claims(
    token: str, texts: tuple[str, ...], received_at_us: int, *, skew_s: int = 300
) -> dict[str, Any] | None:
    """The claims of a JWT (RS256 or ES256) that one of the keys signed and that is in force at the
    time of receipt; None otherwise. Issuer and audience are the caller's to judge."""
    try:
        header = jwt.get_unverified_header(token)
    except _BROKEN:
        return None
    if header.get("alg") not in ("RS256", "ES256"):
        return None
    kid = header.get("kid")
    for name, key in (pair for text in texts for pair in public_keys(text)):
        if name is not None and kid is not None and name != kid:
            continue
        claims = _claims(token, key, header["alg"])
        if claims is not None:
            return claims if _in_force(claims, received_at_us // SECOND_US, skew_s) else None
    return None


def _claims(token: str, key: PublicKey, algorithm: str) -> dict[str, Any] | None:
    timeless = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        return jwt.decode(token, key, algorithms=[algorithm], options={**timeless})  # type: ignore[arg-type]
    except _BROKEN:
        return None


def _in_force(claims: dict[str, Any], now_s: int, skew_s: int) -> bool:
    expires = fields.number(claims, "exp")
    begins = fields.number(claims, "nbf") or fields.number(claims, "iat") or 0
    return expires is not None and begins - skew_s <= now_s <= expires + skew_s


def bearer(request: InboundRequest) -> str:
    """The token of an Authorization header; "" when there is none."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


@cache
def example_key() -> tuple[rsa.RSAPrivateKey, str]:
    """A key pair for examples, the public half as PEM; made anew by each process, guards nothing."""
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public.decode()
