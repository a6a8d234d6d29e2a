"""HTTP Message Signatures with a shared key, in the older draft that Genesys AudioHook uses.

https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-message-signatures-11
"""

import base64
import binascii
import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.channels.connectors.port import InboundRequest, Secrets, Verdict
from services.channels.connectors.signatures import any_same, decimal_us, digest
from shared.contracts.instants import SECOND_US

SKEW_S = 60
_INPUT = re.compile(r'\s*([a-z*][a-z0-9_.*-]{0,63})=(\(("[^"()]{1,64}"\s*){1,30}\)[^,]{0,1000})')
_VALUE = re.compile(r"([a-z*][a-z0-9_.*-]{0,63})=:([A-Za-z0-9+/=]{1,200}):")
_PARAMETER = re.compile(r';\s*([a-z]{1,20})=("(?:[^"\\]|\\.)*"|[0-9]{1,20})')


def keys_of(secret: str) -> list[bytes]:
    """The key behind a secret: as it is, and decoded where it is base64, as Genesys shows it."""
    written = secret.removeprefix("base64:").strip()
    found = [secret.encode("utf-8", "surrogatepass")]
    with suppress(binascii.Error, ValueError):
        found.append(base64.b64decode(written, validate=True))
    return [key for key in found if key]


@dataclass(frozen=True, slots=True)
class HttpMessageSignature:
    """hmac-sha256 over the components that Signature-Input lists. In force from `created` to
    `expires`, where the sender sets them. The body is not covered."""

    secret: str = "client_secret"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = [key for secret in secrets.get(self.secret, ()) for key in keys_of(secret)]
        if not known:
            return "none"
        inputs = {m[1]: m[2].strip() for m in _INPUT.finditer(_joined(request, "signature-input"))}
        given = {m[1]: m[2] for m in _VALUE.finditer(_joined(request, "signature"))}
        for label, described in list(inputs.items())[:4]:
            base = signature_base(request, described)
            if label not in given or base is None or not _in_force(described, request):
                continue
            expected = [digest("sha256", key, base, "base64") for key in known]
            if any_same(expected, given[label]):
                return "valid"
        return "invalid"

    def sign(
        self, request: InboundRequest, secret: str, described: str
    ) -> tuple[tuple[str, str], ...]:
        """The two headers for a request with everything else in place."""
        base = signature_base(request, described) or b""
        value = digest("sha256", keys_of(secret)[-1], base, "base64")
        return ("Signature-Input", f"sig1={described}"), ("Signature", f"sig1=:{value}:")


def _joined(request: InboundRequest, name: str) -> str:
    return ", ".join(v.strip() for k, v in request.headers if k.lower() == name)[:4000]


def signature_base(request: InboundRequest, described: str) -> bytes | None:
    """What is signed; None when a component is not there."""
    lines: list[str] = []
    for name in re.findall(r'"([^"]+)"', described.partition(")")[0]):
        value = _component(request, name.lower())
        if value is None:
            return None
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {described}')
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _component(request: InboundRequest, name: str) -> str | None:
    try:
        parts = urlsplit(request.url)
    except ValueError:
        return None
    query = f"?{parts.query}" if parts.query else ""
    if name == "@authority":
        return (request.header("host") or parts.netloc.rpartition("@")[2]).strip().lower() or None
    derived = {
        "@request-target": (parts.path or "/") + query,
        "@path": parts.path or "/",
        "@query": query or "?",
        "@method": request.method.upper(),
        "@target-uri": request.url,
        "@scheme": parts.scheme,
    }
    if name.startswith("@"):
        return derived.get(name)
    values = [value.strip() for key, value in request.headers if key.lower() == name]
    return ", ".join(values) if values else None


def _in_force(described: str, request: InboundRequest) -> bool:
    given = dict(_PARAMETER.findall(described.partition(")")[2]))
    if given.get("alg", '"hmac-sha256"') != '"hmac-sha256"':
        return False
    now, skew = request.received_at_us, SKEW_S * SECOND_US
    created, expires = decimal_us(given.get("created")), decimal_us(given.get("expires"))
    begun = created is None or created <= now + skew
    return begun and (expires is None or now <= expires + skew)
