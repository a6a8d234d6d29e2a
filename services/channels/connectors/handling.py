"""One request of a vendor, handled: verdict, answers, and the events that the body becomes."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.channels.connectors import language
from services.channels.connectors.port import (
    Answer,
    Blob,
    Connector,
    Context,
    InboundRequest,
    Normalised,
    Parsed,
    Problem,
    Secrets,
    Settings,
    Verdict,
    Wanted,
)
from services.channels.links import is_link
from shared.contracts import ids, interactions
from shared.contracts.envelope import Envelope
from shared.contracts.instants import SECOND_US, format_instant
from shared.contracts.interactions import SILENT_FLAGS, Interaction

FUTURE_SKEW_S = 60
MAX_EVENTS = 5000


class Event(msgspec.Struct, frozen=True):
    """One event: its envelope, and its data both decoded and, in the envelope, as JSON. Its id
    derives from `vendor_id` and the data's revision."""

    envelope: Envelope
    interaction: Interaction
    thread_candidates: tuple[str, ...] = ()
    vendor_id: str = ""


class Handled(msgspec.Struct, frozen=True):
    """What a request comes to.

    `answer` is for when everything is durable, `unavailable` for when it cannot be made so.
    Publish and keep only where `accepted`: what is refused is not even parsed, but in a trial
    `events` and `problems` show what the body becomes whatever the verdict. `raw_ok`: a payload (no handshake) worth keeping raw. `dead_letter` is
    why the payload, raw, belongs among the dead letters as well.
    """

    verdict: Verdict
    accepted: bool
    answer: Answer
    unavailable: Answer
    events: list[Event] = []
    problems: list[Problem] = []
    blobs: list[Blob] = []
    raw_ok: bool = False
    wanted: list[Wanted] = []

    @property
    def dead_letter(self) -> Problem | None:
        lost = next((problem for problem in self.problems if problem.lost), None)
        return lost if self.accepted else None


def refusal(connector: Connector, handled: Handled) -> str:
    """What a request that is not accepted lacks, for whoever sets the vendor up."""
    if handled.problems:
        return handled.problems[0].message
    tokens = [name for name in ("verify_token",) if name in connector.secrets]
    names = ", ".join([*connector.signature.secret_names, *tokens])
    if handled.verdict == "none":
        return f"Nothing can be verified: the connector has no secret ({names})."
    return (
        f"The request is not verified: it does not agree with the connector's secrets ({names}), "
        "its public_url, or the time."
    )


def clean_secrets(secrets: Mapping[str, Any] | None) -> Secrets:
    """Plain secrets by name, each one text or a list of texts; empty ones are as if not given."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in (secrets or {}).items():
        several = value if isinstance(value, list | tuple) else [value]
        usable = tuple(each for each in several if isinstance(each, str) and each)
        if usable:
            found[name] = usable
    return found


def handle(
    connector: Connector,
    settings: Settings,
    secrets: Secrets,
    request: InboundRequest,
    *,
    connector_id: str,
    workspace: str,
    languages: Iterable[str] = (),
    trial: bool = False,
) -> Handled:
    """Verify and normalise one request. Pure; raises nothing on any request.

    A kind that signs, without its secrets, accepts nothing, unless this is a `trial` (a preview),
    which answers as if the request were valid.
    """
    request = public(request, settings)
    if connector.handshake is not None:
        done = connector.handshake(request, secrets, settings)
        if done is not None:
            accepted = done.verdict == "valid" or trial
            return Handled(done.verdict, accepted, done.answer, connector.answers.unavailable)
    answers = connector.answers
    if request.method.upper() == "HEAD":  # asks whether the address is there
        return Handled("none", False, Answer(200), answers.unavailable)
    if request.method.upper() != "POST" and not _is_queried(connector, request):
        problem = Problem(
            "method", f"{request.method[:16]} carries no payload: send it by POST.", lost=False
        )
        return Handled("none", False, answers.bad_method, answers.unavailable, [], [problem])
    if len(request.body) > connector.max_body_bytes:
        problem = Problem("too_large", f"The body exceeds {connector.max_body_bytes} bytes.")
        return Handled("none", False, answers.too_large, answers.unavailable, [], [problem])
    verdict = connector.signature.verify(request, secrets)
    accepted = verdict == "valid" or (verdict == "none" and (trial or not connector.signed))
    channel = connector.channel_of(settings)
    context = Context(workspace, connector_id, request.received_at_us, channel)
    readable = accepted or trial
    parsed = parse(connector, request, settings, context) if readable else Parsed()
    events = assemble(connector, parsed, context, languages)
    return Handled(
        verdict=verdict,
        accepted=accepted,
        answer=_answer(connector, accepted, events, parsed),
        unavailable=answers.unavailable,
        events=events,
        problems=parsed.problems,
        blobs=parsed.blobs,
        raw_ok=accepted,
        wanted=parsed.wanted,
    )


def _is_queried(connector: Connector, request: InboundRequest) -> bool:
    return connector.by_get and request.method.upper() == "GET" and bool(request.query)


def public(request: InboundRequest, settings: Settings) -> InboundRequest:
    """The request as the vendor addressed it: the configured public URL with the query sent."""
    if not settings.public_url:
        return request
    base = settings.public_url
    query = request.url.partition("#")[0].partition("?")[2]
    url = base if not query or "?" in base else f"{base}?{query}"
    return msgspec.structs.replace(request, url=url)


def _answer(connector: Connector, accepted: bool, events: list[Event], parsed: Parsed) -> Answer:
    if not accepted:
        return connector.answers.bad_signature
    unusable = not events and any(problem.lost for problem in parsed.problems)
    if unusable:
        return connector.answers.unusable
    return parsed.answer or connector.answers.ok


def parse(
    connector: Connector, request: InboundRequest, settings: Settings, context: Context
) -> Parsed:
    """The codec's result. A fault of the codec itself becomes a problem too: the payload is then
    kept as a dead letter and can be replayed when the codec is mended."""
    try:
        return connector.parse(request, settings, context)
    except Exception as error:
        failed = Parsed()
        failed.lose("codec_fault", f"The codec failed: {type(error).__name__}.")
        return failed


def assemble(
    connector: Connector, parsed: Parsed, context: Context, languages: Iterable[str] = ()
) -> list[Event]:
    """Events with ids, each id once, in the payload's order."""
    wanted = language.usable(tuple(languages))
    seen: dict[str, Event] = {}
    for found in parsed.events[:MAX_EVENTS]:
        if found.attachments:
            _links_only(found, parsed)
        event = _event(connector, found, context, wanted)
        seen.setdefault(event.envelope.id, event)
    if len(parsed.events) > MAX_EVENTS:
        parsed.lose("too_many_events", f"The payload holds more than {MAX_EVENTS} events.")
    return list(seen.values())


