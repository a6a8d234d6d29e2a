"""A conversation exported as a vCon comes back the same when it is imported, and the reverse."""

import base64
import json
import uuid
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.phone import vcon
from services.channels.connectors.phone.vcon_form import faults
from services.channels.vcon_export import uuid_of, vcon_of
from shared.contracts.instants import parse_instant

AT = parse_instant("2026-03-02T09:15:00Z")
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "webhooks"


def imported(document: Any) -> Handled:
    return handle(
        vcon.CONNECTOR,
        vcon.CONNECTOR.settings(),
        {},
        vcon.upload(document, AT),
        connector_id="vcons",
        workspace="acme",
    )


def message(number: int, role: str, text: str | None, **more: Any) -> dict[str, Any]:
    """One as `GET messages` shows it."""
    return {
        "message_id": f"msg_{number}",
        "time": f"2026-03-02T09:1{number}:00Z",
        "author": {"role": role},
        "text": text,
        "html": None,
        "attachments": [],
        "flags": [],
        "segment": None,
        "attributes": {},
        **more,
    }


CONVERSATION = {
    "conversation_id": "cnv_1",
    "connector": "wa",
    "conversation_key": "k",
    "subject": "Invoice",
    "customer": {
        "name": "Kim",
        "identities": [
            {"scheme": "whatsapp", "value": "4915112345678"},
            {"scheme": "phone", "value": "+4915112345678"},
        ],
    },
    "started_at": "2026-03-02T09:10:00Z",
    "last_at": "2026-03-02T09:19:00Z",
    "feedback": {"survey": "csat", "score": 4.0, "comment": None, "at": "2026-03-02T09:20:00Z"},
}
KIM = {"role": "customer", "name": "Kim", "id": "4915112345678"}
FILE = b"a picture"
NAME = sha256(FILE).hexdigest()


def spoken() -> list[dict[str, Any]]:
    picture = {"name": "a.png", "content_type": "image/png", "size": len(FILE), "sha256": NAME}
    return [
        message(0, "customer", "My invoice is wrong", author=KIM),
        message(1, "bot", "One moment", author={"role": "bot", "name": "Helper"}),
        message(2, "customer", "password: x", author=KIM, flags=["deleted"]),
        message(3, "agent", "I correct it", author={"role": "agent", "id": "ana"}),
        message(4, "customer", "See this", author=KIM, attachments=[picture]),
        message(5, "system", "Summary: A wrong invoice.", flags=["suppress"]),
    ]


def test_a_conversation_is_a_document_in_order() -> None:
    document = vcon_of("acme", CONVERSATION, spoken(), {NAME: FILE})
    assert (document["vcon"], faults(document)) == ("0.0.2", [])
    assert uuid.UUID(document["uuid"]).version == 8
    assert document["uuid"] == uuid_of("acme", "cnv_1") != uuid_of("acme", "cnv_2")
    assert document["created_at"] == CONVERSATION["started_at"]
    assert document["parties"] == [
        {"name": "Kim", "tel": "+4915112345678", "role": "customer"},
        {"name": "Helper", "role": "bot"},
        {"name": "ana", "role": "agent"},
    ]
    assert [(one["body"], one["parties"]) for one in document["dialog"]] == [
        ("My invoice is wrong", [0, 1, 2]),
        ("One moment", [1, 0, 2]),
        ("I correct it", [2, 0, 1]),
        ("See this", [0, 1, 2]),
    ], "what was deleted stays deleted"
    (file,) = document["attachments"]
    assert (file["dialog"], file["party"], file["filename"]) == (3, 0, "a.png")
    assert base64.urlsafe_b64decode(file["body"] + "==") == FILE
    summary, rating = document["analysis"]
    assert (summary["type"], summary["body"]) == ("summary", "A wrong invoice.")
    assert (rating["type"], rating["body"]["score"]) == ("csat", 4.0)
    json.dumps(document)


