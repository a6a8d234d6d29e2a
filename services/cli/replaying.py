"""`omniroute replay`: the stored inputs of a workspace, applied again and compared."""

import asyncio
from pathlib import Path

import msgspec

from services.channels.archive import ArchiveFactory
from services.cli.foundation import ready_database
from services.router.domain.core import RouterFactory
from services.sla.domain.core import SlaFactory
from shared.contracts.core import CoreFactory
from shared.contracts.instants import format_instant
from shared.contracts.problems import Refused, not_found
from shared.db.platform_store import PlatformStore
from shared.runtime.replay import ReplayReport, replay
from shared.runtime.store.postgres import PostgresStore
from shared.settings import Settings

FACTORIES: dict[str, type[CoreFactory]] = {
    "router": RouterFactory,
    "sla": SlaFactory,
    "archive": ArchiveFactory,
}


class Replayed(msgspec.Struct, frozen=True):
    """`inputs`: (first, last) number applied. `differences`: what came out otherwise than stored."""

    workspace: str
    service: str
    identical: bool
    inputs: tuple[int, int]
    until: str
    events: int
    entities: int
    core_versions: list[str]
    differences: list[str]

    @property
    def said(self) -> str:
        first, last = self.inputs
        if last < first:
            return (
                f"{self.service} of {self.workspace} has had no inputs: there is nothing to replay."
            )
        head = (
            f"{self.service} of {self.workspace}: inputs {first} to {last} (until {self.until}),"
            f" {self.events} events, {self.entities} entities: "
        )
        if self.identical:
            return head + "identical, byte for byte."
        by = f"The inputs were first applied by core {', '.join(self.core_versions)}."
        return "\n".join([head + "NOT identical.", by, *self.differences])


async def replayed(
    settings: Settings, workspace: str, service: str, until: int | None, dump: Path | None
) -> Replayed:
    """Raises Refused (not-found, gone), OSError."""
    factory = FACTORIES[service]()
    async with ready_database(settings) as engine:
        if await PlatformStore(engine).workspace(workspace) is None:
            raise not_found("workspace", workspace)
        try:
            report = await replay(PostgresStore(engine, service), factory, workspace, until=until)
        except ValueError as error:
            raise Refused("gone", f"It cannot be replayed: {error}.") from error
    if dump is not None:
        await asyncio.to_thread(dump.write_bytes, _dumped(report))
    return Replayed(
        workspace=workspace,
        service=service,
        identical=report.identical or report.last < report.first,
        inputs=(report.first, report.last),
        until=format_instant(report.at_us),
        events=report.events,
        entities=report.entities,
        core_versions=report.versions,
        differences=report.differences,
    )


def _dumped(report: ReplayReport) -> bytes:
    """The open entities as lines of JSON: kind, key and the body in base64."""
    lines = [
        msgspec.json.encode({"kind": one.kind, "key": one.key, "body": one.body})
        for one in report.core.dump()
    ]
    return b"".join(line + b"\n" for line in lines)
