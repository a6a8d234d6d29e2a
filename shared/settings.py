"""Settings: read from the environment once, all faults reported together, secrets never printed."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from shared.contracts.topics import DAY_MS, DEFAULT_PARTITIONS, RAW, RETENTION_MS
from shared.db.engine import database_url
from shared.db.secrets import parse_keys

T = TypeVar("T")

_LIKE_OURS = ("OMNI", "KAFKA_BOOTSTRAP", "DATABASE")
_OF_OTHERS = frozenset({"OMNIROUTE_TOKEN", "OMNIROUTE_CACHE_DIR"})
_LIKENESS = 0.88  # one letter of ten or more, not another word

_USUAL_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")

MAX_PARTITIONS = 1024
SPOOL_RECORDS = 100_000
MAIL_BYTES = 30 * 1024 * 1024
MAIL_RECIPIENTS = 100
MAIL_TIMEOUT_S = 300
LEASE_S = 10.0
RAW_DAYS = RETENTION_MS[RAW] // DAY_MS


class SettingsError(ValueError):
    """What is wrong with the environment, one line a fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process of Omniroute is told. `read_settings` makes one; see docs for the variables.

    `database_url` None: an embedded server in `data_dir`. `kafka` None: the log in PostgreSQL.
    `public_url` is where vendors reach us (None: `advertised_url`); `blob_url` where attachments
    are kept (None: a folder in `data_dir`), large payloads for `raw_days`, attachments for
    `attachment_days` (None: for ever); `spool_records` how many records may wait while the bus
    is away; `fetch_allow` networks that connectors may call though they are not public; after
    `lease_s` without a sign of life a replica's shards go to others; pages of `cors_origins` may call
    the API from a browser. `jwt_issuer` None: API keys
    only. `misspelt` says which variables look like settings and are none. Claims are names or dotted
    paths. Mail is taken by LMTP and by SMTP where `lmtp_port` and `smtp_port` say so; `mail_tls_cert` and `mail_tls_key` are PEM files.
    """

    data_dir: Path = Path(".omniroute")
    host: str = "127.0.0.1"
    port: int = 8080
    advertised_url: str = "http://127.0.0.1:8080"
    public_url: str | None = None
    partitions: int = DEFAULT_PARTITIONS
    spool_records: int = SPOOL_RECORDS
    lease_s: float = LEASE_S
    blob_url: str | None = None
    raw_days: int = RAW_DAYS
    attachment_days: int | None = None
    fetch_allow: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    cors_origins: tuple[str, ...] = ()
    kafka: str | None = None
    log_level: str = "info"
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_jwks_url: str | None = None
    jwt_workspace_claim: str = "workspace"
    jwt_roles_claim: str = "roles"
    jwt_agent_claim: str = "agent"
    mail_host: str = "127.0.0.1"
    lmtp_port: int | None = None
    smtp_port: int | None = None
    mail_bytes: int = MAIL_BYTES
    mail_recipients: int = MAIL_RECIPIENTS
    mail_timeout_s: int = MAIL_TIMEOUT_S
    mail_tls_cert: Path | None = None
    mail_tls_key: Path | None = None
    misspelt: tuple[str, ...] = ()
    database_url: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environment` (the process's own by default); an empty value counts as unset.

    Raises SettingsError with every fault.
    """
    source = _Source(os.environ if environment is None else environment)
    host = source.take("OMNIROUTE_HOST", str, "127.0.0.1")
    port = source.take("OMNIROUTE_PORT", _port, 8080)
    settings = Settings(
        data_dir=source.take("OMNIROUTE_DATA_DIR", Path, Path(".omniroute")),
        host=host,
        port=port,
        advertised_url=source.take("OMNIROUTE_ADVERTISED_URL", _url, _reachable(host, port)),
        public_url=source.take("OMNIROUTE_PUBLIC_URL", _url, None),
        spool_records=source.take("OMNIROUTE_SPOOL_RECORDS", _spool, SPOOL_RECORDS),
        lease_s=source.take("OMNIROUTE_LEASE_S", _lease, LEASE_S),
        blob_url=source.take("OMNIROUTE_BLOB_URL", _blobs, None),
        raw_days=source.take("OMNIROUTE_RAW_DAYS", _days, RAW_DAYS),
        attachment_days=source.take("OMNIROUTE_ATTACHMENT_DAYS", _days, None),
        fetch_allow=source.take("OMNIROUTE_FETCH_ALLOW", _networks, ()),
        cors_origins=source.take("OMNIROUTE_CORS_ORIGINS", _origins, ()),
        partitions=source.take("OMNIROUTE_PARTITIONS", _partitions, DEFAULT_PARTITIONS),
        kafka=source.take("KAFKA_BOOTSTRAP_SERVERS", _brokers, None),
        log_level=source.take("OMNIROUTE_LOG_LEVEL", _level, "info"),
        jwt_issuer=source.take("OMNIROUTE_JWT_ISSUER", _issuer, None),
        jwt_audience=source.take("OMNIROUTE_JWT_AUDIENCE", str, None),
        jwt_jwks_url=source.take("OMNIROUTE_JWT_JWKS_URL", _url, None),
        jwt_workspace_claim=source.take("OMNIROUTE_JWT_WORKSPACE_CLAIM", str, "workspace"),
        jwt_roles_claim=source.take("OMNIROUTE_JWT_ROLES_CLAIM", str, "roles"),
        jwt_agent_claim=source.take("OMNIROUTE_JWT_AGENT_CLAIM", str, "agent"),
        mail_host=source.take("OMNIROUTE_MAIL_HOST", str, host),
        lmtp_port=source.take("OMNIROUTE_LMTP_PORT", _port, None),
        smtp_port=source.take("OMNIROUTE_SMTP_PORT", _port, None),
        mail_bytes=source.take("OMNIROUTE_MAIL_BYTES", _mail_bytes, MAIL_BYTES),
        mail_recipients=source.take("OMNIROUTE_MAIL_RECIPIENTS", _recipients, MAIL_RECIPIENTS),
        mail_timeout_s=source.take("OMNIROUTE_MAIL_TIMEOUT_S", _mail_timeout, MAIL_TIMEOUT_S),
        mail_tls_cert=source.take("OMNIROUTE_MAIL_TLS_CERT", _file, None),
        mail_tls_key=source.take("OMNIROUTE_MAIL_TLS_KEY", _file, None),
        database_url=source.take("DATABASE_URL", _database, None),
        secret_key=source.take("OMNIROUTE_SECRET_KEY", _secret_key, None),
        metrics_token=source.take("OMNIROUTE_METRICS_TOKEN", _token, None),
    )
    if settings.jwt_issuer is None and (settings.jwt_audience or settings.jwt_jwks_url):
        source.faults.append("OMNIROUTE_JWT_ISSUER: is needed with the other OMNIROUTE_JWT_ ones")
    if (settings.mail_tls_cert is None) != (settings.mail_tls_key is None):
        source.faults.append("OMNIROUTE_MAIL_TLS_CERT: is needed with OMNIROUTE_MAIL_TLS_KEY")
    if source.faults:
        raise SettingsError(source.faults)
    return replace(settings, misspelt=source.misspelt())


