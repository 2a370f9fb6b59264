"""A server under test, whichever it is."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from .names import DOMAIN, header
from .place import Peers, Place
from .process import LOOPBACK, Process, ServerFailed, answers, free_port

#: Bytes of the largest stanza that every server is told to take.
MAX_STANZA: Final = 256 * 1024


class Subject(Protocol):
    """What is measured: a server, or several that work together."""

    @property
    def name(self) -> str: ...

    @property
    def mechanism(self) -> str: ...

    @property
    def places(self) -> Sequence[Place]:
        """Where its clients go."""

    @property
    def peers(self) -> Peers | None:
        """The servers that the load plays for it."""

    @property
    def pids(self) -> Sequence[int]:
        """Its processes, which may have more of them. Raises `ServerFailed` where it does not run."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def said(self) -> str:
        """The end of its output."""


class BenchServer(ABC):
    """One server under test, in a folder of its own."""

    name: str
    mechanism = "SCRAM-SHA-256"
    address = LOOPBACK
    domain = DOMAIN
    peers: Peers | None = None

    def __init__(self, folder: Path, certificate: Path, users: int) -> None:
        self.folder = folder
        self.certificate = certificate
        self.users = users
        self.port = free_port()
        self._process: Process | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Why it cannot be run here; ``None`` where it can."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Name and version, for people."""

    @abstractmethod
    def _write(self) -> None:
        """Write accounts and configuration into the empty folder."""

    @abstractmethod
    def _run(self) -> Process:
        """Start it on what its folder holds."""

    def _ready(self) -> bool:
        return answers(self.port, header(self.domain), self.address)

    def start(self) -> None:
        """Start it with an empty history; returns when clients may come. Raises `ServerFailed`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._write()
        self.start_again()

    def start_again(self) -> None:
        """Start it with the history that it has; returns when clients may come. Raises `ServerFailed`."""
        self._process = self._run()
        try:
            self._process.wait_for(self._ready)
        except BaseException:
            self.stop()
            raise

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def places(self) -> Sequence[Place]:
        """Where its clients go."""
        return (Place(self.port, self.address, self.domain),)

    @property
    def pids(self) -> Sequence[int]:
        return (self.pid,)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.name} does not run")
        return self._process.pid

    def said(self) -> str:
        """The end of its output."""
        return self._process.said() if self._process is not None else ""

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def kill(self) -> None:
        """End it at once, without a chance to tidy up."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
