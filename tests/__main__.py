"""The whole suite as `make test` runs it, faster than one test after the other as plain `pytest` does.

What starts servers mostly waits for them, one test after the other. Beside it runs what only computes,
spread over the cores by xdist, and then the simulation. Both take what the servers leave of the cores
(they are nice), so that tests of time-outs and take-overs do not feel it, and are shown at the end.
Arguments go to each pytest: `python -m tests -x`.
"""

import signal
import subprocess
import sys
import tempfile
import threading
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


def main(arguments: Sequence[str], root: Path = ROOT, nice: Sequence[str] = NICE) -> bool:
    """Whether all passed. All is run, whatever fails. `nice`: how what only computes is begun."""
    beside = (("computing", (*COMPUTING, *SPREAD)), ("simulation", SIMULATION))
    with (
        tempfile.TemporaryFile() as said,
        closing(Beside(beside, root, arguments, nice, said)) as computing,
        closing(Run("servers", root, (*SERVERS, *arguments))) as servers,
    ):
        computing.start()
        passed = servers.passes()
        passed &= computing.passes()
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


class Beside:
    """Runs one after the other while something else goes on; what they say goes to `said`."""

    def __init__(
        self,
        runs: Sequence[tuple[str, Sequence[str]]],
        root: Path,
        arguments: Sequence[str],
        nice: Sequence[str],
        said: IO[bytes],
    ) -> None:
        self._runs = runs
        self._root = root
        self._arguments = arguments
        self._nice = nice
        self._said = said
        self._passed = True
        self._closed = False
        self._lock = threading.Lock()
        self._running: Run | None = None
        self._thread = threading.Thread(target=self._all)

    def start(self) -> None:
        self._thread.start()

    def passes(self) -> bool:
        """Wait for the end of all."""
        self._thread.join()
        return self._passed

    def close(self) -> None:
        """Interrupt what runs; nothing else begins."""
        with self._lock:
            self._closed, running = True, self._running
        if running is not None:
            running.close()

    def _all(self) -> None:
        for name, tests in self._runs:
            with self._lock:
                if self._closed:
                    return
                arguments = (*tests, *self._arguments)
                self._running = Run(name, self._root, arguments, self._nice, self._said)
            self._passed &= self._running.passes()


def show(said: IO[bytes]) -> None:
    said.seek(0)
    sys.stdout.write(said.read().decode(errors="replace"))
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(not main(sys.argv[1:]))
