"""The commands of the SLA service: what its HTTP calls ask of the core.

`Input(kind="command", name=<class name>, body=msgspec.json.encode(command))`. `if_version` is the
resource's `version` of If-Match; a stale one is refused with `precondition-failed`. Replies are
JSON: of PutResource `{"id", "version", "created", "body", "warnings"}`, of DeleteResource `{"id"}`,
of MigratePolicy `{"id", "version", "mode", "clocks"}`, of RenewCalendar `{"id", "version", "moves"}`.
"""

from typing import Literal

import msgspec

from services.sla.domain.policy import Mode
from shared.contracts.windows import Expanded

ResourceKind = Literal["calendar", "sla_policy"]


class PutResource(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`body` is the canonical JSON (services/sla/resources.py). `windows`: a calendar's open hours
    (`shared.calendars.expand(body, now)`), required for calendars; `data`: versions of the
    time-zone and holiday data that they were derived from."""

    resource: ResourceKind
    id: str
    body: msgspec.Raw
    windows: Expanded | None = None
    if_version: int | None = None
    data: str = ""


class DeleteResource(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    resource: ResourceKind
    id: str
    if_version: int | None = None


class MigratePolicy(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Moves the open clocks of a policy, whatever its version, to the configuration in force.
    `mode` None: as the policy's `on_change` says."""

    id: str
    mode: Mode | None = None


class RenewCalendar(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """New windows of a version of a calendar: further ahead, or from other time-zone data."""

    id: str
    version: int
    windows: Expanded
    data: str = ""


Change = PutResource | DeleteResource
Command = Change | MigratePolicy | RenewCalendar
COMMANDS: dict[str, type[Command]] = {
    "PutResource": PutResource,
    "DeleteResource": DeleteResource,
    "MigratePolicy": MigratePolicy,
    "RenewCalendar": RenewCalendar,
}
