"""JSON Web Tokens that vendors send: decoded with the keys given, judged at the time of receipt."""

import base64
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.signatures import any_same
from shared.contracts.instants import SECOND_US

MAX_KEYS = 50
_CHECKS = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def bearer_of(request: InboundRequest) -> str | None:
    """The token of `Authorization: Bearer …`."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def public_keys(secrets: Iterable[str]) -> list[tuple[Mapping[str, Any], Any]]:
    """(attributes, key) of every public key in these texts, each a PEM, a JWK or a JWK set. What is
    none is left out."""
    found: list[tuple[Mapping[str, Any], Any]] = []
    for text in secrets:
        try:
            if text.lstrip().startswith("{"):
                found += _json_keys(json.loads(text))
            else:
                found.append(({}, load_pem_public_key(text.encode())))
        except (ValueError, TypeError, RecursionError, jwt.PyJWTError):
            continue
    return found[:MAX_KEYS]


def _json_keys(value: Any) -> list[tuple[Mapping[str, Any], Any]]:
    keys = value.get("keys") if isinstance(value.get("keys"), list) else [value]
    usable = [key for key in keys if isinstance(key, dict) and key.get("kty") in ("RSA", "EC")]
    return [(key, jwt.PyJWK(key).key) for key in usable]


def decode(token: str, key: Any, algorithms: list[str]) -> dict[str, Any] | None:
    """The claims where the key signed the token; no time or audience is judged."""
    try:
        options: Any = _CHECKS
        return jwt.decode(token, key, algorithms=algorithms, options=options)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def in_time(claims: Mapping[str, Any], received_at_us: int, leeway_s: int) -> bool:
    """Not expired and not of the future when it was received. A token without end is refused."""
    leeway_us = leeway_s * SECOND_US
    end = fields.number(claims, "exp")
    start = fields.number(claims, "nbf") or fields.number(claims, "iat")
    if end is None or received_at_us > end * SECOND_US + leeway_us:
        return False
    return start is None or received_at_us >= start * SECOND_US - leeway_us


def hs256(token: str, secrets: Iterable[str]) -> dict[str, Any] | None:
    """The claims of a token signed with one of the shared secrets, of whatever length vendors
    chose; no time or audience is judged."""
    signed, _, signature = token.rpartition(".")
    header, claims = (_part(part) for part in (*signed.split(".", 1), "", "")[:2])
    if header.get("alg") != "HS256":
        return None
    message = signed.encode("utf-8", "surrogatepass")
    expected = [_unpadded(hmac.new(s.encode(), message, "sha256").digest()) for s in secrets]
    return claims if any_same(expected, signature) else None


def _part(text: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def sign_hs256(claims: Mapping[str, Any], secret: str) -> str:
    """A token of ours."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    text = ".".join(_unpadded(json.dumps(each, separators=(",", ":")).encode()) for each in parts)
    return f"{text}.{_unpadded(hmac.new(secret.encode(), text.encode(), 'sha256').digest())}"
