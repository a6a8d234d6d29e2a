"""The URLs we accept, and what becomes of them."""

import pytest

from shared.db.engine import (
    DatabaseUnavailable,
    asyncpg_dsn,
    create_engine,
    database_url,
    reading,
    with_database,
)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_schemes(scheme):
    url = database_url(f"{scheme}://ana:p%40ss@db.example:6432/omni")
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "ana",
        "p@ss",
        "db.example",
        6432,
        "omni",
    )


@pytest.mark.parametrize(
    "text", ["mysql://a@b/c", "sqlite:///x", "postgresql+psycopg://a@b/c", "nonsense", ""]
)
def test_others_are_refused_without_being_repeated(text):
    with pytest.raises(ValueError) as refused:
        create_engine(text.replace("a@", "ana:geheim@"))
    assert "geheim" not in str(refused.value)


def test_libpq_parameters():
    text = "postgresql://a@b/c?sslmode=require&application_name=x&connect_timeout=3"
    assert dict(database_url(text).query) == {"ssl": "require"}
    assert asyncpg_dsn(text) == "postgresql://a@b/c?sslmode=require"


def test_a_socket_directory_is_kept():
    text = "postgresql://a:b@/c?host=/run/postgresql&port=5433"
    assert asyncpg_dsn(text) == "postgresql://a:b@/c?host=%2Frun%2Fpostgresql&port=5433"
    assert "/other?" in with_database(text, "other")


def test_an_engine_does_not_show_its_password():
    assert "geheim" not in repr(create_engine("postgresql://ana:geheim@db/omni"))


async def test_the_driver_reads_all_parameters_of_a_url(tmp_path):
    missing = tmp_path / "no-such.crt"
    engine = create_engine(
        f"postgresql://a:b@127.0.0.1:1/c?sslmode=verify-ca&sslrootcert={missing}"
    )
    with pytest.raises(DatabaseUnavailable, match="FileNotFoundError"):
        async with reading(engine):
            pass
    await engine.dispose()
