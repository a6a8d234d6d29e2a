"""Commands beside a running system: which database they take, and what they leave alone."""

from base64 import urlsafe_b64encode
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.apply.commands import Addresses, reached
from services.cli.doctor import examine
from services.cli.findings import Finding
from services.cli.foundation import ready_database
from services.cli.replaying import replayed
from shared.contracts.problems import Refused
from shared.db import migrate
from shared.db.engine import (
    DatabaseUnavailable,
    create_engine,
    reading,
    transaction,
    with_database,
)
from shared.db.failures import DatabaseUnfit
from shared.db.platform_store import PlatformStore
from shared.db.secrets import SecretBox
from shared.settings import Settings

NOWHERE = Addresses("http://127.0.0.1:9")


async def database_finding(settings: Settings) -> Finding:
    """The last one: nothing is looked at behind a database that cannot be used."""
    *disks, finding = await examine(settings)
    assert all(one.subject.startswith("disk of") for one in disks)
    return finding


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
    finding = await database_finding(Settings(database_url=url))
    assert (finding.subject, finding.ok) == ("database", False)
    assert "127.0.0.1:9" in finding.said and "ConnectionRefusedError" in finding.said
    assert "secret" not in finding.said
    with pytest.raises(DatabaseUnavailable, match="127.0.0.1:9"):
        await migrate.upgrade(url)


async def test_a_database_of_another_encoding_is_refused(empty_database_url: str) -> None:
    name = f"latin_{uuid4().hex}"
    admin = create_engine(empty_database_url, pool_size=1)
    try:
        async with reading(admin) as connection:
            await connection.execute(
                text(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
            )
        url = with_database(empty_database_url, name)
        with pytest.raises(DatabaseUnfit, match=r"SQL_ASCII, it must be UTF8.*DATABASE_URL"):
            await migrate.upgrade(url)
        finding = await database_finding(Settings(database_url=url))
        assert not finding.ok and "must be UTF8" in finding.said
        async with reading(admin) as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await admin.dispose()


async def test_a_newer_database_is_told_and_not_traced(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE sla.alembic_version SET version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(DatabaseUnfit, match="'sla' is at revision 9999.* newer"):
        await migrate.upgrade(database_url)
    finding = await database_finding(Settings(database_url=database_url))
    assert (finding.ok, "9999" in finding.said) == (False, True)


async def test_a_database_that_takes_no_writes_is_a_finding(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    name = engine.url.database
    async with reading(engine) as connection:
        await connection.execute(
            text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        )
    await engine.dispose()
    found = await examine(Settings(database_url=database_url))
    (finding,) = [each for each in found if each.subject == "database"]
    assert not finding.ok and "ReadOnlySQLTransactionError" in finding.said


async def test_secrets_under_another_key_are_a_finding(database_url: str, tmp_path: Path) -> None:
    sealed = SecretBox(b"1" * 32).encrypt(b"{}", "acme/wa")
    engine = create_engine(database_url, pool_size=1)
    async with transaction(engine) as connection:
        await connection.execute(
            text(
                "INSERT INTO channels.connector (workspace, id, kind, settings, secrets, inbound_token,"
                " version, updated_at) VALUES ('acme', 'wa', 'whatsapp_cloud', '{}', :sealed, 't', 1, now())"
            ),
            {"sealed": sealed},
        )
    await engine.dispose()

    async def found(key: bytes | None) -> list[str]:
        secret_key = None if key is None else urlsafe_b64encode(key).decode()
        settings = Settings(database_url=database_url, data_dir=tmp_path, secret_key=secret_key)
        return [
            one.said for one in await examine(settings) if one.subject == "connector wa of acme"
        ]

    (said,) = await found(b"2" * 32)
    assert "OMNIROUTE_SECRET_KEY" in said
    assert await found(b"1" * 32) == []
    assert await found(None) == [], "the services' key is elsewhere"


def test_refusals_are_one_line_without_a_trace(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = with_database(postgres_url, "nowhere_at_all_with_a_long_name")
    monkeypatch.setenv("DATABASE_URL", url)
    ended = CliRunner().invoke(app, ["migrate"])
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert "InvalidCatalogNameError" in line and "nowhere_at_all_with_a_long_name" in line


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
