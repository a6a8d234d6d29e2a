"""The core's port lies in `shared.contracts.core`, where pure domains may import it."""

from shared.contracts.core import (
    BEHIND,
    LIVE,
    ConfigWrite,
    Core,
    CoreFactory,
    Emitted,
    Entity,
    Input,
    InputKind,
    Outcome,
    Row,
)

__all__ = [
    "BEHIND",
    "LIVE",
    "ConfigWrite",
    "Core",
    "CoreFactory",
    "Emitted",
    "Entity",
    "Input",
    "InputKind",
    "Outcome",
    "Row",
]
