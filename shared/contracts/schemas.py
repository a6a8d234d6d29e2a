"""JSON Schemas of the events, and the rule for which changes to them are compatible.

A consumer of yesterday must be able to read what is written today: fields and types may be added,
nothing that was there may go, change its type, or turn optional where it was required.
"""

from typing import Any, cast

import msgspec

from shared.contracts import interactions, routing, sla, topics

JsonSchema = dict[str, Any]


def event_types() -> dict[str, type]:
    """Each event type -> the struct of its data."""
    spoken = dict.fromkeys(
        (*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL), interactions.Interaction
    )
    return {**spoken, **routing.TYPES, **sla.TYPES}


def topic_of(event_type: str) -> tuple[str, ...]:
    """The topics on which an event type travels."""
    if event_type == interactions.TRANSCRIPT_PARTIAL:
        return (topics.TRANSCRIPTS_PARTIAL,)
    if event_type.startswith("interaction."):
        return tuple(topics.INTERACTIONS.values())
    return (topics.ROUTING_EVENTS,) if event_type.startswith("routing.") else (topics.SLA_EVENTS,)


def json_schemas() -> tuple[dict[str, JsonSchema], JsonSchema]:
    """(event type -> schema of its data, shared definitions below «#/components/schemas/»)."""
    types = event_types()
    schemas, components = msgspec.json.schema_components(
        list(types.values()), ref_template="#/components/schemas/{name}"
    )
    return dict(zip(types, schemas, strict=True)), components


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document of the topics."""
    schemas, components = json_schemas()
    names = {event_type: event_type.replace(".", "_") for event_type in schemas}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Omniroute events", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, names) for topic in topics.ALL_TOPICS},
        "operations": {
            f"publish_{topic.replace('.', '_')}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic}"},
            }
            for topic in topics.ALL_TOPICS
        },
        "components": {
            "messages": {
                names[event_type]: _message(event_type, schema)
                for event_type, schema in schemas.items()
            },
            "messageTraits": {"cloudevent": _CLOUDEVENT_TRAIT},
            "schemas": components,
        },
    }


_DESCRIPTION = (
    "CloudEvents 1.0 in Kafka's binary mode: attributes as ce_ headers, JSON data as the value. "
    "Delivery is at least once; ce_id is deterministic."
)
_TEXT = {"type": "string"}
_CLOUDEVENT_TRAIT = {
    "headers": {
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_workspace"],
        "properties": {
            "ce_specversion": {"const": "1.0"},
            **{
                f"ce_{name}": _TEXT
                for name in ("id", "source", "type", "time", "workspace", "partitionkey")
            },
            "ce_sequence": {"type": "string", "pattern": "^[0-9]+$"},
        },
    }
}


def _channel(topic: str, names: dict[str, str]) -> dict[str, Any]:
    travelling = [name for event_type, name in names.items() if topic in topic_of(event_type)]
    return {
        "address": topic,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in sorted(travelling)
        },
    }


def _message(event_type: str, schema: JsonSchema) -> dict[str, Any]:
    return {
        "name": event_type,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": schema,
    }


def incompatibilities(old: Any, new: Any, path: str = "") -> list[str]:
    """What a reader of `old` would miss or misread in `new`; empty when compatible.

    Both are values of the exported document (plain JSON).
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return _object_faults(cast(JsonSchema, old), cast(JsonSchema, new), path)
    if isinstance(old, list) and isinstance(new, list):
        return _list_faults(cast(list[Any], old), cast(list[Any], new), path)
    return [] if old == new else [f"{path}: {old!r} became {new!r}"]


_FREE = frozenset({"description", "title", "default", "info"})


def _object_faults(old: dict[str, Any], new: dict[str, Any], path: str) -> list[str]:
    faults: list[str] = []
    for key, value in old.items():
        here = f"{path}/{key}"
        if key in _FREE:
            continue
        if key not in new:
            if key != "required":
                faults.append(f"{here} is gone")
            elif value:
                faults.append(f"{here}: nothing is required any more")
            continue
        faults += incompatibilities(value, new[key], here)
    return faults


def _list_faults(old: list[Any], new: list[Any], path: str) -> list[str]:
    """Lists are sets here: enum values, required fields, anyOf members."""
    return [f"{path}: {item!r} is gone" for item in old if item not in new]
