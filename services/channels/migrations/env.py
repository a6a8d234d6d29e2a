"""Alembic's environment of the schema `channels`."""

from services.channels.tables import METADATA
from shared.db.migrate import run_environment

run_environment("channels", METADATA)
