"""The resource `connectors/{id}` as people write it, checked against its kind."""

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.channels.connectors import registry as kinds
from services.channels.connectors.handling import clean_secrets
from services.channels.connectors.port import Connector, Secrets, Settings
from shared.contracts.faults import limit_of, missing_field, plain
from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Fault, Refused
from shared.contracts.values import refuse_nul

CONNECTORS_MAX = 1_000  # of one workspace

Secret = str | list[str]


class ConnectorBody(BaseModel):
    """The body of `PUT connectors/{id}`. Secrets are plain; a list of them during rotation."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    kind: str
    enabled: bool = True
    settings: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, Secret] = Field(default_factory=dict, repr=False)


class ConnectorResource(BaseModel):
    """A checked connector. `settings` are complete, `secrets` a list each."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    enabled: bool
    settings: dict[str, Any]
    secrets: dict[str, tuple[str, ...]] = Field(default_factory=dict, repr=False)

    def shown(self) -> dict[str, Any]:
        """What `GET connectors/{id}` shows: names of secrets, never their values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "enabled": self.enabled,
            "settings": self.settings,
            "secrets": sorted(self.secrets),
        }


def check_connector(connector_id: str, body: object, prefix: str = "") -> ConnectorResource:
    """The resource that a body describes. Raises Refused (validation) with a pointer per fault.

    A kind that signs may be written before its secrets are known; it then accepts nothing.
    """
    if not CLIENT_ID.match(connector_id):
        raise Refused("validation", f"{connector_id!r} is no id; letters, digits, _ and - are.")
    refuse_nul(body, tuple(part for part in prefix.split("/") if part))
    try:
        written = ConnectorBody.model_validate(body)
    except ValidationError as error:
        raise refused(error, ConnectorBody, prefix) from None
    if written.id is not None and written.id != connector_id:
        fault = Fault(f"{prefix}/id", "mismatch", "The id differs from the path's.", connector_id)
        raise Refused("validation", "The id differs from the path's.", errors=[fault])
    connector = kinds.get(written.kind, pointer=f"{prefix}/kind")
    settings = check_settings(connector, written.settings, f"{prefix}/settings")
    return ConnectorResource(
        id=connector_id,
        kind=connector.kind,
        enabled=written.enabled,
        settings=settings.model_dump(mode="json", exclude_unset=True),
        secrets=dict(check_secrets(connector, written.secrets, f"{prefix}/secrets")),
    )


def check_settings(connector: Connector, settings: object, pointer: str) -> Settings:
    """A kind's settings. Raises Refused (validation)."""
    try:
        return connector.settings.model_validate(settings)
    except ValidationError as error:
        raise refused(error, connector.settings, pointer) from None


def check_secrets(connector: Connector, secrets: dict[str, Any], pointer: str) -> Secrets:
    """A kind's secrets; unknown names are refused with the nearest known one."""
    unknown = [name for name in secrets if name not in connector.secrets]
    faults = [
        Fault(
            f"{pointer}/{name}",
            "unknown_secret",
            f"{connector.kind} has no secret {name!r}.",
            _nearest(name, list(connector.secrets)),
        )
        for name in unknown
    ]
    if faults:
        raise Refused("validation", faults[0].message, errors=faults)
    return clean_secrets(secrets)


def refused(error: ValidationError, model: type[BaseModel], prefix: str = "") -> Refused:
    """pydantic's complaints as one refusal: a pointer, code and expectation for each.

    The values at fault are never repeated: a misplaced secret stays secret.
    """
    faults = [_fault(dict(each), model, prefix) for each in error.errors(include_input=False)]
    return Refused("validation", faults[0].message, errors=faults)


def _fault(error: dict[str, Any], model: type[BaseModel], prefix: str) -> Fault:
    place = [str(part) for part in error["loc"]]
    pointer = prefix + "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in place)
    code, message = str(error["type"]), plain(str(error["msg"]))
    expected = limit_of(error.get("ctx") or {})
    if code == "extra_forbidden":
        code, message = "unknown_field", f"There is no field {place[-1]!r} here."
        expected = _nearest(place[-1], list(model.model_fields))
    elif code == "missing":
        return missing_field(prefix, place[:-1], place[-1])
    return Fault(pointer, code, message, expected)


def _nearest(name: str, known: list[str]) -> str | None:
    near = get_close_matches(name, known, 1)
    if near:
        return near[0]
    return f"one of {', '.join(known)}" if known else "nothing here"
