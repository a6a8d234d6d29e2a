"""How the simulation's tests play seeds: in processes of their own, as many as there are cores."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_seeds.py")


class Players:
    """Starts run_seeds.py, collects what it reports, and leaves no process behind. Reports go to
    files: a full pipe would stop a player until those before it have been read."""

    def __init__(self):
        self.running = {}

    def start(self, *arguments, **environment):
        command = [sys.executable, str(SCRIPT), "--json", *map(str, arguments)]
        files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        player = subprocess.Popen(
            command, stdout=files[0], stderr=files[1], env={**os.environ, **environment}
        )
        self.running[player] = files
        return player

    def finish(self, player):
        """Its reports, one for each seed."""
        player.wait()
        output, errors = map(_whole, self.running.pop(player))
        assert player.returncode in (0, 1) and "Traceback" not in errors, errors
        return [json.loads(line) for line in output.splitlines()]

    def stop(self):
        for player, files in self.running.items():
            player.kill()
            player.wait()
            for file in files:
                file.close()


def _whole(file):
    with file:
        file.seek(0)
        return file.read()


@pytest.fixture
def players():
    players = Players()
    yield players
    players.stop()
