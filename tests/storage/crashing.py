"""A process that writes as fast as it can, and says what was acknowledged, until somebody kills it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from federix.life.executor import ThreadExecutor
from federix.storage.codec import TEXT
from federix.storage.roster import RosterItem
from federix.storage.shapes import Document, Log
from federix.storage.sqlite import SqliteStorage
from federix.storage.storage import Storage

OWNERS = [f"user{number}@example.org" for number in range(8)]
LOG = Log("crash", TEXT)
TOTAL = Document("total", TEXT.through(write=str, read=int))
SECONDS_TO_LIVE = 30


def entry_text(count: int) -> str:
    return f"{count} " + "x" * (count * 37 % 900)


async def write(storage: Storage, number: int) -> None:
    owner, count = OWNERS[number], 0
    while True:
        await LOG.bind(storage).append(owner, entry_text(count))
        os.write(1, f"{number} {count}\n".encode())
        await TOTAL.bind(storage).update(owner, lambda total: (total or 0) + 1)
        await storage.rosters.put(owner, RosterItem(f"{count}@example.net"))
        count += 1


async def main(path: str, any_reactor: Any) -> None:
    executor = ThreadExecutor(any_reactor, threads=5, name="crash")
    executor.start()
    storage = SqliteStorage(path, executor)
    await storage.start()
    for number in range(len(OWNERS)):
        Deferred.fromCoroutine(write(storage, number)).addErrback(die)


def die(_: object) -> None:
    os._exit(1)


if __name__ == "__main__":
    signal.alarm(SECONDS_TO_LIVE)
    any_reactor: Any = reactor
    any_reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main(sys.argv[1], any_reactor)).addErrback(die))
    any_reactor.run()
