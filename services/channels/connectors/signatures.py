"""Signature schemes that several vendors share. All compare in constant time, accept several secrets
at once (rotation), judge age at the time of receipt and never raise."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.channels.connectors.port import (
    InboundRequest,
    Secrets,
    SignatureScheme,
    Verdict,
)
from shared.contracts.instants import SECOND_US, parse_instant

Encoding = Literal["hex", "base64"]


def same(left: str | bytes, right: str | bytes) -> bool:
    """Equality whose time does not depend on where they differ."""
    return hmac.compare_digest(_bytes(left), _bytes(right))


def any_same(expected: Iterable[str], given: str) -> bool:
    """Whether one of the expected values is the given one; looks at all of them."""
    return max([same(value, given) for value in expected], default=False)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def digest(algorithm: str, secret: str | bytes, message: bytes, encoding: Encoding = "hex") -> str:
    """HMAC of a message as text."""
    raw = hmac.digest(_bytes(secret), message, algorithm)
    return raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()


def fresh(timestamp_us: int, received_at_us: int, tolerance_s: int) -> bool:
    """Neither older nor further in the future than the tolerance."""
    return abs(received_at_us - timestamp_us) <= tolerance_s * SECOND_US


def decimal_us(text: str | None, unit_us: int = SECOND_US) -> int | None:
    """A decimal timestamp in the unit given (microseconds a unit); None for anything else."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 20:
        return None
    return int(text) * unit_us


@dataclass(frozen=True, slots=True)
class Unsigned:
    """The vendor cannot sign: the address carries an unguessable part, and the verdict is none."""

    secret_names: tuple[str, ...] = ()

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        return "none"


@dataclass(frozen=True, slots=True)
class BodyHmac:
    """HMAC over a template of the request, in a header.

    `message` is a format over {body} and {timestamp} and defaults to the raw body. With a
    `timestamp_header` the request must be `fresh`. Sources: Meta and GitHub (X-Hub-Signature-256),
    Slack, LINE, Zendesk, Chatwoot.
    """

    secret: str
    header: str
    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    message: str = "{body}"
    timestamp_header: str | None = None
    tolerance_s: int = 300

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        given = request.header(self.header)
        stamp = request.header(self.timestamp_header) if self.timestamp_header else ""
        if not given or stamp is None or not self._in_time(stamp, request.received_at_us):
            return "invalid"
        message = self._filled(request.body, stamp)
        return "valid" if any_same([self.sign(s, message) for s in known], given) else "invalid"

    def sign(self, secret: str, message: bytes) -> str:
        """The header's value for a message (the body, or the filled template)."""
        return self.prefix + digest(self.algorithm, secret, message, self.encoding)

    def headers(self, secret: str, body: bytes, stamp: str) -> tuple[tuple[str, str], ...]:
        """The headers that sign a body."""
        stamped = () if self.timestamp_header is None else ((self.timestamp_header, stamp),)
        message = self._filled(body, stamp)
        return (*stamped, (self.header, self.sign(secret, message)))

    def _in_time(self, stamp: str, received_at_us: int) -> bool:
        if self.timestamp_header is None:
            return True
        timestamp = _stamp_us(stamp)
        return timestamp is not None and fresh(timestamp, received_at_us, self.tolerance_s)

    def _filled(self, body: bytes, stamp: str) -> bytes:
        if self.message == "{body}":
            return body
        before, _, after = self.message.partition("{body}")
        start, end = before.replace("{timestamp}", stamp), after.replace("{timestamp}", stamp)
        return _bytes(start) + body + _bytes(end)


def _stamp_us(text: str) -> int | None:
    """A header's time: decimal seconds, or ISO 8601 (Zendesk)."""
    seconds = decimal_us(text)
    if seconds is not None:
        return seconds
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        return None


