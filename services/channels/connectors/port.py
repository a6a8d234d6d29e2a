"""What a connector is: a vendor's webhook as data, and one pure function from bytes to events.

A connector declares its kind, settings, secrets, signature scheme, handshake and answers, and a
`parse`. It does no I/O, reads no clock and raises nothing on bad input: what cannot be used becomes
a `Problem`. `handling.handle` runs one; the HTTP shell and the preview both call that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import interactions
from shared.contracts.interactions import (
    Attachment,
    Author,
    Delivery,
    Direction,
    Email,
    Flag,
    Identity,
    Segment,
)
from shared.contracts.topics import Channel
from shared.fetching.ask import Ask

Verdict = Literal["valid", "invalid", "none"]
Purpose = Literal[
    "poll", "reconcile", "renewal", "media", "message", "transcript", "subscription", "item"
]  # fmt: skip
Secrets = Mapping[str, tuple[str, ...]]

DAY_S = 86_400


class InboundRequest(msgspec.Struct, frozen=True):
    """A vendor's request as it came. `url` is the public one, `headers` keep their order and case,
    `received_at_us` is when its first byte was ours."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at_us: int

    def header(self, name: str) -> str | None:
        """The first value of a header, by its name in any case."""
        wanted, length = name.lower(), len(name)
        for key, value in self.headers:
            if len(key) == length and key.lower() == wanted:
                return value
        return None

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        return query_of(self.url)

    def argument(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case; "" when there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()


def query_of(url: str) -> tuple[tuple[str, str], ...]:
    """The query's pairs; () for what is no URL."""
    try:
        return tuple(parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=1000))
    except ValueError:
        return ()


class Answer(msgspec.Struct, frozen=True):
    """What the vendor is told."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Answers(msgspec.Struct, frozen=True):
    """A vendor's answer codes: a wrong one loses messages, so each kind states its own."""

    ok: Answer = Answer(200)
    duplicate: Answer = Answer(200)
    bad_signature: Answer = Answer(401)
    unavailable: Answer = Answer(503, headers=(("Retry-After", "5"),))
    unusable: Answer = Answer(200)
    too_large: Answer = Answer(413)
    bad_method: Answer = Answer(405)


class Problem(msgspec.Struct, frozen=True):
    """Something in the payload that is not as it should be. `lost`: it holds back content, so the
    payload belongs among the dead letters; otherwise it is a note."""

    code: str
    message: str
    lost: bool = True


class Blob(msgspec.Struct, frozen=True):
    """Content of an attachment that came with the payload; stored by its hash, never on the bus."""

    sha256: str
    content: bytes


class Normalised(msgspec.Struct, kw_only=True):
    """One event as the codec saw it, before ids.

    `vendor_id` is the vendor's idempotency key within the connector; with `revision` it makes the
    event's id. `message_key` is what the message's id derives from where that differs (an edit in
    place). `replaces` is that key of the message meant, `original_id` the vendor's own id of it
    where that differs. `conversation_key` is the vendor's thread. `occurred_at_us` is the vendor's time.
    `generated`: the text is our description, not the person's words, so it has no language.
    `channel`: where it is not the connector's own, one of the kind's `other_channels`.
    `thread_candidates` (e-mail) lists what the thread index may know, best first.
    """

    vendor_id: str
    conversation_key: str
    type: str = interactions.MESSAGE
    message_key: str | None = None
    revision: int = 0
    occurred_at_us: int | None = None
    direction: Direction = "inbound"
    author: Author = msgspec.field(default_factory=lambda: Author(role="customer"))
    text: str | None = None
    html: str | None = None
    reply_text: str | None = None
    subject: str | None = None
    language: str | None = None
    identities: list[Identity] = []
    attachments: list[Attachment] = []
    in_reply_to: str | None = None
    replaces: str | None = None
    original_id: str | None = None
    flags: list[Flag] = []
    attributes: dict[str, Any] = {}
    segment: Segment | None = None
    delivery_status: Delivery | None = None
    reason: Literal["ended", "abandoned"] | None = None
    survey: Literal["csat", "nps", "ces"] | None = None
    score: float | None = None
    comment: str | None = None
    email: Email | None = None
    vendor: dict[str, Any] = {}
    generated: bool = False
    channel: Channel | None = None
    thread_candidates: list[str] = []


