"""Who takes part: the same accounts, passwords, keys and rosters for every server, written before it starts."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from twisted.internet.defer import ensureDeferred

from federix.life.executor import InlineExecutor
from federix.storage.accounts import owner_of
from federix.storage.sql import accounts, roster
from federix.storage.sql.database import Transaction
from federix.storage.sqlite import SqliteStorage
from federix.xmpp.sasl import HASH_NAMES
from federix.xmpp.sasl.credentials import Credentials, ScramKeys

from .names import CONTACTS, DOMAIN, HUB, ITERATIONS, PASSWORD, contact, user

#: One salt for all: what a login costs the server does not depend on it, and the load derives its keys once.
SALT: Final = hashlib.sha256(b"bench").digest()[:16]


def everybody(users: int) -> list[str]:
    """All local parts: *users* of one kind, and the hub with its contacts."""
    return [*map(user, range(users)), HUB, *map(contact, range(CONTACTS))]


def rosters() -> dict[str, list[str]]:
    """Who has whom in the roster, with a subscription both ways: the hub all its contacts, each of them the hub."""
    contacts = [contact(n) for n in range(CONTACTS)]
    return {HUB: contacts, **{name: [HUB] for name in contacts}}


def _credentials() -> Credentials:
    return Credentials.make(PASSWORD, HASH_NAMES, ITERATIONS, lambda _: SALT)


def _keys() -> ScramKeys:
    return _credentials().scram["SHA-256"]


def for_federix(
    users: int, database: Path, more: Mapping[str, list[str]] = MappingProxyType({}), domain: str = DOMAIN
) -> None:
    """Write Federix's database; *more* are further rosters."""
    secrets = json.dumps({f"SCRAM-{name}": keys.encode() for name, keys in _credentials().scram.items()})

    async def fill(tx: Transaction) -> None:
        for name in everybody(users):
            await tx.change(accounts.CREATE, local=name, host=domain, credentials=secrets, created=0.0)
        for owner, names in {**rosters(), **more}.items():
            of = owner_of(owner, domain)
            for version, name in enumerate(names, 1):
                item = {"contact": owner_of(name, domain), "name": "", "subscription": "both", "groups": "[]"}
                await tx.change(roster.PUT, owner=of, version=version, ask=0, approved=0, **item)
            await tx.change(roster.VERSION_PUT, owner=of, version=len(names), oldest=0)

    async def write() -> None:
        storage = SqliteStorage(str(database), InlineExecutor())
        await storage.start()
        # In one transaction: each one for itself would wait for the disk.
        await storage.database.write("", fill)
        await storage.stop()

    problems: list[object] = []
    ensureDeferred(write()).addErrback(problems.append)
    if problems:
        raise RuntimeError(f"could not write Federix's accounts: {problems[0]}")


def for_prosody(users: int, data: Path, domain: str = DOMAIN) -> None:
    """Write Prosody's data folder."""
    keys = _keys()
    salt = "".join(f"\\{byte:03d}" for byte in keys.salt)
    account = (
        f'return {{ ["iteration_count"] = {keys.iterations}; ["salt"] = "{salt}";'
        f' ["stored_key"] = "{keys.stored_key.hex()}"; ["server_key"] = "{keys.server_key.hex()}"; }};\n'
    )
    home = data / _prosody_name(domain)
    folder = home / "accounts"
    folder.mkdir(parents=True)
    for name in everybody(users):
        (folder / f"{name}.dat").write_text(account)
    folder = home / "roster"
    folder.mkdir()
    for owner, names in rosters().items():
        items = "".join(f' ["{n}@{domain}"] = {{ ["subscription"] = "both"; ["groups"] = {{}}; }};' for n in names)
        (folder / f"{owner}.dat").write_text(f'return {{ [false] = {{ ["version"] = 1; }};{items} }};\n')


def _prosody_name(domain: str) -> str:
    """What Prosody calls the folder of a domain."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"%{ord(found[0]):02x}", domain)


def for_ejabberd(users: int, file: Path, domain: str = DOMAIN) -> None:
    """Write the records of ejabberd's Mnesia tables as Erlang terms, to be read when it has started."""
    keys = _keys()
    stored, server, salt = (b64encode(part).decode() for part in (keys.stored_key, keys.server_key, keys.salt))
    scram = f'{{scram,<<"{stored}">>,<<"{server}">>,<<"{salt}">>,sha256,{keys.iterations}}}'
    lines = [f'{{passwd,{{<<"{name}">>,<<"{domain}">>}},{scram}}}.\n' for name in everybody(users)]
    for owner, names in rosters().items():
        us = f'<<"{owner}">>,<<"{domain}">>'
        for name in names:
            jid = f'{{<<"{name}">>,<<"{domain}">>,<<>>}}'
            lines.append(f"{{roster,{{{us},{jid}}},{{{us}}},{jid},<<>>,both,none,[],<<>>,[]}}.\n")
    file.write_text("".join(lines))