class _Source:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._known: list[str] = []
        self.faults: list[str] = []

    def misspelt(self) -> tuple[str, ...]:
        """Variables with our prefix, or nearly so, that nobody took and that are like one that is ours.
        Others may bear the prefix, too: secrets that a workspace file names, what Kubernetes sets."""
        found: list[str] = []
        for name in sorted(self._environment.keys() - set(self._known) - _OF_OTHERS):
            if name.upper().startswith(_LIKE_OURS):
                like = get_close_matches(name.upper(), self._known, n=1, cutoff=_LIKENESS)
                found += [f"{name} is no setting: {each} was meant?" for each in like]
        return tuple(found)

    def take(self, name: str, read: Callable[[str], T], default: T) -> T:
        self._known.append(name)
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return read(text)
        except ValueError as error:
            self.faults.append(f"{name}: {error}")
            return default


def _reachable(host: str, port: int) -> str:
    """Where this machine reaches itself; replicas on other machines must be told more."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    name = everywhere.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


def _whole(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"is not a whole number from {low} to {high}")
    return int(text)


def _port(text: str) -> int:
    return _whole(text, 0, 65_535)


def _partitions(text: str) -> int:
    return _whole(text, 1, MAX_PARTITIONS)


def _spool(text: str) -> int:
    return _whole(text, 0, 100_000_000)


def _days(text: str) -> int:
    return _whole(text, 1, 36_500)


def _mail_bytes(text: str) -> int:
    return _whole(text, 1024, 40 * 1024 * 1024)


def _recipients(text: str) -> int:
    return _whole(text, 1, 1000)


def _mail_timeout(text: str) -> int:
    return _whole(text, 1, 3600)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("is not a readable file")
    return path


def _lease(text: str) -> float:
    return float(_whole(text, 1, 300))


def _blobs(text: str) -> str:
    if "://" not in text:
        raise ValueError("is not a URL such as file:///var/lib/omniroute/blobs or s3://bucket")
    return text


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError:
        raise ValueError("is not a list of networks such as 10.2.0.0/16,127.0.0.1") from None


def _origins(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_origin(one.strip()) for one in text.split(",") if one.strip()))


def _origin(text: str) -> str:
    """As browsers write it: in lower case, without a path, the usual port left out."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ValueError(
            "is not a list of origins such as https://desk.example,http://localhost:3000"
        )
    scheme, host = found[1], found[2]
    port = int(found[3] or _USUAL_PORTS[scheme])
    usual = port == _USUAL_PORTS[scheme]
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{port}"


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("is not an http or https URL")
    return text.rstrip("/") if parts.path in ("", "/") else text


def _issuer(text: str) -> str:
    """To the letter: tokens are compared with it."""
    _url(text)
    return text


def _brokers(text: str) -> str:
    for broker in text.split(","):
        host, _, port = broker.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("is not a list of host:port")
    return text


def _level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("is not one of debug, info, warning, error")
    return text.lower()


def _database(text: str) -> str:
    database_url(text)
    return text


def _secret_key(text: str) -> str:
    parse_keys(text)
    return text


def _token(text: str) -> str:
    if len(text) < 16:
        raise ValueError("is shorter than 16 characters")
    return text
