"""apply and export against a living system: plan, change, nothing left to change, written back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from services.cli.apply.client import Api
from services.cli.apply.document import parse_document
from services.cli.apply.export import export
from services.cli.apply.plan import carry_out, plan
from services.cli.system import System, system
from shared.contracts.problems import Refused
from shared.settings import Settings

WORKSPACE = """
version: omniroute/v1
workspace: shop
timezone: Europe/Berlin
languages: [de, en]
channels: {chat: {cost: 30}, email: {cost: 20, held_cost: 0}}
teams: [{id: berlin, supervisors: [sam]}]
queues: [{id: main, service_level: {first_response: {threshold_s: 60, goal: 0.9}}, calendar: office}]
agents:
  - {id: ana, name: Ana, team: berlin, capacity: 100, channels: {chat: 3}, skills: {de: 4}, queues: [main]}
  - {id: sam, name: Sam, team: berlin, capacity: 100, channels: {chat: 3}}
escalations: [{id: ladder, levels: [{name: waited, when: {waiting_s: 5}, do: [{raise_priority: 5}]}]}]
policies: [{id: default, rules: [{require: [{skill: de, level: 3}], escalation: ladder, steps: [{queue: main}]}]}]
customers: [{id: kim, tier: gold, identities: [{scheme: email, value: kim@example.org}]}]
calendars: [{id: office, timezone: Europe/Berlin, hours: {mon: [["08:00", "18:00"]]}}]
sla_policies: [{id: all, calendar: office, targets: {first_response: {target_s: 60}}}]
connectors:
  - {id: mail, kind: email_mime, settings: {addresses: [help@shop.example]}}
  - {id: wa, kind: whatsapp_cloud, secrets: {app_secret: {env: SHOP_WA_SECRET}}}
"""


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    settings = Settings(port=0, data_dir=tmp_path, database_url=database_url, partitions=2)
    async with system(settings) as started:
        yield started


@pytest.fixture
async def api(running: System) -> AsyncIterator[Api]:
    await running.parts.platform.create_workspace("shop", 2)
    _, token = await running.parts.keys.create("shop", "test", "admin")
    async with Api(running.url, token, "shop") as one:
        yield one


async def applied(api: Api, content: dict) -> list[str]:
    document = parse_document(content)
    changes = await plan(api, document)
    return [done.change.title async for done in carry_out(api, changes)]


async def test_apply_twice_changes_once_and_export_says_the_same(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_WA_SECRET", "s3cr3t")
    content = yaml.safe_load(WORKSPACE)
    assert "agent ana" in await applied(api, content)
    again = await plan(api, parse_document(content))
    assert {change.verb for change in again} == {"keep"}
    text = await export(api)
    assert "s3cr3t" not in text
    monkeypatch.setenv("WA_APP_SECRET", "s3cr3t")
    exported = await plan(api, parse_document(yaml.safe_load(text)))
    assert {change.verb for change in exported} == {"keep"}


async def test_an_unset_variable_takes_no_secret_away(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_WA_SECRET", "s3cr3t")
    content = yaml.safe_load(WORKSPACE)
    await applied(api, content)
    monkeypatch.delenv("SHOP_WA_SECRET")
    changes = await plan(api, parse_document(content))
    assert {change.verb for change in changes} == {"keep"}
    warnings = [text async for done in carry_out(api, changes) for text in done.warnings]
    assert warnings == [
        "/connectors/1/secrets: SHOP_WA_SECRET is not set in the environment; the secrets held stay"
    ]
    held = await api.get("channels", "/connectors/wa")
    assert held is not None and held["secrets"] == ["app_secret"]


async def test_a_secret_in_use_is_not_lost_beside_one_that_is_set(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_WA_SECRET", "s3cr3t")
    monkeypatch.setenv("SHOP_WA_TOKEN", "t0ken")
    content = yaml.safe_load(WORKSPACE)
    content["connectors"][1]["secrets"]["verify_token"] = {"env": "SHOP_WA_TOKEN"}
    await applied(api, content)
    monkeypatch.delenv("SHOP_WA_SECRET")
    with pytest.raises(Refused) as refused:
        await plan(api, parse_document(content))
    assert [one.pointer for one in refused.value.errors] == ["/connectors/1/secrets/app_secret"]


async def test_the_plan_names_what_differs(api: Api) -> None:
    content = yaml.safe_load(WORKSPACE)
    await applied(api, content)
    content["agents"][0]["capacity"] = 60
    changed = [one for one in await plan(api, parse_document(content)) if one.verb != "keep"]
    assert [(one.title, one.verb, one.fields) for one in changed] == [
        ("agent ana", "update", ["capacity"])
    ]


async def test_a_service_that_refuses_is_named_by_the_files_place(api: Api) -> None:
    content = yaml.safe_load(WORKSPACE)
    content["queues"][0]["calendar"] = "nowhere"
    with pytest.raises(Refused) as refused:
        await applied(api, content)
    assert refused.value.errors[0].pointer == "/queues/0/calendar"


async def test_settings_survive(running: System, api: Api) -> None:
    await applied(api, yaml.safe_load(WORKSPACE))
    found = await running.parts.platform.workspace("shop")
    assert found is not None
    assert found.settings["languages"] == ["de", "en"]
