"""Processes that a bench starts: servers that say when they are ready, and ends them by their id."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.testing.kafka import free_ports

READY_S = 60.0
STOP_S = 30.0
OMNIROUTE = (sys.executable, "-m", "services")


def printed(module: str, *arguments: str) -> str:
    """What a module prints that is run by itself, in a process of its own. Raises RuntimeError with
    what it complained of where it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


@contextlib.contextmanager
def folder() -> Generator[Path]:
    """A data directory for the length of the block. PostgreSQL may run under another account, so
    it lies where that can be reached."""
    made = Path(tempfile.mkdtemp(prefix="omniroute-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, piped: bool = False
) -> Generator[subprocess.Popen[str]]:
    """A process for the length of the block, ended by SIGTERM. Its errors are shown if it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        started = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield started
        except BaseException:
            errors.seek(0)
            print(errors.read()[-4000:], file=sys.stderr)
            raise
        finally:
            started.terminate()
            try:
                started.wait(STOP_S)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
            for stream in (started.stdin, started.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """CPU time that its process has taken, user and system: neighbours do not blur it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(
    command: Sequence[str], environment: Mapping[str, str], port: int, path: str
) -> Generator[Server]:
    """A server, once `path` answers 200."""
    with process(command, environment) as started:
        url = f"http://127.0.0.1:{port}"
        _wait_ready(started, url + path)
        yield Server(url, started.pid)


@contextlib.contextmanager
def omniroute(target: str, data: Path, kafka: str | None = None) -> Generator[Server]:
    """`omniroute up --target …` with its own PostgreSQL in `data` (fsync on)."""
    port = free_ports(1)[0]
    command = [*sampled(), "services", "up", "--target", target, "--port", str(port)]
    with serving(command, settings(data, kafka), port, "/health/ready") as server:
        yield server


@contextlib.contextmanager
def accepting(data: Path, kafka: str) -> Generator[Server]:
    """The channels service without the archive; see `bench.accepting`."""
    port = free_ports(1)[0]
    command = [*sampled(), "bench.accepting", str(port)]
    with serving(command, settings(data, kafka), port, "/health/ready") as server:
        yield server


@contextlib.contextmanager
def baseline(module: str, *arguments: str) -> Generator[Server]:
    """A bare server of bench/baselines."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", f"bench.baselines.{module}", str(port), *arguments]
    with serving(command, {}, port, "/ready") as server:
        yield server


def token(data: Path, kafka: str | None, workspace: str, role: str) -> str:
    """A key made beside the running system, as an operator makes one."""
    asked = [*OMNIROUTE, "token", "--workspace", workspace, "--role", role]
    environment = {**os.environ, **settings(data, kafka)}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def sampled() -> list[str]:
    """OMNIROUTE_BENCH_SAMPLES names a folder: each server's time is sampled into a file there."""
    out = os.environ.get("OMNIROUTE_BENCH_SAMPLES")
    run = [sys.executable, "-m"]
    return [*run, "bench.sampling", f"{out}/{next(_samples)}.txt"] if out else run


_samples = itertools.count(1)


def settings(data: Path, kafka: str | None) -> dict[str, str]:
    return {
        "OMNIROUTE_DATA_DIR": str(data),
        "OMNIROUTE_LOG_LEVEL": "warning",
        "DATABASE_URL": "",
        "KAFKA_BOOTSTRAP_SERVERS": kafka or "",
    }


def _wait_ready(started: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(url, timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        if started.poll() is not None:
            raise RuntimeError(f"{started.args} ended with {started.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} was not ready in {READY_S:g} s")
        time.sleep(0.1)
