"""How the simulation's tests play seeds: in processes of their own, as many as there are cores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_seeds.py")


class Players:
    """Starts run_seeds.py, collects what it reports, and leaves no process behind."""

    def __init__(self):
        self.running = []

    def start(self, *arguments, **environment):
        command = [sys.executable, str(SCRIPT), "--json", *map(str, arguments)]
        player = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.running.append(player)
        return player

    def finish(self, player):
        """Its reports, one for each seed."""
        output, errors = player.communicate()
        self.running.remove(player)
        assert player.returncode in (0, 1) and "Traceback" not in errors, errors
        return [json.loads(line) for line in output.splitlines()]

    def stop(self):
        for player in self.running:
            player.kill()
            player.communicate()


@pytest.fixture
def players():
    players = Players()
    yield players
    players.stop()
