"""Connectors of the channel `email`: one file per kind, each with a module constant CONNECTOR."""
