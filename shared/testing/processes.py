"""Omniroute as real processes on free local ports, for tests that start, kill and watch them."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx

from shared.db.embedded import EmbeddedPostgres
from shared.testing.kafka import free_ports

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 60.0
SERVICES = ("channels", "router", "sla")


class Process:
    """One `omniroute up --target …`. Blocking; ends only what it started."""

    def __init__(
        self, target: str, environment: Mapping[str, str], folder: Path, *options: str
    ) -> None:
        self.target = target
        self._options = options
        self.port = free_ports(1)[0]
        self._environment = {**environment, "OMNIROUTE_PORT": str(self.port)}
        self._folder = folder
        self._log = folder / f"{target}-{self.port}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """None when it does not run."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def launch(self, **more: str) -> None:
        """Start it without waiting, `more` added to its environment this time."""
        assert self.pid is None, f"{self.target} runs already"
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "services", "up", "--target", self.target, *self._options],
                cwd=ROOT,
                env={**self._environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once /health/ready says so. Raises RuntimeError, TimeoutError with its log."""
        deadline = time.monotonic() + timeout_s
        while not self._ready():
            if self.pid is None:
                raise RuntimeError(f"{self.target} ended at once:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.target} is not ready:\n{self.tail()}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{self.url}/health/ready", timeout=2, trust_env=False)
            return answer.status_code == 200
        return False

    def kill(self) -> None:
        """SIGKILL, as a power cut would. May be called when it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> int | None:
        """SIGTERM, by force where it does not obey; its exit status, None if it did not run."""
        return self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Any signal: SIGSTOP and SIGCONT freeze it and let it go on."""
        if self.pid is not None and self._child is not None:
            self._child.send_signal(number)

    def _end(self, number: signal.Signals) -> int | None:
        if self._child is None:
            return None
        if self._child.poll() is None:
            self._child.send_signal(number)
            try:
                self._child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        status = self._child.wait()
        self._child = None
        return status

    def output(self) -> str:
        """All that it has said, on both streams, over all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def tail(self, lines: int = 40) -> str:
        text = self.output()
        return "\n".join((f"--- {self.target}", *text.splitlines()[-lines:]))


class Installation:
    """Processes that make one Omniroute together, stopped at the end of its `with`.

    Without `database_url` a private PostgreSQL in `folder`, without `kafka` the log in PostgreSQL.
    `settings` are further variables, `options` further words after `up`.
    A failure within the `with` carries the ends of the logs as notes.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str] = ("all",),
        *,
        database_url: str | None = None,
        kafka: str | None = None,
        partitions: int = 3,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self._data = folder / "data"
        self._embedded = database_url is None
        given = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "OMNIROUTE_DATA_DIR": str(self._data),
            "OMNIROUTE_SECRET_KEY": secrets.token_urlsafe(32),
            "OMNIROUTE_PARTITIONS": str(partitions),
            **(settings or {}),
        }
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OMNIROUTE_", "DATABASE_URL", "KAFKA_"))
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        self._environment = {**inherited, **chosen}
        self.processes = [
            Process(target, self._environment, folder, *options) for target in targets
        ]

    def url(self, service: str) -> str:
        """Where a service answers."""
        found = next((one for one in self.processes if one.target == service), self.processes[0])
        return found.url

    @property
    def urls(self) -> dict[str, str]:
        return {service: self.url(service) for service in SERVICES}

    def start(self) -> None:
        """Start what does not run, and wait until all is ready."""
        for one in self.processes:
            if one.pid is None:
                one.launch()
        for one in self.processes:
            one.wait_ready()

    def kill(self) -> None:
        """Kill all processes at once; PostgreSQL and Kafka live on."""
        for one in self.processes:
            one.send(signal.SIGKILL)
        for one in self.processes:
            one.kill()

    def command(self, *arguments: str, **more: str) -> str:
        """What `omniroute …` prints, `more` added to its environment. Raises RuntimeError with both
        outputs when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "services", *arguments],
            cwd=ROOT,
            env={**self._environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"omniroute {arguments[0]} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            for one in self.processes:
                error.add_note(one.tail())
        self.close()

    def close(self) -> None:
        """End everything, a PostgreSQL that a killed process left behind included."""
        for one in reversed(self.processes):
            one.stop()
        if self._embedded and self._data.exists():
            with EmbeddedPostgres(self._data):
                pass
