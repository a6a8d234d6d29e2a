"""A contact that Contact Lens has analysed once it was over: the file in the bucket of analyses, told
as the stream would have told it.

https://docs.aws.amazon.com/connect/latest/adminguide/contact-lens-example-output-files.html
"""

from typing import Any

from services.channels.connectors import fields


def as_record(file: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a file, with a segment for each utterance; None for what is no such file."""
    contact = fields.key(file, "CustomerMetadata", "ContactId")
    if contact is None or not isinstance(file.get("Transcript"), list):
        return None
    roles = {
        fields.key(each, "ParticipantId"): fields.key(each, "ParticipantRole")
        for each in fields.items(file, "Participants")
    }
    segments: list[dict[str, Any]] = []
    for each in fields.items(file, "Transcript"):
        who = fields.key(each, "ParticipantId")
        spoken = {"ParticipantRole": roles.get(who) or who, **each}
        named = "Transcript" if fields.text(each, "Content") else "Event"
        segments.append({named: spoken})
    for name in ("Summary", "PostContactSummary"):
        said = fields.text(file, "ConversationCharacteristics", "ContactSummary", name, "Content")
        segments += [{"PostContactSummary": {"Content": said}}] if said else []
    segments.append({"Categories": fields.obj(file, "Categories")})
    return {
        "EventType": "SEGMENTS",
        "ContactId": contact,
        "InstanceId": fields.key(file, "CustomerMetadata", "InstanceId"),
        "Channel": fields.key(file, "Channel"),
        "LanguageCode": fields.text(file, "LanguageCode"),
        "Segments": [each for each in segments if any(each.values())],
    }