HUB_SIGNATURE_256 = BodyHmac("app_secret", "X-Hub-Signature-256", prefix="sha256=")


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A header that carries the secret itself (Telegram, Sunshine, AssemblyAI)."""

    secret: str
    header: str

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        return "valid" if any_same(known, request.header(self.header) or "") else "invalid"


@dataclass(frozen=True, slots=True)
class TwilioSignature:
    """X-Twilio-Signature: base64 HMAC-SHA1 over the public URL and the sorted form.

    A body that is no form is covered by the query's bodySHA256 instead. Twilio signs with or without
    the port, so both are tried. https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """

    secret: str = "auth_token"
    header: str = "X-Twilio-Signature"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        given = request.header(self.header) or ""
        form = self._form(request)
        if not given or form is None:
            return "invalid"
        expected = [self.sign(s, url, form) for s in known for url in _port_variants(request.url)]
        return "valid" if any_same(expected, given) else "invalid"

    def sign(self, secret: str, url: str, form: Iterable[tuple[str, str]]) -> str:
        """The header's value. The form's keys are sorted, and so are the distinct values of each."""
        pairs = "".join(name + value for name, value in sorted(set(form)))
        return digest("sha1", secret, (url + pairs).encode("utf-8", "surrogatepass"), "base64")

    def _form(self, request: InboundRequest) -> list[tuple[str, str]] | None:
        """What of the body is signed; None when nothing covers the body."""
        if request.media_type == "application/x-www-form-urlencoded":
            return form_of(request.body)
        claimed = request.argument("bodySHA256")
        if claimed is None:
            return None if request.body else []
        covered = same(hashlib.sha256(request.body).hexdigest(), claimed.lower())
        return [] if covered else None


def form_of(body: bytes, limit: int = 1000) -> list[tuple[str, str]] | None:
    """The pairs of an urlencoded body, blank ones too; None when it is none or has too many."""
    try:
        text = body.decode("utf-8", "replace")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=limit)
    except ValueError:
        return None


_PORTS = {"http": 80, "https": 443}


def _port_variants(url: str) -> list[str]:
    """The URL as it is, without its port, and with its scheme's port; never with a fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    parts = parts._replace(fragment="")
    user, at, host = parts.netloc.rpartition("@")
    bare = host.rpartition(":")[0] if port is not None else host
    default = _PORTS.get(parts.scheme, 443)
    hosts = [host, bare, f"{bare}:{port or default}"]
    return [urlunsplit(parts._replace(netloc=user + at + each)) for each in dict.fromkeys(hosts)]


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """webhook-id, webhook-timestamp, webhook-signature (`v1,` base64 HMAC-SHA256, several at once).

    `public_key` names the secret of the ed25519 keys (`whpk_…`) where `v1a,` is accepted too.
    `headers` is the prefix of the three names (`svix` for Svix). The library of that name reads the
    machine's clock, so it cannot judge age at the time of receipt.
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    secret: str = "signing_secret"
    headers: str = "webhook"
    tolerance_s: int = 300
    public_key: str | None = None

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret, *([self.public_key] if self.public_key else []))

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        public = secrets.get(self.public_key, ()) if self.public_key else ()
        if not known and not public:
            return "none"
        identity = request.header(f"{self.headers}-id")
        stamp = request.header(f"{self.headers}-timestamp")
        timestamp = decimal_us(stamp)
        if not identity or stamp is None or timestamp is None:
            return "invalid"
        if not fresh(timestamp, request.received_at_us, self.tolerance_s):
            return "invalid"
        given = (request.header(f"{self.headers}-signature") or "").split()[:16]
        expected = [self.sign(secret, identity, stamp, request.body) for secret in known]
        if any(any_same(expected, each) for each in given):
            return "valid"
        message = f"{identity}.{stamp}.".encode("utf-8", "surrogatepass") + request.body
        asymmetric = [each.removeprefix("v1a,") for each in given if each.startswith("v1a,")]
        proved = any(_ed25519(key, each, message) for key in public for each in asymmetric)
        return "valid" if proved else "invalid"

    def sign(self, secret: str, identity: str, timestamp: str, body: bytes) -> str:
        """One signature, `v1,` included."""
        message = f"{identity}.{timestamp}.".encode("utf-8", "surrogatepass") + body
        return "v1," + digest("sha256", _webhook_key(secret), message, "base64")


def _webhook_key(secret: str) -> bytes:
    """The key behind a secret as senders show it; never an empty one, which anybody could guess."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    except (binascii.Error, ValueError):
        key = b""
    return key or secret.encode()


def _ed25519(key: str, signature: str, message: bytes) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
        public.verify(base64.b64decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Several schemes of which the secrets that are given decide: one that holds is enough.

    `optional`: a sender that has none of them is still let in by its unguessable address.
    """

    schemes: tuple[SignatureScheme, ...]
    optional: bool = False

    @property
    def secret_names(self) -> tuple[str, ...]:
        names = dict.fromkeys(name for scheme in self.schemes for name in scheme.secret_names)
        return () if self.optional else tuple(names)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        verdicts = {scheme.verify(request, secrets) for scheme in self.schemes}
        if "valid" in verdicts:
            return "valid"
        return "invalid" if "invalid" in verdicts else "none"
