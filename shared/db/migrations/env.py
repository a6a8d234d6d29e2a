"""Alembic's environment of the schema `platform`."""

from shared.db.migrate import run_environment
from shared.db.tables import METADATA

run_environment("platform", METADATA)
