"""The data directory: made for the user the server runs as, and held by one server at a time."""

from __future__ import annotations

import fcntl
import os
import pwd
from contextlib import suppress
from pathlib import Path

from .ctl.place import LOCK


class DirectoryError(Exception):
    """The data directory cannot be used; the text says why and what to do."""


class AnotherServer(DirectoryError):
    """The data directory has a server already."""


def make_directory(directory: Path, uid: int | None = None, gid: int | None = None) -> None:
    """Make the data directory, which nobody else may read, where it is not there; raises `DirectoryError`.

    *uid* and *gid* are those the server will run as, where it is still root: what is made becomes theirs.
    """
    missing: list[Path] = []
    folder = directory
    try:
        while not folder.exists() and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            if uid is not None or gid is not None:
                os.chown(folder, -1 if uid is None else uid, -1 if gid is None else gid)
        if not directory.is_dir():
            raise NotADirectoryError(None, "there is something else of that name")
    except OSError as error:
        what = "made" if missing else "used"
        raise DirectoryError(
            f"the data directory {directory} cannot be {what} by {_user()}: {error.strerror}"
        ) from None


def lock(directory: Path) -> int:
    """Make *directory* this server's; the file descriptor holds it until `unlock`. Raises `DirectoryError`."""
    path = directory / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DirectoryError(
            f"the data directory {directory} cannot be written to by {_user()}, whom the server runs as:"
            f" {error.strerror}"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise AnotherServer(
            f"a server (process {owner or 'unknown'}) runs in {directory} already: stop it with"
            f" 'federixctl -d {directory} stop', or give this one a directory of its own (-d)"
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise DirectoryError(f"the data directory {directory} cannot be locked: {error.strerror}") from None
    if not _is_at(path, descriptor):
        os.close(descriptor)
        return lock(directory)  # who held it removed the file in the moment before we had it
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def unlock(directory: Path, descriptor: int) -> None:
    """Let the next server have *directory*; nothing of the lock stays there."""
    with suppress(OSError):  # it is not ours to write any more, or gone with all that was in it
        (directory / LOCK).unlink()
    os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"
