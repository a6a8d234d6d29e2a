"""Requests to Amazon's APIs, signed with an access key (Signature Version 4).

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from shared.contracts.instants import SECOND_US
from shared.fetching.ask import Ask

_UNRESERVED = "-_.~"


def signed(ask: Ask, key_id: str, secret: str, region: str, service: str, at_us: int) -> Ask:
    """The request with its Authorization header, good for a few minutes around `at_us`."""
    parts = urlsplit(ask.url)
    moment = datetime.fromtimestamp(at_us // SECOND_US, UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    content = sha256(ask.body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": content, "x-amz-date": stamp}
    names = ";".join(headers)
    canonical = "\n".join(
        [
            ask.method,
            quote(unquote(parts.path) or "/", safe=f"/{_UNRESERVED}"),
            _query(parts.query),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            names,
            content,
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    more = [(name, value) for name, value in headers.items() if name != "host"]
    authorisation = ("Authorization", f"AWS4-HMAC-SHA256 {credential}")
    return msgspec.structs.replace(ask, headers=(*ask.headers, *more, authorisation))


def _query(query: str) -> str:
    pairs = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in parse_qsl(query, keep_blank_values=True)
    )
    return "&".join(f"{name}={value}" for name, value in pairs)
