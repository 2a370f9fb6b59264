"""Who has an account before the run begins: residents, who stay for all of it, and visitors, who come and go."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from twisted.internet.defer import ensureDeferred

from bench.names import DOMAIN
from federix.life.executor import InlineExecutor
from federix.storage.accounts import Account, owner_of
from federix.storage.roster import RosterItem
from federix.storage.sqlite import SqliteStorage
from federix.xmpp.sasl import HASH_NAMES
from federix.xmpp.sasl.credentials import Credentials

PASSWORD: Final = "a password for a long time"
ITERATIONS: Final = 4096
#: One salt for all, so that the load derives its keys once.
SALT: Final = hashlib.sha256(b"soak").digest()[:16]
#: An account that nobody ever logs in to.
ABSENT: Final = "absent"
#: In the ring of residents each has those up to so many steps away as contacts, to both sides.
NEIGHBOURS: Final = 3
RESOURCE: Final = "home"


def resident(number: int) -> str:
    return f"r{number}"


def visitor(number: int) -> str:
    return f"v{number}"


def bare(name: str) -> str:
    return f"{name}@{DOMAIN}"


def full(name: str) -> str:
    return f"{name}@{DOMAIN}/{RESOURCE}"


def contacts(number: int, residents: int) -> list[str]:
    """Whom a resident has in the roster for good, with a subscription both ways."""
    steps = [step for step in range(-NEIGHBOURS, NEIGHBOURS + 1) if step]
    return sorted({resident((number + step) % residents) for step in steps} - {resident(number)})


def write(residents: int, visitors: int, database: Path) -> None:
    """Write the accounts into a new database."""
    credentials = Credentials.make(PASSWORD, HASH_NAMES, ITERATIONS, lambda _: SALT)
    secrets = {f"SCRAM-{name}": keys.encode() for name, keys in credentials.scram.items()}
    names = [*map(resident, range(residents)), *map(visitor, range(visitors)), ABSENT]

    async def written() -> None:
        storage = SqliteStorage(str(database), InlineExecutor())
        await storage.start()
        for name in names:
            await storage.accounts.create(Account(name, DOMAIN, secrets, 0.0))
        for number in range(residents):
            for contact in contacts(number, residents):
                item = RosterItem(owner_of(contact, DOMAIN), subscription="both")
                await storage.rosters.put(owner_of(resident(number), DOMAIN), item)
        await storage.stop()

    problems: list[object] = []
    ensureDeferred(written()).addErrback(problems.append)
    if problems:
        raise RuntimeError(f"could not write the accounts: {problems[0]}")
