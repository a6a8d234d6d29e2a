"""An import of customers that has begun, while the shard is busy, away, or moves to another replica."""

from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from services.router.api import customers
from services.router.api.context import Router
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator
from shared.http.principals import KeyRecord
from shared.runtime.port import NotOwner, OutcomeUnknown, Reply, Unavailable

PATH = "/v1/workspaces/acme/customers:import"
HEADERS = {"Authorization": "Bearer t", "Content-Type": "text/csv"}


class Here:
    async def lookup(self, token):
        return KeyRecord("k", "acme", "admin")

    async def exists(self, workspace):
        return True


class Shard:
    """A runtime that knows no customer, and fails as `fails` says: by the number of the write."""

    def __init__(self, fails, owns=True):
        self.fails, self.owns, self.writes = fails, owns, 0

    async def query(self, workspace, view):
        if not self.owns:
            raise NotOwner(None, 3)
        return 0, None

    async def submit(self, workspace, what, *, idempotency=None):
        self.writes += 1
        if self.writes in self.fails:
            raise self.fails[self.writes]
        body = {"id": "x", "version": 1, "created": True, "body": {}}
        return Reply(msgspec.json.encode(body))


async def imported(shard, rows=150):
    async def ready():
        return {}

    unused: Any = None
    app = create_app(
        "Omniroute", "Test", [customers.router], version="1", ready=ready,
        access=Access(Authenticator(Here()), Here()), registry=CollectorRegistry(),
        access_log="off", state={"router": Router(shard, unused, unused)},
    )  # fmt: skip
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://omniroute") as http:
        body = "id\n" + "".join(f"c{number}\n" for number in range(rows))
        return await http.post(PATH, content=body, headers=HEADERS)


def last_line(answer):
    assert answer.status_code == 200
    return msgspec.json.decode(answer.content.splitlines()[-1])


async def test_a_replica_without_the_shard_says_so_before_it_answers():
    answer = await imported(Shard({}, owns=False))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_what_is_away_for_a_moment_is_waited_for():
    told = last_line(await imported(Shard({70: Unavailable("busy", 0), 90: OutcomeUnknown()})))
    assert "problem" not in told
    assert (told["result"]["done"], told["result"]["created"]) == (150, 150)


async def test_an_import_that_must_stop_says_how_far_it_came():
    shard = Shard({number: NotOwner(None) for number in range(100, 1_000)})
    told = last_line(await imported(shard))
    assert told["problem"]["type"] == "/problems/unavailable"
    assert "99 of 150" in told["problem"]["detail"]
    assert (told["result"]["done"], told["result"]["total"]) == (99, 150)


async def test_a_file_may_be_as_large_as_fifty_thousand_customers_need():
    answer = await imported(Shard({}), rows=300_000)
    assert answer.status_code == 413
    assert "50000 rows" in answer.json()["detail"], "by its rows, not by its bytes"
