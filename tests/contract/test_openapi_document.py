"""The OpenAPI document of each service, and of all in one process: whole enough to make a client of."""

import json
import re

import jsonschema
import pytest
from prometheus_client import CollectorRegistry

from services.channels.api.routers import ROUTERS as CHANNELS
from services.router.api.routers import ROUTERS as ROUTER
from services.sla.api.routers import ROUTERS as SLA
from shared.http.app import create_app
from shared.http.calls import NOTHING_SAID
from shared.http.idempotency import MemoryReplies
from shared.http.platform_api import platform_router
from shared.http.tickets import MemoryTickets
from shared.testing.described import Described

TARGETS = {
    "channels": CHANNELS,
    "router": ROUTER,
    "sla": SLA,
    "all": (*CHANNELS, *ROUTER, *SLA),
}
PROBLEM = {"$ref": "#/components/schemas/Problem"}
ROLES = {"platform", "agent", "supervisor", "ops", "admin"}
OPEN = re.compile(r"/health/|/inbound")


async def ready():
    return {}


def application(target):
    routers = [platform_router(None, MemoryTickets(), MemoryReplies()), *TARGETS[target]]
    return create_app(
        "Omniroute", "", routers,
        version="1", access=None, ready=ready, registry=CollectorRegistry(),
    )  # fmt: skip


@pytest.fixture(scope="module", params=TARGETS)
def described(request):
    return Described(application(request.param).openapi())


def operations(described):
    return [(f"{method} {path}", one) for method, path, one in described.operations()]


def test_every_call_says_what_it_is_and_has_a_name_of_its_own(described):
    names = [one["operationId"] for _, one in operations(described)]
    assert len(set(names)) == len(names) > 10
    for what, one in operations(described):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+|live|is_ready", one["operationId"]), what
        assert 3 < len(one["summary"]) < 80, what
        assert one["tags"], what


def test_every_parameter_says_what_it_means(described):
    for what, one in operations(described):
        places = [(each["in"], each["name"]) for each in one["parameters"]]
        assert len(set(places)) == len(places), what
        for each in one["parameters"]:
            assert each["description"] and each["schema"], (what, each["name"])
            if each["in"] == "path":
                assert each["schema"].get("pattern") or "maximum" in each["schema"], what
        limits = {each["name"]: each["schema"] for each in one["parameters"]}
        assert "default" in limits["limit"] if "cursor" in limits and "task}" not in what else True


def test_every_body_has_a_schema_and_an_example_that_fits(described):
    seen = 0
    for what, one in operations(described):
        for kind, body in one.get("requestBody", {"content": {}})["content"].items():
            if "NothingBody" in json.dumps(body):
                continue
            described.valid(body["schema"], body["example"], f"{what} {kind}")
            seen += 1
    assert seen > 4


WITHOUT_BODY = {
    "accept_offer", "create_chat_ticket", "create_stream_ticket", "replay_dead_letter", "rotate_key",
    "unmerge_customer", "take_inbound", "take_inbound_by_token",
}  # fmt: skip


def test_every_call_that_takes_a_body_says_which(described):
    for method, path, one in described.operations():
        if method in ("POST", "PUT"):
            takes = one["operationId"] not in WITHOUT_BODY
            assert ("requestBody" in one) == takes, path
    bodies = {one["operationId"]: one.get("requestBody") for _, one in operations(described)}
    if "create_task" in bodies:
        assert bodies["create_task"]["required"] and not bodies["complete_task"]["required"]


def test_every_answer_has_a_schema_and_every_refusal_is_a_problem(described):
    for what, one in operations(described):
        for status, answer in one["responses"].items():
            content = answer.get("content", {})
            assert answer["description"], (what, status)
            if int(status) >= 400 and "/health/" not in what:
                assert content == {"application/problem+json": {"schema": PROBLEM}}, (what, status)
            elif status not in ("204", "304") and "/inbound" not in what:
                assert content and all(each["schema"] for each in content.values()), what
        refused = {int(status) for status in one["responses"]} - {200, 201, 202, 204, 304}
        if "/health/" not in what:
            assert {400, 404, 503} <= refused, what
        if one["security"]:
            assert {401, 403, 429} <= refused, what
        if "requestBody" in one:
            assert {413, 415} <= refused, what
        for status in {429, 503} & refused if "/health/" not in what else ():
            assert "Retry-After" in one["responses"][str(status)]["headers"], what


def test_every_call_says_who_may(described):
    for what, one in operations(described):
        assert (one["security"] == []) == bool(OPEN.search(what)), what
        if {"bearer": []} in one["security"]:
            assert set(one["x-omniroute-roles"]) <= ROLES, what
            assert f"Roles: {', '.join(one['x-omniroute-roles'])}" in one["description"], what
    schemes = described.document["components"]["securitySchemes"]
    assert {name for _, one in operations(described) for each in one["security"] for name in each} <= schemes.keys()  # fmt: skip


def test_headers_go_with_what_they_are_for(described):
    for what, one in operations(described):
        sent = {each["name"] for each in one["parameters"] if each["in"] == "header"}
        statuses = one["responses"].keys()
        assert ("Idempotency-Key" in sent) == ("422" in statuses), what
        assert ("If-Match" in sent) == ("412" in statuses), what
        if "304" in statuses:
            assert "If-None-Match" in sent and "ETag" in one["responses"]["200"]["headers"], what
        events = one["responses"].get("200", {}).get("content", {}).get("text/event-stream")
        if events is not None:
            assert events["x-omniroute-events"], what


def test_lists_are_pages_of_one_shape(described):
    for what, one in operations(described):
        names = {each["name"] for each in one["parameters"] if each["in"] == "query"}
        if "cursor" not in names or "explanation" in what:
            continue
        schema = one["responses"]["200"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        parts = described.document["components"]["schemas"][name]["allOf"]
        assert parts[0] == {"$ref": "#/components/schemas/Page"}, what


def test_every_reference_leads_somewhere_and_every_schema_is_one(described):
    schemas = described.document["components"]["schemas"]
    for reference in references(described.document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    jsonschema.Draft202012Validator.check_schema({"$defs": schemas})
    used = {one.rpartition("/")[2] for one in references(described.document)}
    assert used == schemas.keys(), "a schema that nobody refers to"


def test_every_array_says_of_what(described):
    """openapi-python-client leaves out whatever holds one that does not."""
    for one in objects(described.document):
        if one.get("type") == "array":
            assert {"items", "prefixItems"} & one.keys(), one


def objects(value):
    """All objects within a JSON value."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_a_call_and_a_schema_are_the_same_in_every_process():
    whole = application("all").openapi()
    for target in ("channels", "router", "sla"):
        part = application(target).openapi()
        for path, methods in part["paths"].items():
            assert methods.items() <= whole["paths"][path].items(), path
        for name, schema in part["components"]["schemas"].items():
            assert whole["components"]["schemas"][name] == schema, name


@pytest.mark.parametrize("target", TARGETS)
def test_every_route_says_what_it_takes_and_answers(target):
    for route in application(target).state.subjects.routes:
        if route.include_in_schema:
            assert route.call is not NOTHING_SAID, route.path_format


def test_nothing_is_made_before_somebody_asks():
    assert application("all").openapi_schema is None