class Wanted(msgspec.Struct, frozen=True):
    """What a payload only announces. The shell gets it by the kind's `Fetch` of that purpose, whose
    template `ids` fills; `key` is the vendor's idempotency key of the announcement."""

    purpose: Purpose
    key: str
    ids: dict[str, str] = {}


class Parsed(msgspec.Struct):
    """What a body became: events in the payload's order, what was wrong, and what it announces
    without containing it. `answer` replaces the kind's `ok` where the vendor wants an echo."""

    events: list[Normalised] = []
    problems: list[Problem] = []
    blobs: list[Blob] = []
    wanted: list[Wanted] = []
    answer: Answer | None = None

    def lose(self, code: str, message: str) -> None:
        """Note content that could not become an event."""
        self.problems.append(Problem(code, message))

    def note(self, code: str, message: str) -> None:
        """Note something that loses nothing."""
        self.problems.append(Problem(code, message, lost=False))

    def want(self, purpose: Purpose, key: str, **ids: str) -> None:
        """Note that something must be fetched, and which."""
        known = ", ".join(f"{name} {value}" for name, value in ids.items())
        self.note("must_fetch", f"The {purpose} must be fetched: {key} ({known}).")
        self.wanted.append(Wanted(purpose, key, ids))


class Settings(BaseModel):
    """Settings that every kind has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_url: str | None = Field(
        default=None,
        description="The address that the vendor calls, where it differs from the one shown. "
        "Vendors that sign the URL sign this one.",
    )
    api_url: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Where the vendor's API is called, when not at its usual address.",
    )
    poll_every_s: int | None = Field(
        default=None,
        ge=15,
        le=86_400,
        description="Seconds between two passes of what is polled or reconciled.",
    )
    fetch_media: bool = Field(
        default=True,
        description="Whether files that a message only refers to are fetched and kept.",
    )


@dataclass(frozen=True, slots=True)
class Context:
    """What a codec may know besides the request. `channel` is the kind's, or its settings'."""

    workspace: str
    connector_id: str
    received_at_us: int
    channel: Channel | None = None


class SignatureScheme(Protocol):
    """How a vendor proves that a request is its own. See `signatures`."""

    @property
    def secret_names(self) -> tuple[str, ...]: ...

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        """ "none" when none of its secrets is given or the vendor cannot sign. Never raises; the
        age of a request is judged at `received_at_us`."""
        ...


@dataclass(frozen=True, slots=True)
class Handshaken:
    """The answer to a vendor's test of the address."""

    verdict: Verdict
    answer: Answer


Handshake = Callable[[InboundRequest, Secrets, Settings], Handshaken | None]


@dataclass(frozen=True, slots=True)
class HandshakeExample:
    """A vendor's test of the address, and the answer that satisfies it. `open`: the vendor's test
    carries nothing that could be checked, so anybody gets the echo."""

    name: str
    request: InboundRequest
    secrets: Secrets
    answer: Answer
    open: bool = False


class Told(msgspec.Struct, frozen=True):
    """What the vendor answered to an `ask`. `ids` are the names that filled the template (those of
    the `Wanted` and the settings), `cursor` is where this pass began, `at_us` when. `status` is a
    2xx, or one of the fetch's `expected`."""

    ask: Ask
    status: int
    body: bytes
    media_type: str
    ids: Mapping[str, str]
    cursor: str | None
    at_us: int
    page: int = 0


class NotYet(Exception):
    """The vendor answered, but not with what was asked for: it is to be asked again later."""


class Page(msgspec.Struct):
    """What an answer comes to. `payloads` are bodies of `content_type`, each handled as if the
    vendor had posted it; `query` goes with them. `then` is this pass's next request. `cursor` is
    where the next pass begins (None: where this one did); of several pages' the last one counts. `wanted` is
    fetched on its own. `content` is a file, of purpose `media`. `lost` says what cannot be had;
    `again` that more is there and the next pass follows at once; `left` where in a list of the
    newest first, by the vendor's token, that pass goes on into the past (see `fetching.Place`). `cut`: more was there than a pass
    takes, and nothing goes on from here; whoever makes the pass finds that out."""

    payloads: list[bytes] = []
    content_type: str = "application/json"
    query: str = ""
    then: Ask | None = None
    cursor: str | None = None
    wanted: list[Wanted] = []
    content: bytes | None = None
    lost: str | None = None
    again: bool = False
    left: str | None = None
    cut: bool = False


def as_posted(told: Told) -> Page:
    """The answer is a body that the codec knows."""
    return Page(payloads=[told.body])


