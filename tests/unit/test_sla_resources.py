"""Bodies of calendars and policies: what is kept, and what is refused with which place."""

import pytest

from services.sla.resources import CalendarBody, SlaPolicyBody, read_calendar, read_policy
from shared.contracts.problems import Refused

POLICY = {
    "id": "everything-else",
    "calendar": "office",
    "targets": {
        "first_response": {
            "target_s": 3600,
            "warn_at": [0.75, 0.9],
            "by_priority": [{"min": 10, "target_s": 900}],
        },
        "resolution": {"target_s": 86400, "pause_when": 'task.state == "wrapping" || task.held'},
    },
    "on_change": "recompute",
    "named": [
        {
            "name": "first_call_back",
            "start_when": 'event.type == "customer_message" && task.channel == "phone"',
            "stop_when": 'event.type == "agent_message"',
            "target_s": 7200,
        }
    ],
}
OFFICE = {
    "id": "office",
    "timezone": "Europe/Berlin",
    "hours": {
        "mon": [["08:00", "12:30"], ["13:15", "18:00"]],
        "fri": [["22:00", "06:00"]],
    },
    "holidays": ["2026-12-25", {"yearly": "12-26"}],
    "country": "DE",
    "subdivision": "BE",
    "overrides": {"2026-12-31": [["09:00", "12:00"]]},
    "versions": [{"from": "2027-01-01", "hours": {"mon": [["09:00", "17:00"]]}}],
}


def fault(read, body, *args):
    with pytest.raises(Refused) as refusal:
        read(body, *args)
    first = refusal.value.errors[0]
    return first.pointer, first.code


def test_what_was_written_is_what_is_kept():
    assert read_policy(POLICY, "everything-else") == POLICY
    assert read_calendar(OFFICE, "office") == OFFICE
    assert CalendarBody.model_validate(OFFICE) and SlaPolicyBody.model_validate(POLICY)


def test_the_id_comes_from_the_address():
    body = {key: value for key, value in POLICY.items() if key != "id"}
    assert read_policy(body, "p")["id"] == "p"
    assert fault(read_policy, POLICY, "other") == ("/id", "id")
    assert fault(read_calendar, OFFICE, "other") == ("/id", "id")
    assert read_calendar({**OFFICE, "id": None}, "office") == read_calendar(OFFICE, "office")


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"wen": "true"}, "/wen", "unknown_field"),
        ({"when": "task.chanel == 'chat'"}, "/when", "cel_unknown_name"),
        ({"when": "task.channel =="}, "/when", "cel_syntax"),
        ({"on_change": "forget"}, "/on_change", "value"),
        ({"targets": {"response": {"target_s": 5}}}, "/targets/response", "value"),
        (
            {"targets": {"resolution": {"target_s": 0}}},
            "/targets/resolution/target_s",
            "greater_than",
        ),
        (
            {"targets": {"resolution": {"target_s": "5"}}},
            "/targets/resolution/target_s",
            "float_type",
        ),
        ({"targets": {"resolution": {}}}, "/targets/resolution", "value_error"),
        (
            {"targets": {"resolution": {"target_s": 5, "target_business_days": 1}}},
            "/targets/resolution",
            "value_error",
        ),
        (
            {"targets": {"resolution": {"target_s": 5, "warn": []}}},
            "/targets/resolution/warn",
            "unknown_field",
        ),
        (
            {"targets": {"resolution": {"target_s": 5, "warn_at": [1.5]}}},
            "/targets/resolution/warn_at/0",
            "less_than_equal",
        ),
        (
            {"targets": {"resolution": {"target_s": 5, "pause_when": "held"}}},
            "/targets/resolution/pause_when",
            "cel_unknown_name",
        ),
        ({"named": [{**POLICY["named"][0], "name": "resolution"}]}, "/named/0/name", "name"),
        ({"named": POLICY["named"] * 2}, "/named/1/name", "duplicate"),
        (
            {"named": [{"name": "x", "start_when": "true", "target_s": 5}]},
            "/named/0/stop_when",
            "missing",
        ),
        ({"lateness_s": -1}, "/lateness_s", "greater_than_equal"),
    ],
)
def test_policies_that_are_refused(change, pointer, code):
    found = fault(read_policy, {**POLICY, **change})
    assert found[0] == pointer
    assert found[1] == code or code == "cel_unknown_name" and found[1].startswith("cel_")


def test_a_calendar_is_refused_by_its_own_rules():
    assert fault(read_calendar, {**OFFICE, "hours": {}, "overrides": {}, "versions": []}) == (
        "/hours", "never_open",
    )  # fmt: skip
    assert fault(read_calendar, {**OFFICE, "timezon": "UTC"}) == ("/timezon", "unknown_field")
