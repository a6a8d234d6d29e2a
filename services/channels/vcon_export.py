"""A conversation as a vCon: parties, dialog, analysis and attachments, in one document. Pure.

https://datatracker.ietf.org/doc/draft-ietf-vcon-vcon-core/ (0.0.2). `connectors/phone/vcon` reads
what this writes: who said what and when comes back the same.
"""

import base64
import uuid
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

VERSION = "0.0.2"
MEDIA_TYPE = "application/vcon+json"
_OTHER_DIALOGS = ("transfer", "incomplete")

Json = dict[str, Any]


def vcon_of(
    workspace: str,
    conversation: Json,
    messages: Sequence[Json],
    contents: Mapping[str, bytes],
    *,
    own_uuid: str | None = None,
) -> Json:
    """The document of a conversation and its messages, both as the API shows them, oldest first.

    `contents` holds attachments by SHA-256; one that is missing there is named by hash and, where
    it has one, address. `own_uuid`: the document's id where it came as a vCon. What was deleted is
    left out; of what was edited the last word is shown. Same arguments, same document.
    """
    found = _Document(conversation)
    kept = [message for message in messages if "deleted" not in message["flags"]]
    found.meet(kept)
    for message in kept:
        found.add(message, contents)
    found.rate(conversation)
    subject = conversation["subject"]
    return {
        "vcon": VERSION,
        "uuid": own_uuid or uuid_of(workspace, conversation["conversation_id"]),
        "created_at": conversation["started_at"],
        "updated_at": conversation["last_at"],
        **({"subject": subject} if subject else {}),
        "parties": found.parties,
        "dialog": found.dialog,
        "analysis": found.analysis,
        "attachments": found.attachments,
    }


