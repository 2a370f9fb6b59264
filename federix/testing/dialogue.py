"""Dialogues: readable scripts of who sends and who receives.

A dialogue is a text file; no Python is needed to write one::

    # Lines that begin with '#' are comments.

    Romeo is romeo@example.org/orchard
    Juliet is juliet@example.org/balcony with tls

    Configuration:
        modules:
          mod_ping: {}

    Romeo connects
    Juliet connects

    Romeo sends:
        <message to='juliet@example.org/balcony' type='chat'><body>Wherefore?</body></message>

    Juliet receives:
        <message from='romeo@example.org/orchard' id='-'><body>Wherefore?</body></message>

    60 seconds pass
    Romeo receives nothing

First come the people: everyone named has an account from the beginning. ``with tls`` has one use STARTTLS, ``with
password WORD`` gives another password, ``without an account`` has none made; several are joined by ``and``. An address
without a resource leaves it to the server to choose one. ``Irc is the component irc.example.org``, perhaps ``with
password WORD``, is a service with a domain of its own (XEP-0114): what it sends needs `from` and `to`.

Then, if it matters, the configuration: YAML as in a server's own file, over a small one that serves the domains of the
people. Then the steps, each at the beginning of a line, what belongs to it indented below:

``Romeo connects``
    He opens a stream, logs in and binds his resource.
``Romeo cannot connect`` or ``Romeo cannot connect: conflict``
    He tries and is refused, in an answer that holds the word, if one is given.
``Romeo sends:``
    One or more stanzas. What is no XML at all is sent by ``Romeo sends raw:``.
``Romeo receives:``
    The next stanzas he got, in this order. All that is written must be there, more may be. In place of a value or a
    text ``*`` means anything, ``-`` as a value that there is none. ``receives exactly:`` allows nothing else,
    ``receives in any order:`` leaves the order open.
``Romeo receives nothing``, ``Nobody receives anything``
    Nothing came that was not spoken of.
``Romeo ignores the rest``
    Whatever came is forgotten. Without this, what is left over at the end is a failure.
``60 seconds pass``
    Also minutes, hours, days. It takes no time.
``Romeo disconnects``
    He closes his stream.
``Romeo is disconnected``
    The server has closed his connection. What it said before that is to be received first.
``Romeo's cable is cut``
    Both ends lose the connection at once.
``Romeo's cable is pulled out``, ``Romeo's cable is plugged in``
    Nothing goes through, and nobody is told.

Values carry over: ``id='{query}'`` in what is received remembers that id under the name *query*, or, where something
is remembered already, asks for the same; in what is sent it stands for it. ``{Romeo}`` is his full address once he is
connected.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import StreamError
from ..xmpp.events import Header
from ..xmpp.jid import JID, InvalidJID, prepare_domain
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser
from ..xmpp.stanza import Stanza
from .client import Client
from .values import NAMED, Values, checked
from .world import PASSWORD, World

_NAME: Final = r"(?P<who>[^\W\d_][\w-]*)"
_PERSON: Final = re.compile(_NAME + r" is (?P<jid>\S+@\S+?)(?: (?P<options>with(?:out)? .*))?")
_COMPONENT: Final = re.compile(_NAME + r" is the component (?P<domain>\S+)(?: with password (?P<password>\S+))?")
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_LIMITS: Final = Limits(stanza_bytes=1 << 24, elements=100_000, depth=1000, attributes=1000)


class DialogueError(Exception):
    """A dialogue that cannot be read; the text says where and why."""


class DialogueFailed(AssertionError):
    """Something else happened than the dialogue says; the text says where and what."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who takes part: a user, or a component where the address is a domain."""

    name: str
    jid: JID
    tls: bool = False
    password: str = PASSWORD
    account: bool = True

    @property
    def is_component(self) -> bool:
        """Whether it is a service with a domain of its own (XEP-0114)."""
        return not self.jid.local


