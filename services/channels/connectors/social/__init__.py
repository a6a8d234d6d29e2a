"""Connectors of the channel `social`: one file per kind, each with a module constant CONNECTOR."""
