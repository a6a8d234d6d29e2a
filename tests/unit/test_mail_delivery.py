"""Recipients to mailboxes, and what a mail server is told: no I/O."""

import pytest

from services.channels.mail.delivery import traced
from services.channels.mail.listener import _single
from services.channels.mail.mailboxes import Ambiguous, Mailboxes
from services.channels.store import StoredConnector
from shared.db.engine import DatabaseUnavailable


def connector(workspace: str, name: str, *addresses: str) -> StoredConnector:
    settings = {"addresses": list(addresses)}
    return StoredConnector(workspace, name, "email_mime", True, settings, None, "token", 1)


class Source:
    """A database with connectors, that can be away."""

    def __init__(self, *rows: StoredConnector) -> None:
        self.rows = list(rows)
        self.away = False

    async def connectors_of_kind(self, kind: str, limit: int) -> list[StoredConnector]:
        assert (kind, limit > 100) == ("email_mime", True)
        if self.away:
            raise DatabaseUnavailable("away")
        return self.rows


async def owner(boxes: Mailboxes, address: str) -> str | None:
    found = await boxes.of(address)
    return None if found is None else f"{found.workspace}/{found.id}"


async def test_addresses_find_their_connector() -> None:
    boxes = Mailboxes(
        Source(
            connector("acme", "a", "Help@Acme.example", "sales+vip@acme.example"),
            connector("acme", "b", "help@acme.example", "jobs@acme.example", "no address"),
            connector("other", "a", "help@other.example"),
        )
    )
    assert await owner(boxes, "HELP@acme.EXAMPLE") == "acme/a", "the first of a workspace"
    assert await owner(boxes, "help+x+y@acme.example") == "acme/a"
    assert await owner(boxes, "sales+vip@acme.example") == "acme/a"
    assert await owner(boxes, "jobs@acme.example") == "acme/b"
    for unknown in (
        "sales@acme.example",
        "+@acme.example",
        "help@x.example",
        "help",
        "",
        "@",
        "a@",
    ):
        assert await owner(boxes, unknown) is None, unknown


async def test_an_address_of_two_workspaces_is_nobodys() -> None:
    rows = (connector("acme", "a", "x@y.example"), connector("other", "a", "x@y.example"))
    with pytest.raises(Ambiguous):
        await Mailboxes(Source(*rows)).of("x@y.example")


async def test_while_the_database_is_away_only_known_addresses_are_known() -> None:
    source = Source(connector("acme", "a", "help@acme.example"))
    source.away = True
    boxes = Mailboxes(source)
    with pytest.raises(DatabaseUnavailable):
        await boxes.of("help@acme.example")
    source.away = False
    assert await owner(boxes, "help@acme.example") == "acme/a"
    source.away = True
    boxes._read_at = float("-inf")
    assert await owner(boxes, "help@acme.example") == "acme/a"
    with pytest.raises(DatabaseUnavailable):
        await boxes.of("new@acme.example")


async def test_a_new_address_is_known_at_once() -> None:
    source = Source()
    boxes = Mailboxes(source)
    assert await boxes.of("help@acme.example") is None
    source.rows.append(connector("acme", "a", "help@acme.example"))
    assert boxes._read_at is not None
    boxes._read_at -= 0.1
    assert await owner(boxes, "help@acme.example") == "acme/a"


def test_the_envelope_goes_on_top() -> None:
    mail = traced("kim@x.example", ["a@y.example", "b\r\nX: <1>@y"], b"Subject: x\r\n\r\nwords")
    assert mail == (
        b"Return-Path: <kim@x.example>\r\nDelivered-To: a@y.example\r\nDelivered-To: bX:1@y\r\n"
        b"Subject: x\r\n\r\nwords"
    )
    assert traced("", ["a@y.example"], b"").startswith(b"Return-Path: <>\r\n")


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (["250 2.0.0 Kept"] * 2, "250"),
        (["250 2.0.0 Kept", "451 x"], "451"),
        (["552 x", "451 x", "250 2.0.0 Kept"], "451"),
        (["250 2.0.0 Kept", "552 x"], "552"),
    ],
)
def test_smtp_has_one_answer_for_all(answers: list[str], wanted: str) -> None:
    assert _single(answers)[:3] == wanted
