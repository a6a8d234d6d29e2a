"""A shift by each agent's own clock: nine to five is nine to five where he is."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.cli.simulate import read
from services.router.domain import duty, shift_zones
from services.router.domain.core import RouterFactory
from services.router.driver import WORKSPACE, Driver
from services.router.shift_zones import ShiftZones, derive, in_zone
from shared.calendars import expand
from shared.contracts.instants import SECOND_US
from tests.unit.router_centre import centre, come, offered, task_of

DAYS = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
OFFICE = {"id": "office", "timezone": "Europe/Berlin", "hours": DAYS}
MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
YORK = "America/New_York"


def write(driver: Driver, version: int = 1, **more: Any) -> None:
    """The calendar as the platform hands it on: windows in its body."""
    body = {**OFFICE, **more}
    windows = [list(one) for one in expand(body, driver.now_us).windows]
    driver.config("calendar", "office", version, {**body, "windows": windows})


def shifted(zone: str | None = None) -> Driver:
    agents: dict[str, dict[str, Any]] = {
        "ana": {"timezone": "Europe/Berlin"}, "ben": {"timezone": YORK}, "cleo": {}
    }  # fmt: skip
    driver = centre({name: {"team": "t", **body} for name, body in agents.items()})
    driver.now_us = round(MONDAY.timestamp()) * SECOND_US
    write(driver)
    shift = {"calendar": "office", **({"zone": zone} if zone else {})}
    driver.put("team", "t", supervisors=["ben"], shifts=[shift])
    return driver


def answer(driver: Driver) -> list[str]:
    """Do what the shell does."""
    found = shift_zones.wanted(driver.core)
    for one in found:
        driver.apply(derive(one, driver.now_us))
    return [one.id for one in found]


def on_duty(driver: Driver, hour: int) -> list[str]:
    at = round(MONDAY.replace(hour=hour, minute=30).timestamp()) * SECOND_US
    driver.wait(max(0, at - driver.now_us) // SECOND_US)
    driver.core.begin(driver.now_us)
    return duty.roster(driver.core, "t")["on_duty"]


def test_each_is_on_duty_by_his_own_clock():
    driver = shifted()
    assert answer(driver) == ["office@America/New_York"]
    assert on_duty(driver, 12) == ["ana", "cleo"], "half past seven in New York"
    assert on_duty(driver, 14) == ["ana", "ben", "cleo"]
    assert on_duty(driver, 17) == ["ben"], "half past six in Berlin"
    assert on_duty(driver, 22) == []


def test_until_the_hours_are_derived_and_where_it_says_so_the_calendars_clock_holds():
    driver = shifted()
    assert on_duty(driver, 12) == ["ana", "ben", "cleo"]
    driver = shifted(zone="calendar")
    assert answer(driver) == []
    assert on_duty(driver, 12) == ["ana", "ben", "cleo"]
    assert on_duty(driver, 17) == []


def test_they_are_derived_once_for_each_version_and_each_new_zone():
    driver = shifted()
    assert (answer(driver), answer(driver)) == (["office@America/New_York"], [])
    write(driver, 2, hours={"mon": [["06:00", "09:00"]]})
    assert answer(driver) == ["office@America/New_York"]
    assert on_duty(driver, 12) == ["ben"], "half past seven"
    driver.put("agent", "cleo", team="t", timezone="Asia/Tokyo")
    assert answer(driver) == ["office@Asia/Tokyo"]
    fresh = RouterFactory().create(WORKSPACE, 1)
    fresh.load(driver.core.dump())
    assert fresh.last_seq and shift_zones.wanted(fresh) == []
    fresh.begin(driver.now_us)
    assert duty.roster(fresh, "t") == duty.roster(driver.core, "t")


@pytest.mark.parametrize(
    "more",
    [
        {"timezone": YORK},
        {"hours": {}, "always_open": True},
        {"calendars": [OFFICE, {**OFFICE, "id": "o2", "timezone": "Asia/Tokyo"}]},
    ],
)
def test_what_has_no_other_hours_there_is_not_derived(more: dict[str, Any]):
    driver = shifted()
    if "calendars" in more:
        driver.config("calendar", "office", 2, {"id": "office", **more}, [[0, 10**17]])
    else:
        write(driver, 2, **more)
    driver.put("agent", "ana", team="t", channels={"chat": 1})
    assert answer(driver) == []


def test_no_shifts_want_nothing_and_no_reference_takes_them_for_calendars():
    driver = shifted()
    answer(driver)
    known = driver.put("queue", "q2", calendar="office")
    assert known["warnings"] == []
    driver.put("team", "t", supervisors=["ben"], shifts=[])
    write(driver, 3)
    assert answer(driver) == []


def test_a_level_wakes_when_his_shift_begins_where_he_is():
    driver = shifted()
    answer(driver)
    level = {"name": "lead", "when": {"waiting_s": 10}, "do": [{"offer_to": "supervisors"}]}
    driver.put("escalation", "ladder", levels=[level])
    rule = {"steps": [{"queue": "main"}], "escalation": "ladder", "require": [{"skill": "none"}]}
    driver.put("policy", "default", rules=[rule])
    come(driver, "ben")
    driver.say("c1")
    driver.wait(7_199)
    assert task_of(driver, "c1")["escalation"]["fired"] == [], "a second before nine"
    driver.wait(2)
    assert offered(driver, "ben") == ["c1"]


def test_every_version_of_a_calendar_moves_with_him():
    body = {**OFFICE, "versions": [{"from": "2027-01-01", "timezone": "Asia/Tokyo"}]}
    found = in_zone({**body, "windows": [[1, 2]]}, YORK)
    assert found == {**OFFICE, "timezone": YORK, "versions": [{"from": "2027-01-01"}]}


class Runtime:
    """One workspace whose core is asked and told."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    async def query(self, workspace: str, fn: Any) -> Any:
        return fn(self.driver.core)

    async def submit(self, workspace: str, what: Any) -> None:
        self.driver.now_us = max(self.driver.now_us, self.driver.core.now)
        self.driver.apply(what)


async def test_the_shell_derives_what_is_wanted():
    driver = shifted()
    runtime: Any = Runtime(driver)
    zones = ShiftZones(runtime, lambda: [WORKSPACE], lambda: driver.now_us)
    assert await zones.renew(WORKSPACE) == 1
    assert await zones.renew(WORKSPACE) == 0
    assert driver.core.resource("calendar", "office@America/New_York") is not None


def test_a_simulation_knows_its_staffs_clocks(tmp_path):
    workspace = {
        "queues": [{"id": "main"}],
        "calendars": [OFFICE],
        "teams": [{"id": "t", "shifts": [{"calendar": "office"}]}],
        "policies": [{"id": "default", "rules": [{"steps": [{"queue": "main"}]}]}],
    }
    staff = [{"group": "g", "count": 1,
              "agent": {"team": "t", "channels": {"phone": 1}, "timezone": YORK}}]  # fmt: skip
    contact = {"class": "c", "task": {"channel": "phone"}, "arrivals": {"every_s": 5},
               "service": {"fixed": 1}}  # fmt: skip
    scenario = read({"version": "omniroute/scenario/v1", "workspace": workspace, "horizon_s": 9,
                     "staff": staff, "contacts": [contact]}, tmp_path)  # fmt: skip
    found = {one.id: one for one in scenario.resources if one.kind == "calendar"}
    assert sorted(found) == ["office", "office@America/New_York"]
    assert json.loads(found["office@America/New_York"].body)["timezone"] == YORK
    assert found["office"].windows != found["office@America/New_York"].windows
