"""PostgreSQL reads from the literals what was put into them."""

import asyncpg

from shared.db.engine import asyncpg_dsn
from shared.db.literals import blobs, flags, numbers, texts

TEXTS = [
    "", "plain", 'a "quoted" word', "back\\slash", '\\"', "a,b", "{c}", "NULL", "null", " around ",
    "two\nlines\t\r", "ä€𝄞", "\x01\x1f\x7f", "'", "/", "\u2028",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2**63 - 1, -(2**63), None]


async def test_literals_come_back(empty_database_url: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(empty_database_url))
    try:
        read = connection.fetchval
        for given in (TEXTS, [], *([each] for each in TEXTS), ["plain", "ä€𝄞"]):
            assert await read("SELECT $1::text::text[]", texts(given)) == given
        for given in (NUMBERS, []):
            assert await read("SELECT $1::text::bigint[]", numbers(given)) == given
        for given in ([True, False], []):
            assert await read("SELECT $1::text::bool[]", flags(given)) == given
        pieces = [b"", b"\x00\xff", b"abc"]
        rows = await connection.fetch(
            "SELECT substr($1::bytea, at, size) FROM unnest($2::text::int[], $3::text::int[])"
            " AS a(at, size)",
            *blobs(pieces),
        )
        assert [row[0] for row in rows] == pieces
    finally:
        await connection.close()