def test_a_file_that_is_not_at_hand_is_named_by_its_hash() -> None:
    (file,) = vcon_of("acme", CONVERSATION, spoken(), {})["attachments"]
    digest = file["content_hash"].removeprefix("sha256-")
    assert base64.urlsafe_b64decode(digest + "=").hex() == NAME and "body" not in file


def test_what_is_exported_is_imported_as_it_was() -> None:
    document = vcon_of("acme", CONVERSATION, spoken(), {NAME: FILE})
    handled = imported(document)
    assert handled.dead_letter is None
    said = [
        (one.interaction.author.role, one.interaction.text, one.envelope.time)
        for one in handled.events
        if one.interaction.text and one.interaction.author.role != "system"
    ]
    kept = [one for one in spoken() if "deleted" not in one["flags"]]
    assert said == [
        (one["author"]["role"], one["text"], one["time"])
        for one in kept
        if one["author"]["role"] != "system"
    ]
    data = [one.interaction for one in handled.events]
    assert {one.conversation_key for one in data} == {document["uuid"]}
    assert [one.value for one in data[0].identities] == ["+4915112345678"]
    assert [file.sha256 for one in data for file in one.attachments] == [NAME]
    assert [blob.content for blob in handled.blobs] == [FILE]
    assert "Summary: A wrong invoice." in [one.text for one in data]


def exported(document: dict[str, Any], handled: Handled) -> dict[str, Any]:
    """What the archive would show of an imported document, exported."""
    first = next(e.interaction for e in handled.events if e.interaction.identities)
    shown = {
        **CONVERSATION,
        "feedback": None,
        "subject": document.get("subject"),
        "customer": {
            "name": first.author.name,
            "identities": [msgspec.to_builtins(one) for one in first.identities],
        },
    }
    messages = [
        {
            "segment": None,
            "html": None,
            **msgspec.to_builtins(one.interaction),
            "attachments": [msgspec.to_builtins(file) for file in one.interaction.attachments],
            "attributes": one.interaction.attributes,
            "flags": list(one.interaction.flags),
            "text": one.interaction.text,
            "time": one.envelope.time,
        }
        for one in handled.events
    ]
    contents = {blob.sha256: blob.content for blob in handled.blobs}
    return vcon_of("acme", shown, messages, contents, own_uuid=document["uuid"])


def essence(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Who said what when, with what."""
    people = document["parties"]
    return [
        (
            one["type"],
            parse_instant(one["start"]),
            people[one.get("originator", one["parties"][0])].get("name"),
            one.get("mediatype", one.get("mimetype")),
            one.get("duration"),
            one.get("url") or one.get("body"),
        )
        for one in document["dialog"]
    ]


def test_what_is_imported_is_exported_as_it_was() -> None:
    document = vcon.document()
    document["dialog"].append(
        {
            "type": "incomplete",
            "start": "2026-03-02T09:14:00Z",
            "parties": [0],
            "disposition": "no-answer",
        }
    )
    summary = {"type": "summary", "dialog": 0, "vendor": "v", "encoding": "none", "body": "Fine"}
    document["analysis"].append(summary)
    again = exported(document, imported(document))
    assert again["uuid"] == document["uuid"]
    assert essence(again)[:3] == essence(document)[:3]
    assert (again["dialog"][3]["type"], again["dialog"][3]["disposition"]) == (
        "incomplete",
        "no-answer",
    )
    assert [(one["type"], one["body"]) for one in again["analysis"]] == [("summary", "Fine")]
    twice = imported(again)
    assert twice.dead_letter is None and len(twice.events) == len(imported(document).events)


@pytest.mark.skipif(not SAMPLES.exists(), reason="no samples here")
@pytest.mark.parametrize("name", ["vcon_ab_call_ext_rec", "vcon_ab_email_acct_prob_thread"])
def test_a_published_document_survives_the_way_there_and_back(name: str) -> None:
    document = json.loads(json.loads((SAMPLES / f"{name}.json").read_text())["body"])
    handled = imported(document)
    again = exported(document, handled)
    assert faults(again) == []
    first, second = (
        [one.interaction.text for one in each.events if one.interaction.text]
        for each in (handled, imported(again))
    )
    assert first == second
