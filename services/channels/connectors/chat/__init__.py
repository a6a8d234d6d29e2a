"""Connectors of the channel `chat`: one file per kind, each with a module constant CONNECTOR."""
