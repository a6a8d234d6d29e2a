"""What a vendor's payload becomes, for the tests of what vendors send."""

from typing import Any

from services.channels.connectors import registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest
from shared.contracts.interactions import Interaction


def handled(
    kind: str,
    request: InboundRequest,
    secrets: dict[str, tuple[str, ...]],
    *,
    trial: bool = False,
    **settings: Any,
) -> Handled:
    """Of the connector `main` in `acme`. `trial`: as `connectors:preview` reads it, unsigned."""
    connector = registry.get(kind)
    return handle(
        connector,
        connector.settings(**settings),
        secrets,
        request,
        connector_id="main",
        workspace="acme",
        trial=trial,
    )


def only(found: Handled) -> tuple[str, Interaction]:
    """Type and content of the one event that came, without problems."""
    assert [p.code for p in found.problems] == [] and len(found.events) == 1
    return found.events[0].envelope.type, found.events[0].interaction


def codes(found: Handled) -> list[str]:
    return [problem.code for problem in found.problems]
