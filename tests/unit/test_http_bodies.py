"""Faults of bodies: where they are, what they are, and which name was meant."""

import json
from enum import Enum
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from shared.contracts.faults import decode_body
from shared.contracts.problems import Refused
from shared.http.problems import pointer
from shared.http.resources import Resource, parse_resource, validate_resource
from shared.http.workspace_body import WorkspaceBody


class Author(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["customer", "agent"]
    name: str | None = None


class Data(msgspec.Struct, forbid_unknown_fields=True):
    channel: str
    author: Author
    identities: list[Author] = []
    named: dict[str, Author] = {}


class Event(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    data: Data


GOOD = {"id": "1", "data": {"channel": "chat", "author": {"role": "customer"}}}


def fault(content, kind=Event, prefix=""):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(Refused) as caught:
        decode_body(body, kind, prefix=prefix)
    assert caught.value.kind == "validation"
    return caught.value.errors[0]


def changed(**data):
    return {**GOOD, "data": {**GOOD["data"], **data}}


def test_a_good_body():
    assert decode_body(json.dumps(GOOD).encode(), Event).data.author.role == "customer"


@pytest.mark.parametrize(
    ("content", "where", "code"),
    [
        (changed(author={"role": "boss"}), "/data/author/role", "value"),
        (changed(author={"role": 5}), "/data/author/role", "type"),
        (changed(channel=5), "/data/channel", "type"),
        (changed(author={}), "/data/author/role", "missing"),
        ({"id": "1"}, "/data", "missing"),
        (changed(identities=[{"role": "agent"}, {"role": 1}]), "/data/identities/1/role", "type"),
        (changed(author={"role": "agent", "nam": "x"}), "/data/author/nam", "unknown_field"),
        ({**GOOD, "a/b~c": 1}, "/a~1b~0c", "unknown_field"),
        ([], "", "type"),
        (b"{", "", "json"),
        (b"", "", "json"),
        (b'{"id": "\xff"}', "", "json"),
    ],
)
def test_faults_and_their_places(content, where, code):
    found = fault(content)
    assert (found.pointer, found.code) == (where, code)


def test_the_nearest_name_is_offered():
    found = fault(changed(author={"role": "agent", "nmae": "x"}))
    assert "Did you mean 'name'?" in found.message
    assert found.expected == "name"
    assert fault(changed(identities=[{"rol": "agent"}])).expected == "role"
    assert "Did you mean" not in fault({**GOOD, "zzzzzz": 1}).message


def test_pointers_of_batches_begin_with_the_row():
    assert fault(changed(channel=1), prefix="/3").pointer == "/3/data/channel"


def test_a_value_of_a_dict_has_no_known_key():
    assert fault(changed(named={"x": {"role": 1}})).pointer == "/data/named/*/role"


NAMES = st.text(min_size=1, max_size=12).filter(lambda text: text not in ("id", "data"))


@given(NAMES)
def test_any_unknown_name_is_found_by_its_pointer(name):
    content = {**GOOD, name: 1}
    found = fault(content)
    assert found.code == "unknown_field"
    assert resolve(content, found.pointer) == 1


@given(st.lists(st.one_of(st.text(max_size=5), st.integers(0, 9)), max_size=4))
def test_pointers_resolve_to_what_they_name(path):
    content = "here"
    for part in reversed(path):
        content = {part: content} if isinstance(part, str) else [None] * part + [content]
    assert resolve(content, pointer(path)) == "here"


def resolve(content, text):
    for part in text.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        content = content[int(key)] if isinstance(content, list) else content[key]
    return content


@given(st.binary(max_size=60))
def test_no_bytes_get_past_as_anything_but_a_refusal(body):
    try:
        decode_body(body, Event)
    except Refused as refused:
        assert refused.errors


class Colour(Enum):
    RED = "red"


class Skill(Resource):
    skill: str
    level: Annotated[int, Field(ge=0, le=10)] = 1


class Rule(Resource):
    name: str
    require: list[Skill | str] = []
    colour: Colour = Colour.RED


class Policy(Resource):
    id: str
    rules: list[Rule] = []
    by_name: dict[str, Rule] = {}


def faults(content, model=Policy, **options):
    with pytest.raises(Refused) as caught:
        parse_resource(json.dumps(content).encode(), model, **options)
    return {one.pointer: one for one in caught.value.errors}


@pytest.mark.parametrize(
    ("content", "where", "code"),
    [
        ({"id": "p", "rulse": []}, "/rulse", "unknown_field"),
        ({"id": "p", "rules": [{"name": "a", "requier": []}]}, "/rules/0/requier", "unknown_field"),
        ({"id": "p", "rules": [{}]}, "/rules/0/name", "missing"),
        ({"id": "p", "rules": [{"name": 5}]}, "/rules/0/name", "string_type"),
        ({"id": "p", "by_name": {"a/b": {"name": 1}}}, "/by_name/a~1b/name", "string_type"),
        (
            {"id": "p", "rules": [{"name": "a", "require": [{"skill": "de", "level": 11}]}]},
            "/rules/0/require/0/level",
            "less_than_equal",
        ),
        ({"id": "p", "rules": [{"name": "a", "colour": "blue"}]}, "/rules/0/colour", "enum"),
    ],
)
def test_resource_faults_and_their_places(content, where, code):
    found = faults(content)
    assert where in found, found
    assert found[where].code == code


def test_resource_hints_come_from_the_model_at_that_place():
    found = faults({"id": "p", "rules": [{"name": "a", "requier": []}]})["/rules/0/requier"]
    assert found.expected == "require"
    union = faults({"id": "p", "rules": [{"name": "a", "require": [{"skill": "d", "lvel": 1}]}]})
    assert union["/rules/0/require/0/lvel"].expected == "level"


def test_every_fault_is_told_at_once():
    assert set(faults({"rules": [{}, {"name": 1}]})) == {"/id", "/rules/0/name", "/rules/1/name"}


def test_the_id_comes_from_the_path_and_must_not_differ():
    assert parse_resource(b"{}", Policy, id_in_path="p").id == "p"
    assert "/id" in faults({"id": "q"}, id_in_path="p")


def test_nothing_is_converted_on_the_quiet():
    assert "/rules/0/require/0/level" in faults(
        {"id": "p", "rules": [{"name": "a", "require": [{"skill": "x", "level": "3"}]}]}
    )


@pytest.mark.parametrize("body", [b"[]", b"3", b"{", b"\xff", b'{"a":' + b"[" * 100_000])
def test_bodies_that_are_no_objects(body):
    with pytest.raises(Refused) as caught:
        parse_resource(body, Policy)
    assert caught.value.errors[0].pointer == ""


def test_a_prefix_leads_the_pointers_of_a_file():
    with pytest.raises(Refused) as caught:
        validate_resource({"id": 3}, Policy, prefix=("policies", 0))
    assert caught.value.errors[0].pointer == "/policies/0/id"


def test_the_workspace_of_the_shared_example_is_understood():
    body = parse_resource(
        b'{"timezone": "Europe/Berlin", "languages": ["de", "en"], "channels": {"email":'
        b' {"cost": 20, "held_cost": 0, "interruptible_by": ["phone", "chat"]}}}',
        WorkspaceBody,
        id_in_path="acme",
    )
    assert body.channels["email"].interruptible_by == ["phone", "chat"]
    assert "/timezone" in faults({"timezone": "Berlin"}, WorkspaceBody)
    assert "/channels/fax" in " ".join(faults({"channels": {"fax": {"cost": 1}}}, WorkspaceBody))
