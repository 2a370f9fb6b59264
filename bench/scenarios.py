"""What is done and what is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .results import Limit


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it: clients, how often each does it, and how often all of it is repeated."""

    clients: int
    count: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison. *measure*: the server's processor time per unit of work, or its memory per session."""

    name: str
    title: str
    work: str
    measure: Literal["cpu", "memory"]
    unit: str
    scale: float
    """From seconds or bytes to *unit*."""
    full: Size
    quick: Size
    tls: bool = True
    in_flight: int = 1
    seconds: float = 180.0
    """How long one repetition may take."""
    rest: float = 0.0
    """Seconds in which nothing happens before the memory is looked at once more."""
    fresh: str = ""
    """What it is called before that."""
    stage: Literal["one", "two", "peers", "archive", "postgres", "managed"] = "one"
    """One server; two of the same make that federate, measured together; one, and the load plays many others; one that
    archives in what it embeds; one that archives in a PostgreSQL of its own; or one that knows of managed streams."""
    limit: Limit | None = None


def _pairs(name: str, title: str, *, tls: bool, in_flight: int, limit: Limit | None = None) -> Scenario:
    return Scenario(
        name,
        title,
        "pairs",
        "cpu",
        "µs/message",
        1e6,
        Size(100, 400, 3),
        Size(20, 50, 1),
        tls=tls,
        in_flight=in_flight,
        limit=limit,
    )


def _managed(name: str, title: str, *, in_flight: int) -> Scenario:
    """Messages between two who manage their streams (XEP-0198)."""
    return Scenario(
        name,
        title,
        "managed",
        "cpu",
        "µs/message",
        1e6,
        Size(100, 400, 3),
        Size(20, 50, 1),
        in_flight=in_flight,
        stage="managed",
    )


def _between(name: str, title: str, *, in_flight: int) -> Scenario:
    """Messages between two servers."""
    return Scenario(
        name,
        title,
        "pairs",
        "cpu",
        "µs/message",
        1e6,
        Size(40, 500, 3),
        Size(8, 20, 1),
        in_flight=in_flight,
        stage="two",
        limit=Limit(0.5, PEERS),
    )


def _archived(name: str, title: str, *, in_flight: int, stage: Literal["archive", "postgres"], other: str) -> Scenario:
    """Messages that both sides archive."""
    return Scenario(
        name,
        title,
        "pairs",
        "cpu",
        "µs/message",
        1e6,
        Size(100, 100, 3),
        Size(20, 20, 1),
        in_flight=in_flight,
        stage=stage,
        limit=Limit(0.25, (other,)),
    )


def _streams(name: str, title: str, work: str, *, fresh: str = "", rest: float = 0.0) -> Scenario:
    """Idle streams between a server and many others. in_flight: those that come and go before."""
    return Scenario(
        name,
        title,
        work,
        "memory",
        "KiB/stream",
        1 / 1024,
        Size(1000, 1, 1),
        Size(50, 1, 1),
        in_flight=20,
        seconds=900.0,
        rest=rest,
        fresh=fresh,
        stage="peers",
        limit=_LEAN,
    )


