"""`omniroute up --demo` as a person meets it: what it prints, that it lives, that it ends and begins
again cleanly."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.testing.processes import Installation, Process

PATIENCE_S = 60.0


def said(process: Process, pattern: str, after: int = 0) -> re.Match[str]:
    """The first line that matches, of what it printed after so many characters."""

    def look() -> re.Match[str] | None:
        return re.search(pattern, process.output()[after:], re.MULTILINE)

    return until(look, f"a line like {pattern}")


def until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def get(url: str, token: str, path: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    base = f"{url}/v1/workspaces/demo"
    answer = httpx.get(base + path, headers=headers, timeout=10, trust_env=False)
    return answer.json() if answer.status_code == 200 else None


def lives(url: str, token: str, sign: str) -> None:
    """Return once there are more events of this type than now."""

    def count() -> int:
        path = f"/events?types=routing.{sign}.v1&limit=1000"
        return len(get(url, token, path)["events"])

    before = count()
    until(lambda: count() > before, f"another {sign}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_lives_ends_and_begins_again(tmp_path: Path) -> None:
    with Installation(tmp_path, options=["--demo"]) as installation:
        process = installation.processes[0]
        first = said(process, r"^Token: (\S+)$")[1]
        assert said(process, r"^Open: (\S+)$")[1] == f"{process.url}/docs"
        assert said(process, r"^Workspace: demo$")
        assert httpx.get(f"{process.url}/docs", trust_env=False).status_code == 200
        lives(process.url, first, "task.completed")
        said(process, r"^waiting \d+ · assigned \d+ · served \d+ ")
        for path in re.findall(r"^  http\S+/workspaces/demo(/\S+)", process.output(), re.MULTILINE):
            assert get(process.url, first, path) is not None, path
        letters = get(process.url, first, "/dead-letters")
        assert letters["dead_letters"] == []

        process.send(signal.SIGINT)
        assert process.stop() == 0
        assert "Traceback" not in process.output()
        before = len(process.output())

        installation.start()
        second = said(process, r"^Token: (\S+)$", before)[1]
        assert second != first
        assert get(process.url, first, "/queues") is None
        lives(process.url, second, "task.assigned")
