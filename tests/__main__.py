"""The whole suite as `make test` runs it, faster than one test after the other as plain `pytest` does.

First what only computes, spread over the cores by xdist. Then, side by side, what starts servers and waits
for them, and the simulation, which computes and takes what the servers leave of the cores (it is nice):
so tests of time-outs and take-overs do not feel it. Arguments go to each pytest: `python -m tests -x`.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
COMPUTING = ("tests/unit", "tests/mail")
SIMULATED = "tests/simulation"
# Not xdist's "auto": where psutil is, that counts two threads of a core as one.
SPREAD = ("-n", "logical", "--maxprocesses", "8", "--dist", "worksteal")
# The other pytest writes the cache of what failed last.
SIMULATION = (SIMULATED, "-p", "no:cacheprovider")
# Whatever else lies under tests/.
SERVERS = tuple(f"--ignore={folder}" for folder in (*COMPUTING, SIMULATED))
NICE = ("nice", "-n", "15")


def main(arguments: Sequence[str], root: Path = ROOT) -> bool:
    """Whether all passed. All is run, whatever fails."""
    with closing(Run("computing", root, (*COMPUTING, *SPREAD, *arguments))) as computing:
        passed = computing.passes()
    with tempfile.TemporaryFile() as said:
        simulation = Run("simulation", root, (*SIMULATION, *arguments), NICE, said)
        with closing(simulation), closing(Run("servers", root, (*SERVERS, *arguments))) as servers:
            passed &= servers.passes()
            passed &= simulation.passes()
        show(said)
    return passed


class Run:
    """One pytest, begun. What it says goes to `said` where given."""

    def __init__(
        self,
        name: str,
        root: Path,
        arguments: Sequence[str],
        before: Sequence[str] = (),
        said: IO[bytes] | None = None,
    ) -> None:
        self._name = name
        self._began = time.monotonic()
        # A group of its own: an interrupt from the keyboard reaches it once, through `close`. No
        # session of its own: being nice counts within a session.
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "pytest", *arguments],
            cwd=root,
            stdout=said,
            stderr=said,
            process_group=0,
        )

    def passes(self) -> bool:
        """Wait for its end."""
        status = self._process.wait()
        took_s = time.monotonic() - self._began
        print(f"== {self._name}: {took_s:.0f} s, exit status {status}", flush=True)
        return status == 0

    def close(self) -> None:
        """Interrupt it where it has not ended: pytest then stops what its tests have started."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()


def show(said: IO[bytes]) -> None:
    said.seek(0)
    sys.stdout.write(said.read().decode(errors="replace"))
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(not main(sys.argv[1:]))
