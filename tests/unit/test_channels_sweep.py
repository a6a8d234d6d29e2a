"""What is older than it is to be kept leaves the blob store, and nothing else does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore, ObjectStore

from services.channels import sweep
from services.channels.blobs import PREFIXES, Blobs, day_of, open_store
from services.channels.sweep import BlobSweeper, Keep

NOW = datetime.now(UTC)


def us(days_ago: float) -> int:
    return round((NOW - timedelta(days=days_ago)).timestamp() * 1_000_000)


def name_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def sweeper(store: ObjectStore, keep: Keep, ahead_days: float = 0.0, first: int = 0) -> BlobSweeper:
    later = NOW + timedelta(days=ahead_days)
    return BlobSweeper(Blobs(store), keep, now=lambda: later, first=first)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    made: dict[str, Callable[[], ObjectStore]] = {
        "folder": lambda: open_store(f"file://{tmp_path / 'blobs'}"),
        "memory": MemoryStore,
    }
    return made[request.param]()


async def test_an_empty_store_is_swept(store: ObjectStore) -> None:
    assert await sweeper(store, Keep(3, 30)).round() == 0


async def test_payloads_go_when_their_time_is_over_and_those_of_dead_letters_later(
    store: ObjectStore,
) -> None:
    blobs = Blobs(store)
    for days_ago in (0, 2, 4, 5, 29, 33):
        content = b"payload of %d" % days_ago
        for kind in ("raw", "letters"):
            await blobs.keep_payload(content, us(days_ago), kind)
    await blobs.keep(b"an attachment")
    assert await sweeper(store, Keep(3)).round() == 3 + 1
    kept = {kind: await blobs.days(kind) for kind in ("raw", "letters")}
    assert kept["raw"] == sorted(day_of(us(days)) for days in (0, 2, 4))
    assert kept["letters"] == sorted(day_of(us(days)) for days in (0, 2, 4, 5, 29))
    assert await blobs.get_payload(name_of(b"payload of 5"), us(5)) == b"payload of 5", "a letter"
    assert await blobs.get_payload(name_of(b"payload of 33"), us(33)) is None
    assert await blobs.get(name_of(b"an attachment")) == b"an attachment"


async def test_a_payload_kept_before_days_were_is_still_found(store: ObjectStore) -> None:
    blobs = Blobs(store)
    name = await blobs.keep(b"old")
    assert await blobs.get_payload(name, us(1)) == b"old"


async def test_attachments_stay_for_ever_unless_told_otherwise(store: ObjectStore) -> None:
    blobs = Blobs(store)
    name = await blobs.keep(b"a file")
    part = PREFIXES.index(name[:2])
    assert await sweeper(store, Keep(3), 5000, part).round() == 0
    assert await sweeper(store, Keep(3, 30), 29, part).round() == 0
    old = sweeper(store, Keep(3, 30), 31, part - 2)
    assert [await old.round() for _ in range(4)] == [0, 0, 1, 0], "each round one part of the store"
    assert await blobs.get(name) is None


async def test_a_round_is_bounded(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MAX_REMOVED", 5)
    blobs = Blobs(store)
    for number in range(7):
        await blobs.keep_payload(b"%d" % number, us(10), "raw")
    one = sweeper(store, Keep(3))
    assert [await one.round() for _ in range(3)] == [5, 2, 0]


async def test_replicas_that_sweep_the_same_hinder_each_other_in_nothing(
    store: ObjectStore,
) -> None:
    blobs = Blobs(store)
    name = await blobs.keep_payload(b"x", us(10), "raw")
    path = f"raw/{day_of(us(10))}/{name}"
    await blobs.remove([path])
    await blobs.remove([path])
    assert await blobs.written(path) is None


async def test_an_attachment_that_came_again_meanwhile_stays(store: ObjectStore) -> None:
    blobs = Blobs(store)
    name = await blobs.keep(b"a file")
    old = sweeper(store, Keep(3, 30), ahead_days=31)
    path = f"{name[:2]}/{name}"
    assert not await old._removed(path, NOW - timedelta(days=30))
    assert (await obstore.head_async(store, path))["size"] == len(b"a file")