@dataclass(frozen=True, slots=True)
class Grant:
    """How a short-lived token is got: a form (or JSON) of templates over secrets and settings, sent
    to `url`, with the secrets `basic` as user and password. Used once all its secrets are there."""

    url: str
    form: Mapping[str, str]
    basic: tuple[str, str] | None = None
    json: bool = False
    token: str = "access_token"
    lifetime: str = "expires_in"
    lasts_s: int = 3600


@dataclass(frozen=True, slots=True)
class Fetch:
    """What only the vendor's API can tell, as data for the shell that may call it: a connector
    does no I/O.

    `request` is a method and a URL template over `{cursor}`, names in `Wanted.ids` and the settings;
    an argument whose names are unknown is left out, a path's makes the fetch impossible. `prepare`
    makes the request instead where a template cannot. `read` turns the answer into a `Page`.
    `secret` authorises it, as `auth` says: "bearer", "basic:NAME" (the user, an id or a setting; "=word" is the word),
    "header:NAME", "scheme:NAME",
    "aws4:SERVICE" (with the settings `access_key_id` and `region`), "query:NAME" or "path" (the template's `{secret}`). Where the URL comes from a
    payload only `hosts` (suffixes) get the secret. `every_s`: a pass by itself, so often at
    default; a fetch with `cursor` (what it is) keeps one. `needs` are settings without which it does
    not run. `name` tells fetches of one purpose apart.

    A `renewal` keeps a subscription at the vendor alive, at its own pace whatever the settings say.
    Its cursor is when the subscription ends (RFC 3339). Besides settings it may name
    `{inbound_url}`, the address that the vendor calls, and the secrets in `words`.
    """

    purpose: Purpose
    request: str
    secret: str | None = None
    cursor: str | None = None
    every_s: int | None = None
    name: str = ""
    auth: str = "bearer"
    hosts: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    expected: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    grant: Grant | None = None
    prepare: Callable[[Mapping[str, str], str | None, int], Ask | None] | None = None
    read: Callable[[Told], Page] = as_posted

    @property
    def label(self) -> str:
        """Its name among the connector's fetches."""
        return self.name or self.purpose


Parse = Callable[[InboundRequest, Any, Context], Parsed]


@dataclass(frozen=True, slots=True)
class Example:
    """A payload of ours in the vendor's format: for documentation, the demo and the conformance
    suite. `revises` names the earlier example that this one edits or deletes."""

    name: str
    request: InboundRequest
    secrets: Secrets
    events: tuple[str, ...]
    revises: str | None = None


@dataclass(frozen=True, slots=True)
class Connector:
    """A kind of connector.

    `secrets` names all secrets with what each is for, the signature's and the handshake's.
    `handshake` answers the vendor's test request, None where the request is no test.
    `retry_horizon_s` is how long the vendor repeats a delivery: an older time of occurrence is not
    believed. `covers_body`: the signature changes with the body (a static token's does not).
    `order_by` is the entry of an event's `vendor` that orders a conversation as the vendor does;
    "time" is the event's own. `dated`: the vendor says when something happened; `edits`: a message
    of it can be changed or withdrawn. `fetches` is what the vendor does not push. `other_channels`
    are those of what the vendor sends beside its own to the same address. `by_get`: the vendor can be
    set to send its fields as a GET's query.
    """

    kind: str
    channel: Channel
    title: str
    setup: str
    signature: SignatureScheme
    parse: Parse
    examples: Callable[[], tuple[Example, ...]]
    settings: type[Settings] = Settings
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    handshake: Handshake | None = None
    handshakes: Callable[[], tuple[HandshakeExample, ...]] = tuple
    answers: Answers = field(default_factory=Answers)
    retry_horizon_s: int = DAY_S
    max_body_bytes: int = 1024 * 1024
    covers_body: bool = True
    order_by: str = "time"
    dated: bool = True
    edits: bool = True
    fetches: tuple[Fetch, ...] = ()
    other_channels: tuple[Channel, ...] = ()
    by_get: bool = False

    @property
    def signed(self) -> bool:
        """Whether the vendor signs; where not, the address itself must be unguessable."""
        return bool(self.signature.secret_names)

    def channel_of(self, settings: Settings) -> Channel:
        """The channel of a connector: its kind's, unless the kind leaves it to the settings."""
        if "channel" not in self.settings.model_fields:
            return self.channel  # asking pydantic for what is not there takes longer than reading
        return getattr(settings, "channel", self.channel)