#: Those that are servers, too.
PEERS: Final = ("ejabberd", "prosody")
#: What a connection on which nothing happens may take.
_LEAN: Final = Limit(1.0, ("prosody",))
_ARCHIVES: Final[tuple[tuple[str, str, Literal["archive", "postgres"], str], ...]] = (
    ("archive", "SQLite", "archive", "prosody"),
    ("archive-postgres", "PostgreSQL", "postgres", "ejabberd"),
)
_ALL: Final = (
    _pairs("pairs", "messages in pairs, TLS, 1 in flight", tls=True, in_flight=1, limit=Limit(1.6, ("relay",))),
    _pairs("pairs-5", "messages in pairs, TLS, 5 in flight", tls=True, in_flight=5, limit=Limit(0.4, PEERS)),
    _pairs("pairs-plain", "messages in pairs, TCP, 1 in flight", tls=False, in_flight=1),
    _pairs("pairs-plain-5", "messages in pairs, TCP, 5 in flight", tls=False, in_flight=5),
    _managed("sm-1", "messages in pairs with stream management, TLS, 1 in flight", in_flight=1),
    _managed("sm-5", "messages in pairs with stream management, TLS, 5 in flight", in_flight=5),
    # in_flight: sessions that come and go before.
    Scenario(
        "idle",
        "memory of an idle session, TLS",
        "idle",
        "memory",
        "KiB/session",
        1 / 1024,
        Size(2000, 1, 1),
        Size(200, 1, 1),
        in_flight=20,
        limit=_LEAN,
    ),
    Scenario(
        "idle-resting",
        "memory of a session idle for 130 s, TLS",
        "idle",
        "memory",
        "KiB/session",
        1 / 1024,
        Size(2000, 1, 1),
        Size(200, 1, 1),
        in_flight=20,
        seconds=900.0,  # they stay until all servers are full, and have rested
        rest=130.0,
        fresh="idle",
        limit=_LEAN,
    ),
    Scenario(
        "logins",
        "logins over TLS (RSA-2048), SCRAM-SHA-256",
        "logins",
        "cpu",
        "ms/login",
        1e3,
        Size(100, 400, 3),
        Size(20, 40, 1),
        limit=Limit(0.8, ("prosody",)),
    ),
    Scenario(
        "presence",
        "presence to a roster of 100, TLS",
        "presence",
        "cpu",
        "µs/delivery",
        1e6,
        Size(101, 250, 3),
        Size(101, 20, 1),
    ),
    Scenario("ping", "pings answered, TLS", "ping", "cpu", "µs/iq", 1e6, Size(100, 200, 3), Size(20, 50, 1)),
    Scenario("disco", "disco#info answered, TLS", "disco", "cpu", "µs/iq", 1e6, Size(100, 200, 3), Size(20, 50, 1)),
    *(
        _archived(
            f"{name}{number}",
            f"messages that both archive in {where}, TLS, {in_flight} in flight",
            in_flight=in_flight,
            stage=stage,
            other=other,
        )
        for name, where, stage, other in _ARCHIVES
        for number, in_flight in (("", 1), ("-5", 5))
    ),
    _between("s2s", "messages between two servers, TLS, 1 in flight", in_flight=1),
    _between("s2s-5", "messages between two servers, TLS, 5 in flight", in_flight=5),
    _streams("s2s-in", "memory of an idle stream from another server, TLS", "streams-in"),
    _streams(
        "s2s-in-resting",
        "memory of a stream from another server idle for 130 s, TLS",
        "streams-in",
        fresh="s2s-in",
        rest=130.0,
    ),
    _streams("s2s-out", "memory of an idle stream to another server, TLS", "streams-out"),
    _streams(
        "s2s-out-resting",
        "memory of a stream to another server idle for 130 s, TLS",
        "streams-out",
        fresh="s2s-out",
        rest=130.0,
    ),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}

#: What is measured of Federix alone, each in the file of that name.
ALONE: Final = ("library", "scale", "managing", "pages", "sleeping")

#: What those that rest have measured on their way.
_FRESH: Final = {scenario.fresh for scenario in _ALL if scenario.rest}
_USUAL: Final = tuple(name for name in SCENARIOS if name not in _FRESH)
#: Names that stand for several.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "all": (*_USUAL, *ALONE),
    "comparison": _USUAL,
    "iq": ("ping", "disco"),
    "sm": ("sm-1", "sm-5", "managing"),
    "federation": tuple(name for name in _USUAL if SCENARIOS[name].stage in ("two", "peers")),
}


def chosen(names: Sequence[str]) -> list[str]:
    """The scenarios that *names* stand for, each once; all where there are none. KeyError for an unknown one."""
    wanted = [member for name in names or ["all"] for member in GROUPS.get(name, (name,))]
    for name in wanted:
        if name not in SCENARIOS and name not in ALONE:
            raise KeyError(name)
    return list(dict.fromkeys(wanted))
