"""Connectors of the channel `phone`: one file per kind, each with a module constant CONNECTOR."""
