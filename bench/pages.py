"""Whether a page of an archive costs the same wherever it is: the first one, one in the middle, and the last.

One client reads pages of 50 messages, of all of a long archive and of the part with one contact; the pages take turns.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .ask import Ask
from .figures import figure
from .filled import Archive, FilledFederix, FilledOnPostgres
from .load import Specification
from .load_process import LoadProcess
from .names import DOMAIN, contact
from .process import ServerFailed
from .results import Bound
from .run import users_needed
from .scenarios import Size
from .usage import exact_cpu_seconds

#: The dearest page may cost so many times the cheapest.
LIMIT: Final = 1.5
#: Messages of a page.
PAGE: Final = 50
POSITIONS: Final = ("first", "middle", "last")
#: Seconds that the load may take for all its turns.
STAYS: Final = 900.0
#: Whose messages are asked for where it is one contact's.
WITH: Final = 7


@dataclass(frozen=True, slots=True)
class Scope:
    """How much of everything: *reading* says how many pages in each turn, and how many turns."""

    messages: int
    contacts: int
    reading: Size


FULL: Final = Scope(1_000_000, 100, Size(clients=1, count=50, repeat=6))
QUICK: Final = Scope(4_000, 10, Size(clients=1, count=5, repeat=1))

STORES: Final[Mapping[str, type[FilledFederix] | type[FilledOnPostgres]]] = {
    "SQLite": FilledFederix,
    "PostgreSQL": FilledOnPostgres,
}


@dataclass
class Measured:
    """One page's turns: the processor time of a page, and the median of their times by the clock, in seconds."""

    cpu: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)


def run(scope: Scope, folder: Path, pem: Path, tell: Callable[[str], None]) -> list[Bound]:
    """The pages of each store that there is here. A failure stands in what is returned."""
    found: list[Bound] = []
    for store, kind in STORES.items():
        if (problem := kind.missing()) is not None:
            tell(f"pages: {store} is left out: {problem}")
            continue
        tell(f"pages: writing {scope.messages} messages to {store}")
        server = kind(folder / "pages", pem, users_needed(scope.reading))
        server.archive = Archive.until_now(scope.messages, scope.contacts)
        try:
            server.start()
            for number, what in enumerate(("all", "one contact's")):
                tell(f"pages: {store}, {what}")
                asks = questions(server.archive, WITH if number else None)
                found += bounds(store, what, scope.messages, _measure(server, scope.reading, asks))
        except (ServerFailed, RuntimeError, OSError) as error:
            failure = f"{error}\n{server.said()[-1500:]}"
            found.append(Bound(f"pages-{store}", f"a page of an archive, {store}", "µs", failure=failure))
        finally:
            server.stop()
            shutil.rmtree(folder / "pages", ignore_errors=True)
    return found


def questions(archive: Archive, peer: int | None) -> dict[str, Ask]:
    """How each page is asked for, of all, or of those with the contact of the number *peer*."""
    step, at = (1, 0) if peer is None else (archive.contacts, peer)
    ids = [archive.told(number) for number in range(at, archive.messages, step)]
    middle = len(ids) // 2
    return {
        "first": _ask(peer, "", ids[:PAGE]),
        "middle": _ask(peer, f"<after>{ids[middle - 1]}</after>", ids[middle:][:PAGE]),
        "last": _ask(peer, "<before/>", ids[-PAGE:]),
    }


def _ask(peer: int | None, where: str, ids: list[str]) -> Ask:
    form = ""
    if peer is not None:
        form = (
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
            "<value>urn:xmpp:mam:2</value></field>"
            f"<field var='with'><value>{contact(peer)}@{DOMAIN}</value></field></x>"
        )
    page = f"<set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE}</max>{where}</set>"
    payload = f"<query xmlns='urn:xmpp:mam:2'>{form}{page}</query>"
    return Ask(payload, len(ids), [f">{ids[0]}</first>", f">{ids[-1]}</last>"])


def _measure(server: FilledFederix | FilledOnPostgres, size: Size, asks: Mapping[str, Ask]) -> dict[str, Measured]:
    measured = {position: Measured() for position in asks}
    load = LoadProcess(
        Specification(
            places=server.places,
            mechanism=server.mechanism,
            work="pages",
            tls=True,
            clients=size.clients,
            count=size.count,
            in_flight=1,
            seconds=STAYS,
            asks=tuple(asks.values()),
        )
    )
    try:
        load.expect_ready()
        for _ in range(size.repeat):
            for one in measured.values():  # in the order of *asks*, as the load does
                before = exact_cpu_seconds(*server.pids)
                told = load.go()
                one.cpu.append((exact_cpu_seconds(*server.pids) - before) / told["done"])
                one.clock.append(told["round_trips"]["median"])
    finally:
        load.end()
    return measured


def bounds(store: str, what: str, messages: int, measured: Mapping[str, Measured]) -> list[Bound]:
    """What was *measured* of each position."""
    number = f"{messages:,}".replace(",", " ")
    these = f"{what} of {number} messages, {store}"
    name = f"pages-{store}-{what}".lower().replace(" ", "-").replace("'", "")
    found = [
        Bound(
            f"{name}-{position}",
            f"CPU of the {position} page of {PAGE}, {these}",
            "µs",
            [seconds * 1e6 for seconds in one.cpu],
            details=dict(vars(one)),
        )
        for position, one in measured.items()
    ]
    cpu = [figure(one.cpu).cost for one in measured.values()]
    clock = [figure(one.clock).cost for one in measured.values()]
    return [
        *found,
        Bound(f"{name}-cpu", f"the dearest page, × the cheapest, {these}", "×", [max(cpu) / min(cpu)], LIMIT),
        Bound(f"{name}-time", f"the slowest page by the clock, {these}", "ms", [max(clock) * 1e3]),
        Bound(f"{name}-clock", f"the slowest page, × the quickest, {these}", "×", [max(clock) / min(clock)], LIMIT),
    ]
