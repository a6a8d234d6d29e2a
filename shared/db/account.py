"""PostgreSQL refuses to run as root: under which account it runs then, and with what rights.

Run as a script it becomes that account and executes a command. Where the account could not reach
the data (a folder under /root), the command keeps one capability, to search and read folders,
rather than that those folders are opened to everyone.
"""

import ctypes
import os
import pwd
import stat
import sys
from pathlib import Path

import msgspec

_ACCOUNTS = ("omniroute", "postgres", "nobody")

# linux/capability.h, linux/prctl.h
_READ_SEARCH, _OVERRIDE = 2, 1
_CAPABILITY_VERSION_3 = 0x20080522
_SET_KEEPCAPS, _CAP_AMBIENT, _CAP_AMBIENT_RAISE = 8, 47, 2


class Account(msgspec.Struct, frozen=True):
    """Whom the server runs as."""

    uid: int
    gid: int


class NoAccount(Exception):
    """No account to run the server as; the text says what to do."""


def server_account(data: Path) -> Account | None:
    """None: ourselves. As root: who owns the data already, else the first account there is.

    Raises NoAccount.
    """
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise NoAccount(f"{data} belongs to user {owner.st_uid}: run Omniroute as that user")
        return None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise NoAccount("PostgreSQL does not run as root: create an account named 'omniroute'")


def command_as(account: Account | None, command: list[str], *paths: Path) -> list[str]:
    """The command line that runs `command` as `account`, able to reach `paths`."""
    if account is None:
        return command
    reach = all(_reachable(account, path) for path in paths)
    launcher = [sys.executable, "-I", str(Path(__file__).resolve())]
    return [*launcher, str(account.uid), str(account.gid), "0" if reach else "1", *command]


def _reachable(account: Account, path: Path) -> bool:
    """Whether every folder on the way may be searched by the account."""
    return all(_searchable(account, folder) for folder in path.resolve().parents)


def _searchable(account: Account, folder: Path) -> bool:
    about = folder.stat()
    if about.st_uid == account.uid:
        return bool(about.st_mode & stat.S_IXUSR)
    if about.st_gid == account.gid:
        return bool(about.st_mode & stat.S_IXGRP)
    return bool(about.st_mode & stat.S_IXOTH)


def _become(account: Account, keep_search: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if keep_search:
        _check(libc.prctl(_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if keep_search:
        _keep_one(libc)


def _keep_one(libc: ctypes.CDLL) -> None:
    """Keep the weaker of the two capabilities that open folders, also across exec."""
    for capability in (_READ_SEARCH, _OVERRIDE):
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        bit = 1 << capability
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        if libc.capset(header, sets) == 0:
            _check(libc.prctl(_CAP_AMBIENT, _CAP_AMBIENT_RAISE, capability, 0, 0))
            return
    raise PermissionError("the server's account cannot reach the data directory")


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    uid, gid, keep, *words = sys.argv[1:]
    _become(Account(int(uid), int(gid)), keep == "1")
    os.execv(words[0], words)
