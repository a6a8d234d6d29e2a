"""Credentials that a vendor repeats with each request: user and password, a bearer token, a word of
ours in the body. They prove who calls, not what was sent: TLS has to keep the body whole."""

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from services.channels.connectors.port import InboundRequest, Secrets, Verdict
from services.channels.connectors.signatures import any_same


def basic_credentials(request: InboundRequest) -> str:
    """`user:password` of the Authorization header, else of the URL itself; "" when there is none."""
    scheme, _, value = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
    try:
        user, at, _ = urlsplit(request.url).netloc.rpartition("@")
    except ValueError:
        return ""
    return unquote(user) if at else ""


def basic_header(credentials: str) -> tuple[str, str]:
    """The header that carries `user:password`."""
    return "Authorization", "Basic " + base64.b64encode(credentials.encode()).decode()


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP basic authentication; the secret is `user:password`.

    With `path_suffices` a request without any credentials, while none is configured, is left to the
    unguessable address (verdict none): for vendors that cannot sign at all.
    """

    secret: str = "basic_auth"
    path_suffices: bool = False

    @property
    def secret_names(self) -> tuple[str, ...]:
        return () if self.path_suffices else (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        return "valid" if any_same(known, basic_credentials(request)) else "invalid"
