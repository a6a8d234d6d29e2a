"""What a call takes and answers, said beside its route by the types that its code uses. The OpenAPI
document is made of it when somebody asks for it; before that it costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

CALL = "omniroute_call"
JSON = "application/json"
REF = "#/components/schemas/"

TICKET_QUERY = {"ticket": "a one-time ticket (`POST stream-tickets`) in place of the token"}
RESUME_QUERY = {
    "after": "the `id` of the last event that was received; the header Last-Event-ID goes before it",
    "lastEventId": "the same, as some EventSource libraries send it when they connect again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Types are pydantic models, msgspec structs, TypedDicts and what msgspec makes of such; a dict
    is a JSON Schema.

    body            what the request's body holds, by content type or, as JSON, alone
    also            types that these name in their schemas
    optional_body   the call may be made without
    example         a body that is taken, by content type where there are several
    answer          the body of the 2xx; None: it has none. `media`: in other content types
    page            the answer is a cursor page with a list of this name, of `answer`s
    created         201 where the resource is new, else 200
    etag            answers carry an ETag; a GET answers 304 to If-None-Match
    tagged          they carry one, and there is no 304
    conditional     If-Match and If-None-Match are honoured (412)
    keyed           Idempotency-Key is honoured
    events          it is, or can be, a stream: what `data` holds by the name of the event
    resumes         the stream resumes by Last-Event-ID
    may             further statuses that it may refuse with (409, 410, 413)
    visitor         a visitor's token of the web chat opens it
    vendor          the answer is the vendor's to say
    unguarded       it refuses nothing, whoever calls. `unready`: 503 has the body of its 200
    """

    body: Any = None
    also: tuple[Any, ...] = ()
    optional_body: bool = False
    example: Any = None
    answer: Any = None
    media: Mapping[str, Any] = field(default_factory=dict[str, Any])
    page: str = ""
    created: bool = False
    etag: bool = False
    tagged: bool = False
    conditional: bool = False
    keyed: bool = False
    events: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resumes: bool = False
    may: tuple[int, ...] = ()
    visitor: bool = False
    vendor: bool = False
    unguarded: bool = False
    unready: bool = False

    @property
    def extra(self) -> dict[str, Any]:
        """`openapi_extra` of the call's route."""
        return {CALL: self}

    @property
    def bodies(self) -> Mapping[str, Any]:
        """What the body holds, by content type."""
        if self.body is None:
            return {}
        body: Any = self.body
        if isinstance(body, Mapping) and all("/" in str(name) for name in cast(Any, body)):
            return cast(Mapping[str, Any], body)
        return {JSON: body}

    def example_of(self, content_type: str) -> Any:
        if len(self.bodies) > 1:
            return cast(Mapping[str, Any], self.example or {}).get(content_type)
        return self.example


@dataclass(frozen=True, slots=True)
class Written:
    """A resource that people write: `model` is sent and shown under one name, so that what was read
    can be sent back. `warnings`: its PUT may answer them."""

    model: Any
    name: str
    warnings: bool = True


def written(name: str) -> msgspec.Meta:
    """What a resource is that a call reads itself, by the name of its `Written`."""
    return msgspec.Meta(extra_json_schema={"$ref": REF + name})


NOTHING_SAID = Call()
