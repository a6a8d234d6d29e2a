"""What a PostgreSQL server's `postmaster.pid` says, and whether that server lives."""

import os
import subprocess
from pathlib import Path

import msgspec


class Postmaster(msgspec.Struct, frozen=True):
    """A server as its data directory describes it. `host` is a folder (Unix socket) or an address.

    https://www.postgresql.org/docs/18/storage-file-layout.html
    """

    pid: int
    port: int
    host: str
    ready: bool


def read_postmaster(data: Path) -> Postmaster | None:
    """The server of `data`, None when there is none or it has not said enough yet."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 8 or not lines[3].strip().isdigit():
        return None
    host = lines[4].strip() or lines[5].strip()
    return Postmaster(int(lines[0]), int(lines[3]), host, lines[7].strip() == "ready")


def recorded_pid(data: Path) -> int | None:
    """The pid in `postmaster.pid`, which is its first line from the start."""
    try:
        first = (data / "postmaster.pid").read_text().partition("\n")[0].strip()
    except FileNotFoundError:
        return None
    return abs(int(first)) if first.lstrip("-").isdigit() else None


def is_postgres(pid: int) -> bool:
    """Whether the process lives and is a PostgreSQL server (pids are used again after a boot)."""
    if not is_alive(pid):
        return False
    try:
        name = Path(f"/proc/{pid}/comm").read_text()
    except FileNotFoundError:
        words = ["ps", "-o", "comm=", "-p", str(pid)]
        name = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return "postgres" in name


def is_alive(pid: int) -> bool:
    """Whether the process lives; one that ended and was not reaped by its parent does not."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the state follows the name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
