"""What commands say when they cannot go on: to people, to machines, and as exit status."""

import json
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.doctor_machine import room, skew

USAGE = namedtuple("USAGE", ["total", "free"])
GIB = 1 << 30


def said(*line: str, **environment: str) -> tuple[int, dict[str, object], str]:
    ended = CliRunner().invoke(app, list(line), env=environment)
    return ended.exit_code, json.loads(ended.stdout), ended.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["replay", "--json"], "--workspace"),
        (["doctor", "--json", "--jsn"], "--jsn"),
        (["apply", "-f", "nowhere.yaml", "--json"], "nowhere.yaml"),
        (["simulate", "nowhere.yaml", "--json"], "nowhere.yaml"),
        (["replay", "--workspace", "w", "--until", "0", "--json"], "--until"),
    ],
)
def test_a_wrong_line_is_one_json_document_and_status_2(line: list[str], told: str) -> None:
    status, problem, for_people = said(*line)
    assert (status, problem["type"]) == (2, "/problems/usage")
    assert told in str(problem["detail"]) and "Error" in for_people


def test_wrong_settings_are_one_json_document_and_status_1() -> None:
    status, problem, for_people = said(
        "doctor", "--json", OMNIROUTE_PORT="x", OMNIROUTE_LEASE_S="0"
    )
    assert (status, problem["type"]) == (1, "/problems/settings")
    assert [fault["pointer"] for fault in problem["errors"]] == [  # type: ignore[attr-defined, index]
        "/OMNIROUTE_PORT", "/OMNIROUTE_LEASE_S",
    ]  # fmt: skip
    assert len(for_people.splitlines()) == 2


@pytest.mark.parametrize("command", [["apply", "--yes"], ["apply", "--check"]])
def test_a_file_that_is_refused_is_one_json_document(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text("version: omniroute/v1\nworkspace: w\nqueue: []\n")
    status, problem, for_people = said(*command, "-f", str(file), "--json")
    assert (status, problem["type"]) == (1, "/problems/validation")
    assert problem["errors"][0]["expected"] == "queues"  # type: ignore[index]
    assert "/queue" in for_people


def test_a_disk_is_told_before_it_is_full() -> None:
    assert room(Path("/d"), USAGE(100 * GIB, 9 * GIB)).ok, "nine GiB last"
    assert room(Path("/d"), USAGE(4 * GIB, 1 * GIB)).ok, "a quarter of a small one"
    nearly_full = room(Path("/d"), USAGE(100 * GIB, 1 * GIB))
    assert not nearly_full.ok and "1.0 of 100.0 GiB" in nearly_full.said


def test_a_clock_is_told_by_what_the_way_to_postgresql_does_not_explain() -> None:
    assert skew(100.0, 104.0, 105.0).ok
    ahead, behind = skew(100.0, 90.0, 100.5), skew(100.0, 110.0, 100.5)
    assert "10.0 s ahead" in ahead.said and not ahead.ok
    assert "9.5 s behind" in behind.said and not behind.ok
