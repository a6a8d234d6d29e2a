"""Alembic's environment of the schema `router`."""

from sqlalchemy import MetaData

from shared.db.migrate import run_environment
from shared.db.tables import NAMING
from shared.runtime.tables import runtime_tables

METADATA = MetaData(schema="router", naming_convention=NAMING)
runtime_tables(METADATA)

run_environment("router", METADATA)
