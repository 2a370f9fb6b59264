"""How long a program waits for Federix: a chat between two in a test, an embedded server, ``twistd federix``.

There is nobody to compare this with, so these are times by the clock, each with what it may be at most. The least of
the repetitions counts, each of them in a fresh process, see `fresh.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from .names import HEADER
from .ours import ROOT, TWISTD
from .process import LOOPBACK, Process, ServerFailed, answers, free_port
from .results import Bound

#: Seconds that each may take at most.
CHAT: Final = 0.050
FEDERATION: Final = 0.100
EMBEDDED: Final = 0.300
COMMAND: Final = 2.0
OPTIONS: Final = ("--nodaemon", "--pidfile=", "federix")
#: How often all of it is done, unless somebody says otherwise.
REPEAT: Final = 3
#: Seconds a process may take for all of it.
PATIENCE: Final = 60.0


def run(repeat: int, folder: Path, tell: Callable[[str], None]) -> list[Bound]:
    """All of it, *repeat* times, in turns. A failure stands in what is returned."""
    found = [
        Bound("chat", "a chat between two in a World", "ms", limit=CHAT * 1e3),
        Bound("chat-first", "the first one, with Python's start and all imports", "ms"),
        Bound("federation", "a chat between two servers in a Federation", "ms", limit=FEDERATION * 1e3),
        Bound("embedded", "start of an embedded server, the first in its process", "ms", limit=EMBEDDED * 1e3),
        Bound("embedded-later", "the later ones", "ms"),
        Bound("twistd", "twistd federix until it answers, in an empty folder", "ms", limit=COMMAND * 1e3),
        Bound("twistd-again", "twistd federix until it answers, once more", "ms", limit=COMMAND * 1e3),
    ]
    environment = installed(folder / "bytecode")
    try:
        tell("library: compiling")
        once(folder, environment)
        for turn in range(repeat):
            tell(f"library ({turn + 1} of {repeat})")
            for bound, seconds in zip(found, once(folder, environment), strict=True):
                bound.samples.append(seconds * 1e3)
    except ServerFailed as error:
        for bound in found:
            bound.failure = str(error)
    return found


def installed(bytecode: Path) -> dict[str, str]:
    """What makes Python keep in *bytecode* what it has compiled, as it does where Federix is installed."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONPATH": str(ROOT)}


def once(folder: Path, environment: Mapping[str, str]) -> list[float]:
    chats, whole = in_a_process("chat", environment)
    first_chat = whole - sum(chats["times"][1:])
    federations, _ = in_a_process("federation", environment)
    servers, _ = in_a_process("embedded", environment)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        starts = [_start(Path(made), environment) for _ in range(2)]
    talks = [min(chats["times"][1:]), first_chat, min(federations["times"][1:])]
    return [*talks, servers["times"][0], min(servers["times"][1:]), *starts]


def in_a_process(what: str, environment: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """What it said, and the seconds it took from the command to the end."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "bench.fresh", what]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    took = time.perf_counter() - begun
    if done.returncode:
        raise ServerFailed(done.stderr[-3000:])
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told, took


def _start(folder: Path, environment: Mapping[str, str]) -> float:
    """Seconds from the command to the first answer, since ports are open before. What it makes stays in *folder*."""
    port = free_port()
    configuration = folder / "federix.yml"
    listener = f"{{module: ejabberd_c2s, ip: {LOOPBACK}, port: {port}}}"
    configuration.write_text(f"hosts: [localhost]\nlisten: [{listener}]\n")
    command: list[str | Path] = [TWISTD, *OPTIONS, "-c", configuration, "-d", folder / "data"]
    begun = time.perf_counter()
    process = Process("twistd", command, folder, environment)
    try:
        process.wait_for(lambda: answers(port, HEADER), every=0.005)
        return time.perf_counter() - begun
    finally:
        process.stop()
