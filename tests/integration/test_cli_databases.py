"""Commands beside a running system: which database they take, and what they leave alone."""

from pathlib import Path

import pytest

from services.cli.apply.commands import Addresses, reached
from services.cli.doctor import examine
from services.cli.foundation import ready_database
from services.cli.replaying import replayed
from shared.contracts.problems import Refused
from shared.db import migrate
from shared.db.engine import DatabaseUnavailable
from shared.db.platform_store import PlatformStore
from shared.settings import Settings

NOWHERE = Addresses("http://127.0.0.1:9")


async def test_a_database_without_schemas_is_told_and_not_traced(empty_database_url: str) -> None:
    settings = Settings(database_url=empty_database_url)
    with pytest.raises(Refused) as refused:
        await replayed(settings, "acme", "router", None, None)
    assert "omniroute migrate" in refused.value.detail
    with pytest.raises(Refused):
        async with reached(settings, "acme", NOWHERE, create=True):
            pass


async def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    url = "postgresql://omni:secret@127.0.0.1:9/omni"
    (finding,) = await examine(Settings(database_url=url))
    assert (finding.subject, finding.ok) == ("database", False)
    assert "127.0.0.1:9" in finding.said and "ConnectionRefusedError" in finding.said
    assert "secret" not in finding.said
    with pytest.raises(DatabaseUnavailable, match="127.0.0.1:9"):
        await migrate.upgrade(url)


async def test_reading_makes_no_workspace(database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    with pytest.raises(Refused, match="no workspace 'nowhere'"):
        async with reached(settings, "nowhere", NOWHERE):
            pass
    with pytest.raises(Refused, match="no workspace 'nowhere'"):
        await replayed(settings, "nowhere", "router", None, None)
    async with ready_database(settings) as engine:
        assert await PlatformStore(engine).workspace("nowhere") is None


async def test_a_workspace_without_inputs_has_nothing_to_replay(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    async with ready_database(settings) as engine:
        await PlatformStore(engine).create_workspace("quiet", 2)
    report = await replayed(settings, "quiet", "sla", None, None)
    assert report.identical
    assert "nothing to replay" in report.said
