"""The commands of the SLA service: what its HTTP calls ask of the core.

`Input(kind="command", name=<class name>, body=msgspec.json.encode(command))`. `if_version` is the
resource's `version` of If-Match; a stale one is refused with `precondition-failed`. Replies are
JSON: of PutResource `{"id", "version", "created", "body", "warnings"}`, of DeleteResource `{"id"}`.
"""

from typing import Literal

import msgspec

from shared.contracts.windows import Expanded

ResourceKind = Literal["calendar", "sla_policy"]


class PutResource(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`body` is the canonical JSON (services/sla/resources.py). `windows`: a calendar's open hours
    (`shared.calendars.expand(body, now)`), required for calendars."""

    resource: ResourceKind
    id: str
    body: msgspec.Raw
    windows: Expanded | None = None
    if_version: int | None = None


class DeleteResource(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    resource: ResourceKind
    id: str
    if_version: int | None = None


Command = PutResource | DeleteResource
COMMANDS: dict[str, type[PutResource] | type[DeleteResource]] = {
    "PutResource": PutResource,
    "DeleteResource": DeleteResource,
}
