"""What was said on a network: every element, when, by whom and to whom, also inside TLS.

``print(network.transcript)`` shows it::

    0.000  a.test -> b.test  #1  connects to port 5269
    0.000  a.test -> b.test  #1  <stream:stream xmlns='jabber:server' to='b.test' from='a.test' version='1.0'>
    0.000  b.test -> a.test  #1  <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>

It holds what was written; whether it arrived depends on the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..xmpp import ns
from ..xmpp.element import Element, escape_value
from ..xmpp.events import Footer, Header
from ..xmpp.stanza import Stanza
from .reading import Reader
from .wire import End, Wire

#: Entries of a transcript; then the oldest are forgotten.
ENTRIES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was said, or that happened: exactly one of *element*, *header* and *text* is there.

    *time* is in seconds on the network's clock; *sender* and *receiver* are the names of machines, and *connection* is
    between them; *encrypted*: whether it went through TLS. *text* is what happened
    to the connection, or ``</stream:stream>``, or what was sent and is no XML.
    """

    time: float
    connection: Connection
    sender: str
    receiver: str
    encrypted: bool
    element: Element | None = None
    header: Header | None = None
    text: str | None = None

    def __str__(self) -> str:
        lock = "*" if self.encrypted else " "
        return f"{self.time:10.3f}  {self.sender} -> {self.receiver}  #{self.connection.number}{lock} {self.shown()}"

    def shown(self) -> str:
        """It, as XML where it is some."""
        if self.element is not None:
            return self.element.to_xml(ns.CLIENT if self.element.ns == ns.CLIENT else self.connection.content)
        if self.header is not None:
            attrs = "".join(f" {name}='{escape_value(value)}'" for name, value in self.header.attrs.items())
            return f"<stream:stream xmlns='{self.header.content}'{attrs}>"
        return self.text or ""


class Connection:
    """A TCP connection between two servers; it watches its wire.

    *number* counts them, from 1; *client* and *server* are the names of the machines, *port* is the server's; *wire*
    is what can be cut or delayed; *opened* and *closed* are times, ``None`` where it is still open.
    """

    def __init__(
        self, number: int, client: str, server: str, port: int, clock: Callable[[], float], transcript: Transcript
    ) -> None:
        self.number = number
        self.client = client
        self.server = server
        self.port = port
        self.wire: Wire | None = None
        self.opened = clock()
        self.closed: float | None = None
        #: Whether TLS was begun on it.
        self.tls = False
        #: The default namespace of its streams.
        self.content = ns.SERVER
        self._clock = clock
        self._transcript = transcript
        self._heard = {True: Reader(), False: Reader()}

    def __repr__(self) -> str:
        return f"<Connection #{self.number} {self.client} to {self.server} port {self.port}>"

    @property
    def open(self) -> bool:
        """Whether both ends are connected."""
        return self.closed is None

    def is_between(self, a: str, b: str) -> bool:
        """Whether it is one between the machines of those names, whoever made it."""
        return {self.client, self.server} == {a, b}

    # -- the watcher of its wire --------------------------------------------------------------------------------------

    def written(self, end: End, data: bytes) -> None:
        """*data* was written at *end*, in plain text."""
        near = end is end.wire.near
        for event in self._heard[near].feed(data):
            if isinstance(event, Header):
                self.content = event.content
                self._note(near, end.encrypted, header=event)
            elif isinstance(event, Stanza):
                self._note(near, end.encrypted, element=event.element)
            elif isinstance(event, Element):
                self._note(near, end.encrypted, element=event)
            elif isinstance(event, Footer):
                self._note(near, end.encrypted, text="</stream:stream>")
            elif isinstance(event, str):
                self._note(near, end.encrypted, text=event)

    def encrypted(self, end: End) -> None:
        """From here on *end* speaks TLS."""
        near = end is end.wire.near
        self.tls = True
        self._heard[near] = Reader()
        self._note(near, True, text="begins TLS")

    def lost(self, end: End, why: Exception) -> None:
        """The connection is gone for *end*."""
        if self.closed is None:
            self.closed = self._clock()
            self._note(end is end.wire.near, end.encrypted, text=f"is disconnected ({type(why).__name__})")
            for direction in self._heard.values():
                direction.close()

    def note(self, text: str) -> None:
        """Something happened to it."""
        self._note(True, False, text=text)

    def _note(
        self,
        near: bool,
        encrypted: bool,
        *,
        element: Element | None = None,
        header: Header | None = None,
        text: str | None = None,
    ) -> None:
        sender, receiver = (self.client, self.server) if near else (self.server, self.client)
        self._transcript.add(Entry(self._clock(), self, sender, receiver, encrypted, element, header, text))


class Transcript:
    """What was said, in order: *entries*. A part of it is a transcript, too; it can be iterated, counted, printed."""

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        connections: Iterable[Connection] = (),
        names: Callable[[str], str] = str,
    ) -> None:
        """*names* answers the name of the machine that serves a domain."""
        self.entries: deque[Entry] = deque(entries, maxlen=ENTRIES)
        self._connections: deque[Connection] = deque(connections, maxlen=ENTRIES)
        self._names = names

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return "\n".join(map(str, self.entries))

    # -- parts --------------------------------------------------------------------------------------------------------

    def where(self, wanted: Callable[[Entry], bool]) -> Transcript:
        """Those entries alone that are *wanted*."""
        return Transcript(filter(wanted, self.entries), self._connections, self._names)

    def between(self, a: str, b: str) -> Transcript:
        """What *a* and *b* said to each other."""
        pair = {self._names(a), self._names(b)}
        return self.where(lambda entry: {entry.sender, entry.receiver} == pair)

    def sent_by(self, name: str) -> Transcript:
        """What *name* said."""
        return self.where(lambda entry: entry.sender == self._names(name))

    def on(self, connection: Connection) -> Transcript:
        """What was said on *connection*."""
        return self.where(lambda entry: entry.connection is connection)

    def since(self, time: float) -> Transcript:
        """What was said at *time*, on the network's clock, and after it."""
        return self.where(lambda entry: entry.time >= time)

    def in_clear(self) -> Transcript:
        """What was said without TLS."""
        return self.where(lambda entry: not entry.encrypted)

    # -- what is asked of it ------------------------------------------------------------------------------------------

    def elements(self, ns: str | None = None, name: str | None = None) -> list[Element]:
        """The elements that were sent, at the top level of a stream; of that namespace and that name, if given.

        Stanzas are in ``jabber:client``, as everywhere in the server, whatever their stream.
        """
        return [
            entry.element
            for entry in self.entries
            if entry.element is not None
            and (ns is None or entry.element.ns == ns)
            and (name is None or entry.element.name == name)
        ]

    def headers(self) -> list[Header]:
        """The stream headers that were sent."""
        return [entry.header for entry in self.entries if entry.header is not None]

    def connections(self, a: str | None = None, b: str | None = None) -> list[Connection]:
        """All TCP connections there were, the first one first; those between *a* and *b*, whoever made them."""
        if a is None or b is None:
            return list(self._connections)
        a, b = self._names(a), self._names(b)
        return [connection for connection in self._connections if connection.is_between(a, b)]

    def clear(self) -> None:
        """Forget what was said so far; connections stay."""
        self.entries.clear()

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        """Write it down."""
        self.entries.append(entry)

    def connection(self, client: str, server: str, port: int, clock: Callable[[], float]) -> Connection:
        """A connection that is open from now on."""
        number = self._connections[-1].number + 1 if self._connections else 1
        connection = Connection(number, client, server, port, clock, self)
        self._connections.append(connection)
        connection.note(f"connects to port {port}")
        return connection
