"""The body of `PUT /v1/workspaces/{workspace}`: the workspace's own settings."""

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from shared.contracts.topics import Channel
from shared.http.resources import Resource

_ZONES = frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _ZONES:
        raise ValueError(f"{name!r} is no IANA time zone, such as 'Europe/Berlin'.")
    return name


TimeZone = Annotated[str, AfterValidator(_zone)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Cost = Annotated[int, Field(ge=0, le=1_000_000)]


class ChannelBody(Resource):
    """What one task of a channel costs, in units of an agent's capacity."""

    cost: Annotated[int, Field(ge=1, le=1_000_000)]
    held_cost: Cost | None = None
    interruptible_by: Annotated[list[Channel], Field(max_length=4)] = []


class RateBody(Resource):
    """Calls a second in the long run, and how many may come at once."""

    per_s: Annotated[float, Field(gt=0, le=1_000_000)]
    burst: Annotated[float, Field(ge=1, le=1_000_000)]


class WorkspaceBody(Resource):
    """`languages`: what language detection chooses from. `lease_s`: how long presence lasts
    without a poll. `rate`: None is the installation's default."""

    timezone: TimeZone = "UTC"
    languages: Annotated[list[Language], Field(max_length=50)] = []
    channels: dict[Channel, ChannelBody] = {}
    lease_s: Annotated[float, Field(ge=5, le=3600)] = 60
    rate: RateBody | None = None