@dataclass(frozen=True, slots=True)
class Step:
    """One line at the left edge, and what is indented below it."""

    line: int
    text: str
    block: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue, read and not yet played."""

    name: str
    people: Mapping[str, Person]
    configuration: Mapping[str, Any]
    steps: tuple[Step, ...]

    @classmethod
    def read(cls, path: Path) -> Dialogue:
        """The dialogue in a file; `DialogueError` for what is none."""
        return cls.parse(path.read_text(encoding="utf-8"), str(path))

    @classmethod
    def parse(cls, text: str, name: str = "dialogue") -> Dialogue:
        """The dialogue in *text*; *name* is what errors call it. `DialogueError` for what is none."""
        people: dict[str, Person] = {}
        configuration: Mapping[str, Any] = {}
        steps: list[Step] = []
        for step in _steps(text, name):
            where = f"{name}:{step.line}"
            if match := _COMPONENT.fullmatch(step.text) or _PERSON.fullmatch(step.text):
                if match["who"] in people:
                    raise DialogueError(f"{where}: {match['who']} is somebody already")
                people[match["who"]] = _person(match, where) if "jid" in match.groupdict() else _component(match, where)
            elif step.text == "Configuration:":
                configuration = _configuration(step, where)
            else:
                _check(step, people, where)
                steps.append(step)
        if not steps:
            raise DialogueError(f"{name}: nothing happens in it")
        return cls(name, people, configuration, tuple(steps))

    def play(self, **options: Any) -> None:
        """Play it in a `World` of its own, made with *options*; raises `DialogueFailed`."""
        hosts = list(dict.fromkeys(person.jid.domain for person in self.people.values() if not person.is_component))
        components = {str(each.jid): each.password for each in self.people.values() if each.is_component}
        settings = {"hosts": hosts or ["example.org"], "components": components, **options}
        world = World(self.configuration, **settings)
        try:
            _Stage(self, world).play()
        finally:
            world.stop()


def _steps(text: str, name: str) -> list[Step]:
    """The lines at the left edge, each with the lines indented below it."""
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(text.expandtabs(4).splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if line[:1].strip():
            found.append((number, " ".join(line.split()), []))
        elif found:
            found[-1][2].append(line)
        elif line.strip():
            raise DialogueError(f"{name}:{number}: this is indented and belongs to nothing")
    return [Step(number, text, textwrap.dedent("\n".join(block)).strip()) for number, text, block in found]


def _person(match: re.Match[str], where: str) -> Person:
    try:
        jid = JID.parse(match["jid"])
    except InvalidJID as error:
        raise DialogueError(f"{where}: {match['jid']} is no address: {error}") from None
    options: dict[str, Any] = {}
    for option in re.split(r" and ", match["options"] or ""):
        word = option.removeprefix("with ")
        if word == "tls":
            options["tls"] = True
        elif word.startswith("password ") and len(word.split()) == 2:
            options["password"] = word.split()[1]
        elif word == "without an account":
            options["account"] = False
        elif word:
            raise DialogueError(
                f"{where}: what is {option!r}? One is 'with tls', 'with password …', 'without an account'"
            )
    return Person(match["who"], jid, **options)


def _component(match: re.Match[str], where: str) -> Person:
    try:
        jid = JID("", prepare_domain(match["domain"]))
    except InvalidJID as error:
        raise DialogueError(f"{where}: {match['domain']} is no domain: {error}") from None
    return Person(match["who"], jid, password=match["password"] or PASSWORD, account=False)


def _configuration(step: Step, where: str) -> Mapping[str, Any]:
    try:
        read = yaml.safe_load(step.block)
    except yaml.YAMLError as error:
        raise DialogueError(f"{where}: the configuration is no YAML: {error}") from None
    if not isinstance(read, dict):
        raise DialogueError(f"{where}: the configuration must be options and their values")
    return read


def _elements(xml: str) -> list[Element]:
    """The elements in *xml*, one after the other; ValueError where it is something else."""
    parser = StreamParser(_LIMITS)
    parser.feed(f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode())
    found: list[Element] = []
    for event in parser.feed(xml.encode()):
        if isinstance(event, StreamError):
            raise ValueError(event.text or event.condition)
        if isinstance(event, Stanza):
            found.append(event.element)
        elif isinstance(event, Element):
            found.append(event)
        elif not isinstance(event, Header):
            raise ValueError("the stream is closed in it")
    if not parser.between:
        raise ValueError("it is not complete")
    return found


def _check(step: Step, people: Mapping[str, Person], where: str) -> None:
    """Find what is wrong with a step before anything is played."""
    for pattern, _, wants in _GRAMMAR:
        match = pattern.fullmatch(step.text)
        if match is None:
            continue
        who = match.groupdict().get("who")
        if who is not None and who not in people:
            raise DialogueError(f"{where}: who is {who}? Say '{who} is …@…' first")
        if bool(step.block) != bool(wants):
            raise DialogueError(f"{where}: {'something must' if wants else 'nothing may'} be indented below this")
        if wants == "xml":
            try:
                found = _elements(NAMED.sub("x", step.block))
            except ValueError as error:
                raise DialogueError(f"{where}: what is below is not XML as it should be: {error}") from None
            if not found:
                raise DialogueError(f"{where}: there is no element below this")
        return
    raise DialogueError(f"{where}: what does {step.text!r} mean?")


@dataclass
class _Stage:
    """A dialogue as it is played."""

    dialogue: Dialogue
    world: World
    clients: dict[str, Client] = field(default_factory=dict)
    values: Values = field(default_factory=Values)

    def play(self) -> None:
        accounts = {p.jid.bare: p.password for p in reversed([*self.dialogue.people.values()]) if p.account}
        for jid, password in accounts.items():
            if self.world.server.host(jid.domain) is not None:
                self.world.register(str(jid), password)
        for step in self.dialogue.steps:
            self._play(step)
        for who, client in self.clients.items():
            if left := client.drain():
                raise DialogueFailed(
                    f"{self.dialogue.name}: at the end {who} has received, and nobody spoke of it,\n"
                    f"  {_shown(left[0])}\n(say '{who} ignores the rest' where that does not matter)"
                )

    def _play(self, step: Step) -> None:
        for pattern, action, _ in _GRAMMAR:
            if match := pattern.fullmatch(step.text):
                try:
                    action(self, step, **match.groupdict())
                except AssertionError as error:
                    raise DialogueFailed(f"{self.dialogue.name}:{step.line}: {step.text}\n{error}") from error
                return

    def client(self, who: str) -> Client:
        client = self.clients.get(who)
        if client is None:
            raise AssertionError(f"{who} is not connected")
        return client

    def connected(self, who: str) -> Client:
        client = self.client(who)
        if client.lost is not None:
            raise AssertionError(f"{who} is not connected any more")
        return client

    # -- steps ----------------------------------------------------------------------------------------------------

    def connects(self, _: Step, who: str) -> None:
        before = self.clients.get(who)
        if before is not None and before.lost is None:
            raise AssertionError(f"{who} is connected already")
        if before is not None:
            before.nothing()
        person = self.dialogue.people[who]
        if person.is_component:
            self.clients[who] = self.world.component(str(person.jid), person.password)
            self.values[who] = str(person.jid)
            return
        client = self.world.connect()
        client.open(person.jid.domain)
        if person.tls:
            client.start_tls(person.jid.domain)
            client.open(person.jid.domain)
        client.login(person.jid, person.password)
        self.clients[who] = client
        self.values[who] = str(client.jid)

    def cannot_connect(self, step: Step, who: str, why: str | None) -> None:
        try:
            self.connects(step, who)
        except AssertionError as error:
            if why is None or why in str(error):
                return
            raise
        raise AssertionError(f"{who} is connected")

    def sends(self, step: Step, who: str) -> None:
        self.connected(who).send(self.values.fill(step.block))

    def receives(self, step: Step, who: str, how: str | None) -> None:
        client = self.client(who)
        patterns = [checked(wanted) for wanted in _elements(self.values.fill(step.block, unknown=True))]
        if how == "in any order":
            self._receive_all(client, patterns, who)
            return
        for pattern in patterns:
            got = client.receive()
            problem = self.values.match(pattern, got, exact=how == "exactly")
            if problem is not None:
                raise AssertionError(f"{who} received\n  {_shown(got)}\nnot\n  {_shown(pattern)}\n({problem})")

    def _receive_all(self, client: Client, patterns: list[Element], who: str) -> None:
        rest = [client.receive() for _ in patterns]
        for pattern in patterns:
            fits = next((got for got in rest if self.values.match(pattern, got) is None), None)
            if fits is None:
                others = "\n  ".join(map(_shown, rest))
                raise AssertionError(f"{who} received no\n  {_shown(pattern)}\nbut\n  {others}")
            rest = [got for got in rest if got is not fits]

    def nothing(self, _: Step, who: str) -> None:
        self.client(who).nothing()

    def nobody(self, _: Step) -> None:
        for client in self.clients.values():
            client.nothing()

    def ignores(self, _: Step, who: str) -> None:
        self.client(who).drain()

    def passes(self, _: Step, amount: str, unit: str) -> None:
        self.world.advance(float(amount) * _SECONDS[unit])

    def disconnects(self, _: Step, who: str) -> None:
        self.connected(who).close()

    def is_disconnected(self, _: Step, who: str) -> None:
        client = self.client(who)
        client.nothing()
        if client.lost is None and not client.ended:
            raise AssertionError(f"{who} is still connected")

    def cable(self, _: Step, who: str, what: str) -> None:
        client = self.connected(who)
        if what == "cut":
            client.cut()
        else:
            client.wire.broken = what == "pulled out"
            self.world.pump()


def _shown(element: Element) -> str:
    return element.to_xml(ns.CLIENT)


#: What a step may say, what it does, and what is indented below it.
_GRAMMAR: Final[tuple[tuple[re.Pattern[str], Callable[..., None], str], ...]] = tuple(
    (re.compile(words.replace("NAME", _NAME)), action, below)
    for words, action, below in (
        (r"NAME connects", _Stage.connects, ""),
        (r"NAME cannot connect(?:: (?P<why>.+))?", _Stage.cannot_connect, ""),
        (r"NAME sends:", _Stage.sends, "xml"),
        (r"NAME sends raw:", _Stage.sends, "anything"),
        (r"NAME receives(?: (?P<how>exactly|in any order))?:", _Stage.receives, "xml"),
        (r"NAME receives nothing", _Stage.nothing, ""),
        (r"Nobody receives anything", _Stage.nobody, ""),
        (r"NAME ignores the rest", _Stage.ignores, ""),
        (r"(?P<amount>\d+(?:\.\d+)?) (?P<unit>second|minute|hour|day)s? pass(?:es)?", _Stage.passes, ""),
        (r"NAME disconnects", _Stage.disconnects, ""),
        (r"NAME is disconnected", _Stage.is_disconnected, ""),
        (r"NAME's cable is (?P<what>cut|pulled out|plugged in)", _Stage.cable, ""),
    )
)
