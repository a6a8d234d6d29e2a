"""Alembic's environment of the schema `sla`."""

from services.sla.tables import METADATA
from shared.db.migrate import run_environment

run_environment("sla", METADATA)