def uuid_of(workspace: str, conversation: str) -> str:
    """A UUID of version 8 (RFC 9562), the same each time."""
    text = f"{len(workspace)}:{workspace}{conversation}"
    raw = bytearray(blake2b(text.encode(), digest_size=16, person=b"vcon").digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


class _Document:
    """The lists of a document in the making; the customer is the first party."""

    def __init__(self, conversation: Json) -> None:
        self.parties: list[Json] = []
        self.dialog: list[Json] = []
        self.analysis: list[Json] = []
        self.attachments: list[Json] = []
        self._places: dict[tuple[str, str], int] = {}
        self._taken: set[int] = set()
        self._about = {
            "application": conversation["connector"],
            "interaction_id": conversation["conversation_id"],
        }
        customer = conversation["customer"]
        self.parties.append(_person("customer", customer["name"], customer["identities"]))
        self._known: set[str] = {one["value"] for one in customer["identities"]}

    def meet(self, messages: Sequence[Json]) -> None:
        """Learn who takes part, before anybody speaks."""
        for message in messages:
            if not _is_analysis(message):
                self._speaker(message)

    def add(self, message: Json, contents: Mapping[str, bytes]) -> None:
        attributes = message["attributes"] or {}
        if _is_analysis(message):
            self._remark(message, attributes)
        elif attributes.get("vcon_dialog") in _OTHER_DIALOGS:
            why = attributes.get("disposition")
            more = {} if why is None else {"disposition": why}
            self._say(message, {"type": attributes["vcon_dialog"], **more}, self._speaker(message))
        elif attributes.get("vcon_dialog") == "recording" and message["attachments"]:
            self._recording(message, attributes, contents)
        else:
            self._text(message, contents)

    def rate(self, conversation: Json) -> None:
        """The customer's feedback, as an analysis."""
        feedback = conversation["feedback"]
        if feedback:
            told = {name: value for name, value in feedback.items() if value is not None}
            body = {"mediatype": "application/json", "encoding": "json", "body": told}
            self.analysis.append({"type": told["survey"], "vendor": "omniroute", **body})

    def _say(self, message: Json, what: Json, speaker: int) -> None:
        others = [at for at in range(len(self.parties)) if at != speaker]
        head = {"start": message["time"], "parties": [speaker, *others]}
        own = {"message_id": message["message_id"], **self._about}
        self.dialog.append({**what, **head, **own})

    def _text(self, message: Json, contents: Mapping[str, bytes]) -> None:
        speaker = self._speaker(message)
        kind, body = "text/plain", message["text"]
        if not body and message["html"]:
            kind, body = "text/html", message["html"]
        at = len(self.dialog)
        if body:
            said = {"type": "text", "mediatype": kind, "encoding": "none", "body": body}
            self._say(message, said | _length(message["segment"]), speaker)
        for file in message["attachments"]:
            place = {"party": speaker, "start": message["time"], "purpose": "attachment"}
            place |= {"dialog": at} if body else {}
            self.attachments.append({**place, **_file(file, contents)})

    def _recording(self, message: Json, attributes: Json, contents: Mapping[str, bytes]) -> None:
        length = attributes.get("duration_s")
        what = {"type": "recording", **_file(message["attachments"][0], contents)}
        what |= {} if length is None else {"duration": length}
        self._say(message, what, self._speaker(message))

    def _remark(self, message: Json, attributes: Json) -> None:
        head, colon, rest = (message["text"] or "").partition(": ")
        named = bool(colon) and head.isalpha()
        kind = attributes.get("vcon_analysis") or (head.lower() if named else "note")
        body = {"mediatype": "text/plain", "encoding": "none"}
        body["body"] = rest if named else message["text"] or ""
        about = list(range(len(self.dialog)))
        vendor = self._about["application"]
        self.analysis.append({"type": kind, "dialog": about, "vendor": vendor, **body})

    def _speaker(self, message: Json) -> int:
        """The place of who spoke among the parties; the first customer to speak is the customer."""
        author = message["author"] or {}
        role, name, own = str(author.get("role")), author.get("name"), author.get("id")
        key = (role, own or name or "")
        if key not in self._places:
            theirs = role == "customer" and (own in self._known or not own or 0 not in self._taken)
            self._places[key] = 0 if theirs else len(self.parties)
            if not theirs:
                self.parties.append(_person(role, name or own, _identities(own)))
            elif name:
                self.parties[0].setdefault("name", name)
        self._taken.add(self._places[key])
        return self._places[key]


def _is_analysis(message: Json) -> bool:
    """Something about the conversation that nobody said in it."""
    attributes = message["attributes"] or {}
    if "vcon_analysis" in attributes or "vcon_dialog" in attributes:
        return "vcon_analysis" in attributes
    by_system = (message["author"] or {}).get("role") == "system"
    return by_system and "suppress" in message["flags"] and not message["attachments"]


def _person(role: str, name: str | None, identities: Sequence[Json]) -> Json:
    known = {one["scheme"]: one["value"] for one in reversed(identities)}
    person = {"name": name, "tel": known.get("phone"), "mailto": known.get("email")}
    return {**{key: value for key, value in person.items() if value}, "role": role}


def _identities(own: str | None) -> list[Json]:
    """A speaker's own id as an identity, where its form says of which kind."""
    if own and own.startswith("+") and own[1:].isdigit():
        return [{"scheme": "phone", "value": own}]
    return [{"scheme": "email", "value": own}] if own and "@" in own[1:-1] else []


def _length(segment: Json | None) -> Json:
    if not segment or segment.get("start_ms") is None or segment.get("end_ms") is None:
        return {}
    return {"duration": (segment["end_ms"] - segment["start_ms"]) / 1000}


def _file(file: Json, contents: Mapping[str, bytes]) -> Json:
    """Inline where the content is at hand, else by address and hash."""
    name = file.get("sha256")
    shown = {"mediatype": file.get("content_type"), "filename": file.get("name")}
    shown = {key: value for key, value in shown.items() if value}
    content = contents.get(name or "")
    if content is not None:
        return {**shown, "encoding": "base64url", "body": _base64url(content)}
    if file.get("url"):
        shown["url"] = file["url"]
    if name:
        shown["content_hash"] = f"sha256-{_base64url(bytes.fromhex(name))}"
    return shown


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
