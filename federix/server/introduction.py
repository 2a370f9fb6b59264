"""What a server says when it has started: what runs where, and what to do next."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .server import Server
from .start import DATA

#: Accounts and passwords of ``--demo``.
DEMO_ACCOUNTS: Final = {"romeo": "wherefore", "juliet": "balcony"}

#: Names for the account that an operator may add next; the first that is free.
NEWCOMERS: Final = ("romeo", "juliet", "mercutio", "benvolio", "rosaline")


def introduction(server: Server, path: Path | None, newcomer: str = NEWCOMERS[0]) -> list[str]:
    """What runs where and how to add a user, in five lines; *newcomer* is the name of no account yet."""
    config = server.config
    ports = ", ".join(listener.name.removeprefix("ejabberd_c2s at ") for listener in config.listeners)
    ctl = federixctl()
    if path is not None:
        ctl += f" -c {path}"
    if config.directory != DATA.absolute():
        ctl += f" -d {config.directory}"
    host = config.hosts[0]
    return [
        f"Federix serves {', '.join(config.hosts)}; data is kept in {config.directory}",
        f"Clients connect to {ports or 'nothing: there is no listener'}",
        f"Add a user:   {ctl} register {newcomer} {host}   (asks for the password)",
        f"Look around:  {ctl} status (or connected_users, tree, help)",
        "Stop it:      Ctrl-C" if sys.stdin and sys.stdin.isatty() else f"Stop it:      {ctl} stop",
    ]


def federixctl() -> str:
    """How to call `federixctl`: with its folder where that is not on the PATH, as in a virtual environment."""
    if shutil.which("federixctl"):
        return "federixctl"
    for program in (sys.argv[0], sys.executable):
        beside = Path(program).absolute().parent / "federixctl"
        if os.access(beside, os.X_OK):
            here = Path.cwd()
            return str(beside.relative_to(here)) if beside.is_relative_to(here) else str(beside)
    return "federixctl"


def demonstration(server: Server, accounts: Mapping[str, str]) -> list[str]:
    """What to try with the demo *accounts*, those with the password that everybody knows."""
    host = server.default_host
    if not accounts:
        return ["Demo accounts: they are there, with passwords of your own"]
    told = ", ".join(f"{user}@{host} (password {password})" for user, password in accounts.items())
    return [
        f"Demo accounts: {told}",
        f"Try it:        profanity -a {next(iter(accounts))}@{host}, or any client;"
        " its certificate is self-signed, so trust it once",
    ]


async def free_name(server: Server) -> str:
    """The name of an account that is not there yet, for the introduction."""
    host = server.host(server.default_host)
    for name in NEWCOMERS:
        if host is not None and not await host.accounts.exists(name):
            return name
    return "USER"


async def demo_accounts(server: Server, wanted: Mapping[str, str]) -> dict[str, str]:
    """Make the accounts of a demonstration; those that have the password *wanted* says."""
    host = server.host(server.default_host)
    assert host is not None
    for user, password in wanted.items():
        if not await host.accounts.exists(user):
            await host.accounts.register(user, password)
    return {user: password for user, password in wanted.items() if await host.accounts.check_password(user, password)}
