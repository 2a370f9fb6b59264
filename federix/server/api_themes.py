"""What the reference of `federix.api` is made of: the themes, their order, and the names that each explains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .documented import ROOT, Documented, find

API: Final = ROOT / "federix" / "api.py"


@dataclass(frozen=True, slots=True)
class Theme:
    """A page: what it is called, what it says first, and which names of `federix.api` it explains.

    *reached* are those that nobody imports from there, but that one has at hand all the same: file and name.
    """

    page: str
    title: str
    about: str
    names: tuple[str, ...] = ()
    reached: tuple[tuple[str, str], ...] = ()


THEMES: Final[tuple[Theme, ...]] = (
    Theme(
        "modules",
        "Modules and their options",
        "A module is a class: what it says of itself stands in its body, what it does in decorated methods.",
        (
            "Module",
            "on_demand",
            "Xep",
            "Rfc",
            "option",
            "AccessRule",
            "ShaperRule",
            "HostPattern",
            "Secret",
            "SOFTWARE_VERSION",
        ),
        (("core/options/option.py", "Options"), ("life/tree.py", "Node")),
    ),
    Theme(
        "hooks",
        "Hooks and what their handlers return",
        "A hook decorates the method that takes it. There are three shapes, with one rule each. A module may have hooks"
        " of its own, which others import from its file: it fires them with `run` and `gather`, on `self.host.chains`.",
        ("hooks", "Event", "Watch", "Filter", "Collect", "HANDLED", "Handled", "Outcome", "Slot"),
    ),
    Theme(
        "hosts",
        "Hosts and sessions",
        "`self.host` is the domain a module serves, and the way to everything else.",
        ("Host", "Session", "Candidate", "Key", "Notes", "StreamManagement", "STREAM_MANAGEMENT"),
        (
            ("core/sessions.py", "Sessions"),
            ("core/accounts.py", "Accounts"),
            ("core/session.py", "Attachment"),
            ("core/host.py", "Surroundings"),
            ("life/executor.py", "Executor"),
        ),
    ),
    Theme(
        "servers",
        "Other servers",
        "What the hooks about other servers are given, and the notes on a host that switch on what connections to them"
        " can do.",
        ("RemoteServer", "DomainPair", "Proof", "S2S_BIDI", "S2S_DIALBACK"),
    ),
    Theme(
        "stanzas",
        "Stanzas and elements",
        "An element is a small tree of XML. A stanza is one with addresses, and is never changed: what changes one"
        " returns another.",
        (
            *("Element", "Stanza", "Message", "Presence", "IQ"),
            *("iq", "message", "presence", "error_element", "SUBSCRIPTION_TYPES", "ns"),
        ),
    ),
    Theme(
        "addresses",
        "Addresses",
        "An address has been prepared once, when it was parsed; from then on equal addresses have equal texts.",
        ("JID", "InvalidJID"),
    ),
    Theme(
        "requests",
        "Requests and answers (iq)",
        "A decorated method answers requests: what it returns is the answer, what it raises the error. A module asks"
        " others with `await self.host.request(…)`.",
        ("iq_get", "iq_set", "check_iq", "RequestError", "IQ_TIMEOUT"),
    ),
    Theme(
        "storage",
        "What is kept",
        "A module declares a shape and uses the store it becomes; the back end is the operator's choice.",
        ("Document", "Table", "Log", "Codec", "TEXT", "BYTES", "JSON", "Json", "STANZA", "ELEMENT", "StoreError"),
        tuple(("storage/shapes.py", name) for name in ("DocumentStore", "TableStore", "LogStore", "Update", "Entry")),
    ),
    Theme(
        "rosters",
        "Rosters",
        "Who knows whom, for modules that keep or ask it: `self.storage.rosters`.",
        ("Rosters", "Roster", "RosterItem", "Contact", "Relations", "Transition"),
        (("storage/roster.py", "ItemUpdate"),),
    ),
    Theme(
        "archives",
        "Archives",
        "What accounts have sent and received, for modules that show or search it: `self.storage.archives`. The core"
        " keeps it, as `host.archive` decides.",
        ("Archives", "ArchiveRow", "Span", "ArchiveIds", "UnknownArchiveId", "fingerprint", "unclaimed"),
        (
            ("storage/archive.py", "Counted"),
            ("storage/archive.py", "RowSize"),
            ("storage/archive.py", "Oldest"),
            ("core/passage.py", "Archiver"),
        ),
    ),
    Theme(
        "scopes",
        "Time, tasks and turns",
        "What a module starts, it starts in `self.scope` or in a session's: it ends with its owner. Time is"
        " `self.host.now()` and `self.host.clock`, never the module `time`.",
        ("Scope", "Timer", "Turns", "Share", "TooManyWait", "together"),
    ),
    Theme(
        "codecs",
        "Forms, pages, capabilities and other parts of stanzas",
        "Extensions that others are made of, each a Python module of its own.",
        ("forms", "rsm", "caps", "delay", "hints", "forward", "carbons"),
    ),
    Theme(
        "errors",
        "Errors",
        "Raise the smallest thing that ends the right thing: a stanza, or a whole stream.",
        ("StanzaError", "Condition", "ErrorType", "StreamError", "StreamCondition"),
    ),
    Theme(
        "commands",
        "Commands for the operator",
        "A method that is a command can be asked for with `federixctl`.",
        ("command", "CommandError", "Progress"),
    ),
    Theme(
        "moving",
        "What moves with an account",
        "`Module.portables` says what of a module's data goes into files for other servers, and is taken from theirs"
        " (XEP-0227). How an operator uses it is told in [moving.md](../moving.md).",
        ("Portable", "Take", "Arrival", "Arrived", "NotTaken"),
    ),
    Theme(
        "testing",
        "Testing",
        "`federix.testing` is public as well: a server in virtual time, several of them on a network, and one in a"
        " process of its own. How they are used is told in [testing.md](../testing.md).",
        (),
        (
            *(("testing/world.py", "World"), ("testing/client.py", "Client"), ("testing/talker.py", "Talker")),
            *(("testing/wire.py", "Wire"), ("testing/federation.py", "Federation"), ("testing/peer.py", "Peer")),
            *(("testing/peer_stream.py", "PeerStream"), ("testing/network.py", "Network"), ("testing/dns.py", "Dns")),
            *(("testing/transcript.py", "Transcript"), ("testing/transcript.py", "Entry")),
            *(("testing/transcript.py", "Connection"), ("testing/machine.py", "Machine")),
            *(("testing/process.py", "ServerProcess"), ("testing/process.py", "ServerFailed")),
        ),
    ),
)


def explained(theme: Theme) -> list[Documented]:
    """All that a page explains, in its order."""
    names = [find(API, name) for name in theme.names]
    return names + [find(ROOT / "federix" / file, name) for file, name in theme.reached]


def undocumented() -> Iterator[str]:
    """What has no documentation: ``Session.since``. An attribute may be told of in its class, as *since*."""
    for theme in THEMES:
        for thing in explained(theme):
            yield from _undocumented(thing, thing.name)


def _undocumented(thing: Documented, path: str) -> Iterator[str]:
    if not thing.doc and thing.kind != "value":
        yield path
    for member in thing.members:
        if member.members:
            yield from _undocumented(member, f"{path}.{member.name}")
        elif not (member.doc or _told(thing, member)):
            yield f"{path}.{member.name}"


def _told(owner: Documented, member: Documented) -> bool:
    """Whether *member* needs no words of its own."""
    if (owner.kind == "module" and member.kind == "value") or (_is_choice(owner) and member.name.isupper()):
        return True
    return member.kind == "attribute" and re.search(rf"[*`]{member.name}[*`]", owner.doc) is not None


def _is_choice(thing: Documented) -> bool:
    return any(base.endswith("Enum") for base in thing.bases)
