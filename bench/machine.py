"""Machine instructions, counted by valgrind's callgrind (which must be installed). Those of one build of
Python are the same on every machine and under any load, within half a percent; no clock is.

A module that is to be counted calls `start` and `stop` around its work when it is run by `counted`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def start() -> None:
    """From here on instructions of this process count."""
    _control("-i", "on")


def stop(name: str) -> None:
    """What was counted since `start` is kept under `name`, which is no number (it would be a process)."""
    _control("-i", "off")
    _control("-d", name)


def counted(module: str, *arguments: str, keep: Path | None = None) -> dict[str, int]:
    """Run a module by itself; instructions by the names that it stopped with. `keep`: an empty folder
    for callgrind's files. Raises CalledProcessError where the module fails."""
    with tempfile.TemporaryDirectory() as made:
        folder = keep or Path(made)
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable, "-m", module, *arguments]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
        return dict(_read(path) for path in sorted(folder.glob("out.*")))


def _read(path: Path) -> tuple[str, int]:
    told = dict(line.split(": ", 1) for line in path.read_text().splitlines() if ": " in line)
    return told["desc"].rpartition(" dump ")[2], int(told["totals"])


def _control(*asked: str) -> None:
    command = ["callgrind_control", *asked, str(os.getpid())]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
