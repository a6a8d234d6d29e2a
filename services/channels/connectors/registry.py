"""All kinds of connectors: every module connectors/<channel>/<vendor>.py with a CONNECTOR. Kinds
whose channel is a setting lie in connectors/generic."""

import importlib
import pkgutil
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from services.channels.connectors.port import Connector, Fetch
from services.channels.shapes import ConnectorKind, KindFetch
from shared.contracts.problems import invalid
from shared.contracts.topics import CHANNELS

Registry = Mapping[str, Connector]

_PACKAGE = "services.channels.connectors"
_GENERIC = "generic"


@cache
def load() -> Registry:
    """Every kind by its name, in order of channel and name. Asserts that names are unique."""
    found: dict[str, Connector] = {}
    for channel in (*CHANNELS, _GENERIC):
        package = importlib.import_module(f"{_PACKAGE}.{channel}")
        names = sorted(each.name for each in pkgutil.iter_modules(package.__path__))
        for name in names:
            module = importlib.import_module(f"{package.__name__}.{name}")
            connector = getattr(module, "CONNECTOR", None)
            if isinstance(connector, Connector):
                assert connector.kind not in found, f"two connectors are called {connector.kind}"
                at_home = "channel" in connector.settings.model_fields
                assert channel == (_GENERIC if at_home else connector.channel), connector.kind
                found[connector.kind] = connector
    return found


def get(kind: object, registry: Registry | None = None, pointer: str = "/kind") -> Connector:
    """The connector of a kind. Raises Refused for an unknown one, with the nearest known name."""
    kinds = load() if registry is None else registry
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind]
    near = get_close_matches(str(kind), kinds, 1)
    expected = near[0] if near else f"one of {', '.join(kinds)}"
    raise invalid(pointer, "unknown_kind", f"There is no kind of connector {kind!r}.", expected)


def describe(registry: Registry | None = None) -> list[ConnectorKind]:
    """The answer of `GET connector-kinds`."""
    kinds = load() if registry is None else registry
    return [_description(connector) for connector in kinds.values()]


def _description(connector: Connector) -> ConnectorKind:
    return {
        "kind": connector.kind,
        "channel": connector.channel,
        "title": connector.title,
        "settings_schema": connector.settings.model_json_schema(),
        "secrets": list(connector.secrets),
        "secret_purposes": dict(connector.secrets),
        "signed": connector.signed,
        "order_by": connector.order_by,
        "fetches": [_fetch(fetch) for fetch in connector.fetches],
        "setup": connector.setup,
    }


def _fetch(fetch: Fetch) -> KindFetch:
    return {
        "name": fetch.label,
        "purpose": fetch.purpose,
        "request": fetch.request,
        "secret": fetch.secret,
        "cursor": fetch.cursor,
        "every_s": fetch.every_s,
    }
