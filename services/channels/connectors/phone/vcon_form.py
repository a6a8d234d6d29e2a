"""The outer form of a vCon: plain, signed or encrypted; and whether the document is in order."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest, Parsed, Secrets, Verdict
from services.channels.connectors.public_keys import PublicKey, signed_by
from shared.contracts.instants import SECOND_US

VERSIONS = ("0.0.1", "0.0.2", "0.3.0", "0.4.0")
DIALOG_TYPES = ("recording", "text", "transfer", "incomplete")
MAX_CHAIN = 8

_MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}\s*(?:;|\Z)")
_BROKEN = (ValueError, TypeError, InvalidSignature)


def document_of(payload: Any, parsed: Parsed) -> tuple[dict[str, Any] | None, str]:
    """(the document, its form); None with a problem for what is encrypted or no document."""
    outer = fields.obj(payload)
    if "ciphertext" in outer or "recipients" in outer:
        parsed.lose("encrypted", "Encrypted documents are not supported.")
        return None, "encrypted"
    if "payload" not in outer:
        if not outer:
            parsed.lose("invalid_vcon", "The body is no JSON object.")
        return outer or None, "unsigned"
    inner = fields.decode_json(_decoded(outer.get("payload")), parsed)
    if not isinstance(inner, dict):
        parsed.lose("invalid_vcon", "The signed payload is no JSON object.")
        return None, "signed"
    return inner, "signed"


def _decoded(text: Any) -> bytes:
    """base64url without padding; b"" for anything else."""
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def media_type(part: dict[str, Any]) -> str:
    """The media type of a part without parameters; `mimetype` is what it was called before 0.0.2."""
    written = fields.text(part, "mediatype") or fields.text(part, "mimetype") or ""
    return written.partition(";")[0].strip().lower()


def content_of(part: dict[str, Any]) -> bytes:
    """The inline content of a part."""
    body, encoding = part.get("body"), (fields.text(part, "encoding") or "none").lower()
    if encoding in ("base64url", "base64"):
        written = "".join(body.split()) if isinstance(body, str) else ""
        return _decoded(written.replace("+", "-").replace("/", "_").rstrip("="))
    return body.encode("utf-8", "replace") if isinstance(body, str) else b""


def faults(document: dict[str, Any]) -> list[str]:
    """What is wrong with a document; [] when it can be used."""
    found: list[str] = []
    if fields.key(document, "uuid") is None:
        found.append("The document has no uuid.")
    if document.get("vcon") not in VERSIONS:
        found.append(f"The version is none of {', '.join(VERSIONS)}.")
    parties = document.get("parties")
    if not isinstance(parties, list) or not all(isinstance(each, dict) for each in parties):
        found.append("`parties` is no list of objects.")
        return found
    for name in ("dialog", "analysis", "attachments"):
        listed = document.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            found.append(f"`{name}` is no list of objects.")
        elif len(listed) > fields.MAX_ITEMS:
            found.append(f"`{name}` has more than {fields.MAX_ITEMS} entries.")
    for number, dialog in enumerate(fields.items(document, "dialog")):
        found += [f"Dialog {number}: {fault}" for fault in _dialog_faults(dialog, len(parties))]
    return found


def _dialog_faults(dialog: dict[str, Any], parties: int) -> list[str]:
    found: list[str] = []
    if dialog.get("type") not in DIALOG_TYPES:
        found.append(f"the type is none of {', '.join(DIALOG_TYPES)}.")
    if not _is_instant(dialog.get("start")):
        found.append("`start` is no instant.")
    duration = dialog.get("duration")
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if duration is not None and not (number and duration >= 0):
        found.append("`duration` is no number of seconds.")
    for index in [*_indices(dialog.get("parties")), *_indices(dialog.get("originator"))]:
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < parties:
            found.append("it names a party that there is not.")
            break
    kind = dialog.get("mediatype", dialog.get("mimetype"))
    if kind is not None and not (isinstance(kind, str) and _MEDIA.match(kind)):
        found.append("`mediatype` is no media type.")
    url = dialog.get("url")
    if url and not _is_url(url):
        found.append("`url` is no address.")
    return found


def _indices(value: Any) -> list[Any]:
    """Party indices: one, a list of them, or a list of lists (one per audio channel)."""
    if value is None:
        return []
    if not isinstance(value, list):
        return [value]
    flat = [each if isinstance(each, list) else [each] for each in value]
    return [index for each in flat for index in each]


def _is_instant(text: Any) -> bool:
    try:
        datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return False
    return True


def _is_url(text: Any) -> bool:
    try:
        parts = urlsplit(text) if isinstance(text, str) else None
        return bool(parts and parts.scheme and (parts.netloc or parts.path.startswith("/")))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class VconSignature:
    """A JWS in JSON with the signer's chain in `x5c`. The address guards what is unsigned, unless a
    trusted certificate says that everything has to be signed.

    RFC 7515; the chain's last certificate is the trusted one or is signed by it.
    """

    secret: str = "trusted_certificate"
    secret_names: tuple[str, ...] = ()

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        trusted = [each for text in secrets.get(self.secret, ()) for each in _certificates(text)]
        outer = fields.obj(fields.decode_json(request.body, Parsed()))
        if "signatures" not in outer:
            return "invalid" if secrets.get(self.secret) else "none"
        chain = _signers(outer)
        if chain is None:
            return "invalid"
        if not secrets.get(self.secret):
            return "none"
        return "valid" if _leads_to(chain, trusted, request.received_at_us) else "invalid"


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except _BROKEN:
        return []


def _signers(outer: dict[str, Any]) -> list[x509.Certificate] | None:
    """The chain of the first signature; None when a signature does not hold, or there is none."""
    payload, first = outer.get("payload"), None
    if not isinstance(payload, str):
        return None
    for each in fields.items(outer, "signatures"):
        chain = _chain(each, payload)
        if chain is None:
            return None
        first = first or chain
    return first


def _chain(signature: dict[str, Any], payload: str) -> list[x509.Certificate] | None:
    protected = signature.get("protected")
    if not isinstance(protected, str):
        return None
    head = fields.obj(fields.decode_json(_decoded(protected), Parsed()))
    head = {**fields.obj(signature, "header"), **head}
    listed = head.get("x5c")
    if head.get("alg") not in ("RS256", "ES256") or not isinstance(listed, list) or not listed:
        return None
    try:
        ders = [base64.b64decode(each) for each in listed[:MAX_CHAIN]]
        chain = [x509.load_der_x509_certificate(der) for der in ders]
        key = chain[0].public_key()
    except (*_BROKEN, binascii.Error):
        return None
    message = f"{protected}.{payload}".encode()
    value = _decoded(signature.get("signature"))
    if head["alg"] == "ES256":
        value = _asn1(value)
    if not isinstance(key, PublicKey) or not signed_by(key, value, message, hashes.SHA256()):
        return None
    return chain


def _asn1(value: bytes) -> bytes:
    """JOSE's r and s as the ASN.1 that verification takes."""
    half = len(value) // 2
    return encode_dss_signature(int.from_bytes(value[:half]), int.from_bytes(value[half:]))


def _leads_to(
    chain: list[x509.Certificate], trusted: list[x509.Certificate], received_at_us: int
) -> bool:
    """Whether each certificate is signed by the next, and one of them is trusted or signed by one
    that is; all in force at the time of receipt."""
    try:
        now = datetime.fromtimestamp(received_at_us / SECOND_US, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    for at, certificate in enumerate(chain):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return False
        if any(certificate == each or _issued(certificate, each) for each in trusted):
            return True
        if at + 1 == len(chain) or not _issued(certificate, chain[at + 1]):
            return False
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _BROKEN:
        return False
    return True
