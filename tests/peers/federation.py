"""Federix and one peer, each with a domain for every case that is to be tried, in one DNS zone."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, Protocol

from .authority import Issuer
from .cable import Cable
from .domains import LOOPBACK_6, SERVER_PORT, Domain
from .ejabberd import Ejabberd
from .federix_server import FederatingServer, Options
from .prosody import Prosody
from .requirements import requires_root
from .server import free_ports
from .talker import Talker
from .zone import Zone

#: How the two servers of a case know each other.
#:
#: - ``certificates``: both have certificates of a known authority, and accept nothing else;
#: - ``direct``: the same, on a port that speaks TLS from the first byte;
#: - ``dialback``: both have certificates they signed themselves, and prove by dialback who they are;
#: - ``servers-only``: both have certificates that are good for servers, not for clients, as public authorities give
#:   them out, and may use dialback where the other takes no such certificate;
#: - the rest are certificates of the peer that a host which accepts nothing else must refuse:
#:   ``self-signed``, ``expired``, ``misnamed`` (good, but for another domain);
#: - ``ours-self-signed``: the peer accepts certificates alone, and we have none.
Kind = Literal[
    "certificates",
    "direct",
    "dialback",
    "servers-only",
    "self-signed",
    "expired",
    "misnamed",
    "ours-self-signed",
]
GOOD: Final[Sequence[Kind]] = ("certificates", "direct", "dialback")
REFUSED: Final[Sequence[Kind]] = ("self-signed", "expired", "misnamed", "ours-self-signed")
First = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True)
class Case:
    """One way for two servers to meet: how they know each other, over how many connections, and who speaks first."""

    kind: Kind
    first: First
    bidi: bool = False

    def __str__(self) -> str:
        return "-".join([self.kind, *(["bidi"] if self.bidi else []), self.first])


@dataclass(frozen=True, slots=True)
class Pair:
    """The domains of one case."""

    ours: Domain
    theirs: Domain


class Server(Protocol):
    """Any of the servers."""

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


class Maker(Protocol):
    """Makes a server for domains."""

    def __call__(self, folder: Path, zone: Zone, authority: Path, domains: Sequence[Domain]) -> Server: ...


#: By what they are called here: the second has stream management between servers (XEP-0198), the others have not.
PEERS: Final[Mapping[str, Maker]] = {
    "prosody": Prosody,
    "prosody-sm": partial(Prosody, stream_management=True),
    "ejabberd": Ejabberd,
}


@dataclass
class Federation:
    """Two servers that run, and the domains they have for each case."""

    zone: Zone
    pairs: Mapping[Case, Pair]
    ours: FederatingServer
    theirs: Server
    component: Domain
    """What a component of Federix may be."""
    cables: Sequence[Cable]
    """What lies between the two, where anything does: all their connections go through these."""
    issuer: Issuer
    """The authority that both trust."""
    folder: Path

    def logs(self) -> Iterator[tuple[str, str]]:
        """What each server wrote last, for whoever reads a failure."""
        for log in sorted(self.folder.glob("*/*.log")):
            yield log.name, "\n".join(log.read_text(errors="replace").splitlines()[-150:])


@contextmanager
def federation(
    folder: Path,
    peer: str,
    cases: Sequence[Case],
    options: Options | None = None,
    cabled: bool = False,
    ipv6: bool = False,
) -> Iterator[Federation]:
    """Start Federix, with *options* for the whole server, and *peer* with domains for *cases*, and end both.

    With *cabled* each is where the other can only reach it through a cable; with *ipv6*, by IPv6.
    """
    requires_root()
    issuer = Issuer(folder)
    with ExitStack() as stack:
        zone = stack.enter_context(Zone())
        ports = free_ports(2, LOOPBACK_6) if ipv6 else (None, None)
        pairs = {case: _pair(case, number, peer, zone, issuer, ports) for number, case in enumerate(cases)}
        own = [pair.ours for pair in pairs.values()]
        component = _component(own[0], issuer)
        component.publish(zone)
        folders = {name: folder / name for name in ("ours", "theirs")}
        for made in folders.values():
            made.mkdir()
        theirs = PEERS[peer](folders["theirs"], zone, issuer.certificate, [pair.theirs for pair in pairs.values()])
        ours = FederatingServer(folders["ours"], zone, issuer.certificate, own, components=[component], options=options)
        for server in (theirs, ours):
            stack.callback(server.stop)
            server.start()
        cables = []
        for pair in pairs.values() if cabled else ():
            for domain in (pair.ours, pair.theirs):
                end = zone.new_address()
                cables.append(stack.enter_context(Cable(end, SERVER_PORT, domain.address)))
                domain.publish(zone, end)
        yield Federation(zone, pairs, ours, theirs, component, cables, issuer, folder)


@dataclass(frozen=True, slots=True)
class Meeting:
    """Romeo, at home with us, and Juliet, of the peer: they have said hello, and each server has found the other."""

    case: Case
    pair: Pair
    romeo: Talker
    juliet: Talker


@contextmanager
def meeting(federation: Federation, case: Case) -> Iterator[Meeting]:
    """Let the two of a case greet each other; who is to speak first does."""
    pair = federation.pairs[case]
    with Talker(pair.ours) as romeo, Talker(pair.theirs) as juliet:
        first, second = (romeo, juliet) if case.first == "ours" else (juliet, romeo)
        for speaks, hears in ((first, second), (second, first)):
            speaks.say(hears.jid, "Good morrow")
            hears.expect(f"<message from='{speaks.jid}'><body>Good morrow</body></message>")
        yield Meeting(case, pair, romeo, juliet)


def _pair(case: Case, number: int, peer: str, zone: Zone, issuer: Issuer, ipv6_ports: Sequence[int | None]) -> Pair:
    # Who is to be refused would take anything, and who refuses takes certificates alone.
    takes_dialback = {
        "ours": case.kind in ("dialback", "servers-only", "ours-self-signed"),
        "theirs": case.kind in ("dialback", "servers-only", "self-signed", "expired", "misnamed"),
    }
    names = {"ours": f"{case}.federix.test", "theirs": f"{case}.{peer}.test"}
    made = {}
    for side, name in names.items():
        self_signed = case.kind == "dialback" or case.kind == (
            "self-signed" if side == "theirs" else "ours-self-signed"
        )
        bad = side == "theirs" and case.kind in ("expired", "misnamed")
        named = f"elsewhere{number}.test" if bad and case.kind == "misnamed" else name
        certificate = issuer.issue(
            *(named, f"conference.{named}"),
            self_signed=self_signed,
            # ejabberd takes a certificate of a server that connects for one of a client.
            is_client=case.kind != "servers-only" and peer == "ejabberd",
            lifetime=datetime.timedelta(days=-1 if bad and case.kind == "expired" else 90),
        )
        made[side] = Domain(
            name,
            zone.new_address(),
            certificate,
            dialback=takes_dialback[side],
            # Ours always offers it: that must not disturb a peer that has none.
            bidi=case.bidi or side == "ours",
            direct_tls=case.kind == "direct",
            peer=names["theirs" if side == "ours" else "ours"],
            user="romeo" if side == "ours" else "juliet",
            ipv6_port=ipv6_ports[0 if side == "ours" else 1],
        )
        made[side].publish(zone)
    return Pair(**made)


def _component(host: Domain, issuer: Issuer) -> Domain:
    name = "echo.federix.test"
    return Domain(name, host.address, issuer.issue(name, is_client=True))