def _links_only(found: Normalised, parsed: Parsed) -> None:
    """A file keeps its name and its vendor's id, but no address that a desktop must not open."""
    for file in found.attachments:
        if file.url is not None and not is_link(file.url):
            scheme = file.url.partition(":")[0][:32]
            parsed.note("unsafe_link", f"The address of an attachment ({scheme!r}) is dropped.")
            file.url = None


def _event(
    connector: Connector, found: Normalised, context: Context, languages: tuple[str, ...]
) -> Event:
    data = _interaction(connector, found, context)
    if languages and _worth_detecting(found):
        data.language = language.detect(data.reply_text or data.text, languages)
    identity = ids.event_id(
        context.workspace, context.connector_id, found.vendor_id, found.revision
    )
    time_us = plausible(found.occurred_at_us, context.received_at_us, connector.retry_horizon_s)
    envelope = Envelope(
        id=identity,
        source=f"connectors/{context.connector_id}",
        type=found.type,
        time=format_instant(time_us),
        workspace=context.workspace,
        data=msgspec.json.encode(data),
        partitionkey=data.conversation_id,
    )
    return Event(envelope, data, tuple(found.thread_candidates), found.vendor_id)


def rethread(event: Event, conversation_id: str, conversation_key: str) -> Event:
    """The same event in the conversation that the thread index knows."""
    data = msgspec.structs.replace(
        event.interaction, conversation_id=conversation_id, conversation_key=conversation_key
    )
    envelope = msgspec.structs.replace(
        event.envelope, data=msgspec.json.encode(data), partitionkey=conversation_id
    )
    return msgspec.structs.replace(event, envelope=envelope, interaction=data)


def revised(event: Event, count: int) -> Event:
    """The same event as its `count`-th further revision, which only updates (DESIGN §3)."""
    found = event.interaction
    revision = found.revision + count
    data = msgspec.structs.replace(found, revision=revision, replay_of=event.envelope.id)
    envelope = msgspec.structs.replace(
        event.envelope,
        id=ids.event_id(found.workspace, found.connector, event.vendor_id, revision),
        data=msgspec.json.encode(data),
    )
    return msgspec.structs.replace(event, envelope=envelope, interaction=data)


def _worth_detecting(found: Normalised) -> bool:
    theirs = found.author.role == "customer" and not found.generated
    return theirs and found.language is None and SILENT_FLAGS.isdisjoint(found.flags)


def _interaction(connector: Connector, found: Normalised, context: Context) -> Interaction:
    workspace, owner = context.workspace, context.connector_id
    channel = found.channel or context.channel or connector.channel
    replaced = found.replaces and ids.message_id(workspace, owner, found.replaces)
    # Field by field, for a loop over their names takes longer than all the ids above.
    return Interaction(
        workspace=workspace,
        connector=owner,
        channel=channel,
        conversation_id=ids.conversation_id(workspace, owner, channel, found.conversation_key),
        message_id=ids.message_id(workspace, owner, found.message_key or found.vendor_id),
        received_at=format_instant(context.received_at_us),
        conversation_key=found.conversation_key,
        replaces_message_id=replaced or None,
        flags=_flags(found),
        direction=found.direction,
        author=found.author,
        text=found.text,
        html=found.html,
        reply_text=found.reply_text,
        subject=found.subject,
        language=found.language,
        identities=found.identities,
        attachments=found.attachments,
        in_reply_to=found.in_reply_to,
        replaces=found.original_id or found.replaces,
        attributes=found.attributes,
        segment=found.segment,
        delivery_status=found.delivery_status,
        reason=found.reason,
        survey=found.survey,
        score=found.score,
        comment=found.comment,
        email=found.email,
        vendor=found.vendor,
        revision=found.revision,
    )


def _flags(found: Normalised) -> list[interactions.Flag]:
    if not found.flags and found.type == interactions.MESSAGE:
        return []
    flags = list(dict.fromkeys(found.flags))
    if found.type == interactions.MESSAGE_EDITED and "edited" not in flags:
        flags.append("edited")
    if found.type == interactions.MESSAGE_DELETED and "deleted" not in flags:
        flags.append("deleted")
    return flags


def plausible(occurred_at_us: int | None, received_at_us: int, horizon_s: int) -> int:
    """The vendor's time when it can be true: not in the future beyond a small skew, not older than
    the vendor retries; else the time of arrival."""
    if occurred_at_us is None:
        return received_at_us
    age_us = received_at_us - occurred_at_us
    believable = -FUTURE_SKEW_S * SECOND_US <= age_us <= horizon_s * SECOND_US
    return occurred_at_us if believable else received_at_us
