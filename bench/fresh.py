"""``python -m bench.fresh chat`` or ``federation`` or ``embedded``: a process that uses the library, and times it.

The process is fresh. It prints JSON: the seconds that the imports took, and those of each time that it was done, the
first of them first. So nothing of Federix is imported but within what is timed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

from .process import LOOPBACK, free_port

#: How often it is done again after the first time.
AGAIN: Final = 10


def chat() -> dict[str, Any]:
    """A World is made, two log in, each says something that the other receives, and the World is stopped."""
    begun = time.perf_counter()
    from federix.testing import World

    def once() -> None:
        world = World()
        _talk(world.client("romeo@example.org/orchard"), world.client("juliet@example.org/balcony"))
        world.stop()

    imports = time.perf_counter() - begun
    return {"imports": imports, "times": [_timed(once) for _ in range(1 + AGAIN)]}


def federation() -> dict[str, Any]:
    """The same with two servers, which connect by TLS, each with a certificate that the other trusts."""
    begun = time.perf_counter()
    from federix.testing import Federation

    def once() -> None:
        servers = Federation("a.test", "b.test")
        _talk(servers.client("romeo@a.test/orchard"), servers.client("juliet@b.test/balcony"))
        servers.stop()

    imports = time.perf_counter() - begun
    return {"imports": imports, "times": [_timed(once) for _ in range(1 + AGAIN)]}


def _talk(romeo: Any, juliet: Any) -> None:
    for one, other in ((romeo, juliet), (juliet, romeo)):
        one.send(f"<message to='{other.jid}' type='chat'><body>Hello</body></message>")
        other.expect(f"<message from='{one.jid}' type='chat'><body>Hello</body></message>")


def embedded() -> dict[str, Any]:
    """A server inside a program: from its configuration until its port is open."""
    begun = time.perf_counter()
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import react

    from federix import Server, load_config
    from federix.storage.memory import MemoryStorage

    imports = time.perf_counter() - begun
    times: list[float] = []

    async def main(reactor: Any) -> None:
        for _ in range(1 + AGAIN):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                listener = {"module": "ejabberd_c2s", "ip": LOOPBACK, "port": free_port()}
                modules: dict[str, object] = {"mod_roster": {}, "mod_disco": {}, "mod_ping": {}}
                begun = time.perf_counter()
                config = load_config({"hosts": ["localhost"], "listen": [listener], "modules": modules}, folder)
                server = Server(config, reactor, storage=MemoryStorage())
                await server.start()
                times.append(time.perf_counter() - begun)
                await server.stop()

    try:
        react(lambda reactor: ensureDeferred(main(reactor)))
    except SystemExit as error:
        if error.code:
            raise
    return {"imports": imports, "times": times}


def _timed(what: Callable[[], None]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(json.dumps({"chat": chat, "federation": federation, "embedded": embedded}[sys.argv[1]]()))
