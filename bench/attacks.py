"""What people do to a server who want it to fail: one class each.

They only ever connect to the loopback address, with at most so many connections as they are told. `attacking.py` does
one, in a process of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from .hostile import STARTTLS, Hostile, client_hello, condition_in
from .names import DOMAIN, HEADER, user

#: The first of the accounts that are for attackers; those before it are for honest people.
FIRST: Final = 20
#: Seconds between two bytes of who sends slowly, and two looks of all.
SLOWLY: Final = 1.0
TICK: Final = 0.05
#: A character beyond the basic plane: one of them makes a string of CPython four times as large.
WIDE: Final = "\U0001f600"
#: What is sent to each of those who do not read, and in which pieces.
MEGABYTES: Final = 10 * 1024 * 1024
PIECE: Final = 10 * 1024
#: What tells a message that comes back.
BOUNCE: Final = b"type='error'"


class Attack:
    """Some hostile connections."""

    #: How many connections are asked for at full size, and for how many seconds they are held.
    count = 5000
    hold = 10.0

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.wanted = count
        self.connections: list[Hostile] = []
        self.outcome: Counter[str] = Counter()
        self.more: dict[str, object] = {}

    def arrive(self) -> None:
        """Do what anybody may do, before the attack."""

    def begin(self) -> None:
        for number in range(self.wanted):
            self.add(number)

    def connected(self) -> Hostile | None:
        """A new connection, if there can be one."""
        try:
            return Hostile(self.port)
        except OSError:
            self.outcome["not connected"] += 1
            return None

    def add(self, number: int) -> None:
        hostile = self.connected()
        if hostile is not None:
            self.attempt(hostile, number)

    def attempt(self, hostile: Hostile, number: int) -> None:
        try:
            self.approach(hostile, number)
        except OSError:
            self.outcome[hostile.verdict()] += 1
            hostile.close()
        else:
            self.connections.append(hostile)

    def approach(self, hostile: Hostile, number: int) -> None:
        """What each does at first."""

    def tick(self) -> None:
        """Called every now and then."""

    def end(self) -> None:
        """Look what has become of the connections, and drop them."""
        for hostile in self.connections:
            self.outcome[hostile.verdict()] += 1
        for hostile in self.connections:
            hostile.reset()


class Insiders(Attack):
    """They have logged in before it begins, each with an account of its own."""

    def arrive(self) -> None:
        for number in range(self.wanted):
            hostile = Hostile(self.port)
            hostile.log_in(user(FIRST + number), f"r{number}")
            self.connections.append(hostile)

    def begin(self) -> None:
        there, self.connections = self.connections, []
        for number, hostile in enumerate(there):
            self.attempt(hostile, number)


# -- who never authenticates ------------------------------------------------------------------------------------------


class Silent(Attack):
    """Connects, and that is all."""


class HeaderOnly(Attack):
    """Opens a stream."""

    def approach(self, hostile: Hostile, number: int) -> None:
        hostile.open()


class TlsOnly(Attack):
    """Goes through STARTTLS and says no more."""

    def approach(self, hostile: Hostile, number: int) -> None:
        hostile.open()
        hostile.start_tls()


class HeldBefore(Attack):
    """Goes through STARTTLS and holds the largest unfinished stanza that is taken before a login."""

    def approach(self, hostile: Hostile, number: int) -> None:
        hostile.open()
        hostile.start_tls()
        hostile.open()
        attributes = "".join(f" b{number}x{n}='{WIDE}'" for n in range(5))
        stanza = "<iq>" + "".join(f"<a{number}x{n}{attributes}/>" for n in range(5)) + f"<b>{WIDE}{'y' * 5000}"
        hostile.send(stanza.encode())


# -- slow senders -----------------------------------------------------------------------------------------------------


class Slow(Attack):
    """Says what it says one byte at a time."""

    count = 500
    hold = 15.0
    text = HEADER

    def begin(self) -> None:
        super().begin()
        self.said = 0
        self.next = time.monotonic()

    def tick(self) -> None:
        if time.monotonic() < self.next or self.said >= len(self.text):
            return
        self.next += SLOWLY
        byte = self.text[self.said : self.said + 1]
        self.said += 1
        for hostile in self.connections:
            try:
                hostile.try_send(byte)
            except OSError:
                pass  # its end is told at the end


class SlowHeader(Slow):
    """The stream header."""


class SlowHandshake(Slow):
    """The handshake of TLS."""

    def __init__(self, port: int, count: int) -> None:
        super().__init__(port, count)
        self.text = client_hello()

    def approach(self, hostile: Hostile, number: int) -> None:
        hostile.open()
        hostile.send(STARTTLS)
        hostile.until(b"<proceed")


class SlowLogin(Slow):
    """The first stanza of a login."""

    text = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"

    def approach(self, hostile: Hostile, number: int) -> None:
        hostile.open()
        hostile.start_tls()
        hostile.open()


class SlowStanza(Slow, Insiders):
    """A message, after the login."""

    count = 100
    text = b"<message to='nobody@localhost'><body>" + b"slow " * 100


# -- floods of connections --------------------------------------------------------------------------------------------


class Flood(Attack):
    """Connects and drops, as fast as it can."""

    #: Some seconds of it; in one a single message would decide what is told of a hundredth.
    count = 50_000
    hold = 0.0

    def add(self, number: int) -> None:
        hostile = self.connected()
        if hostile is None:
            return
        try:
            self.drop(hostile)
            self.outcome["dropped"] += 1
        except OSError:
            self.outcome["refused"] += 1
            hostile.close()

    def drop(self, hostile: Hostile) -> None:
        hostile.reset()


class FloodFin(Flood):
    """Drops with a FIN."""

    #: The attacker's system keeps each for a minute, and has no ports for many more.
    count = 20_000

    def drop(self, hostile: Hostile) -> None:
        hostile.close()


class FloodHandshake(Flood):
    """Drops in the middle of the TLS handshake."""

    count = Attack.count

    def __init__(self, port: int, count: int) -> None:
        super().__init__(port, count)
        self.hello = client_hello()

    def drop(self, hostile: Hostile) -> None:
        hostile.open()
        hostile.send(STARTTLS)
        hostile.until(b"<proceed")
        hostile.send(self.hello)
        hostile.reset()


# -- after the login: who holds much ----------------------------------------------------------------------------------


class Held(Insiders):
    """Holds an unfinished stanza as large as it may be."""

    count = 100

    def approach(self, hostile: Hostile, number: int) -> None:
        data = self.stanza(number)
        for at in range(0, len(data), PIECE):
            hostile.send(data[at : at + PIECE])

    def stanza(self, number: int) -> bytes:
        return b"<message><body>" + b"x" * (255 * 1024)


class HeldWide(Held):
    """Of wide text."""

    def stanza(self, number: int) -> bytes:
        return ("<message><body>" + (WIDE + "y" * 1000) * 255).encode()


class HeldDeep(Held):
    """Deep, and then wide."""

    def stanza(self, number: int) -> bytes:
        return ("<message>" + "<a>" * 60 + "".join(f"<é{number}x{n}/>{WIDE}" for n in range(1400))).encode()


class HeldAttributes(Held):
    """Of many attributes, no two of them alike."""

    def stanza(self, number: int) -> bytes:
        elements = ("<a" + "".join(f" é{number}x{n}x{m}='€'" for m in range(60)) + "/>" for n in range(40))
        return ("<message>" + "".join(elements)).encode()


class HeldNamespace(Held):
    """Of elements whose short names stand for long ones."""

    def stanza(self, number: int) -> bytes:
        elements = (f"<p:b{number}x{n}/>" for n in range(1100))
        return (f"<message xmlns:p='urn:{WIDE}{'p' * 470}'>" + "".join(elements)).encode()


class HeldNames(Held):
    """Has had many names remembered first, in stanzas that were whole."""

    def stanza(self, number: int) -> bytes:
        stanzas = (
            "<message to='nobody@localhost' type='error'><a"
            + "".join(f" a{number}x{n}x{m}=''" for m in range(60))
            + "/></message>"
            for n in range(250)
        )
        return ("".join(stanzas) + "<message><body>" + (WIDE + "y" * 1000) * 230).encode()


# -- after the login: who does not read -------------------------------------------------------------------------------


class Unread(Attack):
    """Never reads while others send it ten megabytes."""

    count = 30
    hold = 30.0
    SENDERS: Final = 5

    def arrive(self) -> None:
        self.readers: list[Hostile] = []
        for number in range(self.wanted):
            reader = Hostile(self.port, small_buffer=True)
            reader.log_in(user(FIRST + number), "deaf")
            reader.send(b"<presence/>")
            self.readers.append(reader)
        for number in range(self.SENDERS):
            sender = Hostile(self.port)
            sender.log_in(user(FIRST + number), "sender")
            self.connections.append(sender)

    def begin(self) -> None:
        self.left = [MEGABYTES // PIECE] * self.wanted
        self.turn = 0
        self.rest = [b""] * self.SENDERS
        self.sent = self.bounced = 0
        self.tail = [b""] * self.SENDERS
        self.head: dict[int, bytes] = {}

    def tick(self) -> None:
        for number, sender in enumerate(self.connections):
            for _ in range(100):
                if not self.rest[number]:
                    self.rest[number] = self._next()
                if not self.rest[number]:
                    break
                try:
                    taken = sender.try_send(self.rest[number])
                except OSError:
                    self.more["a sender was cut"] = True
                    break
                self.rest[number] = self.rest[number][taken:]
                if self.rest[number]:
                    break
            for _ in range(200):
                heard = sender.hear()
                if not heard:
                    break
                heard = self.tail[number] + heard
                self.bounced += heard.count(BOUNCE)
                self.tail[number] = heard[-len(BOUNCE) + 1 :]
        self.read()

    def read(self) -> None:
        """What the readers take."""

    def _next(self) -> bytes:
        for _ in range(self.wanted):
            self.turn = (self.turn + 1) % self.wanted
            if self.left[self.turn]:
                self.left[self.turn] -= 1
                self.sent += 1
                to = f"{user(FIRST + self.turn)}@{DOMAIN}/deaf"
                return f"<message to='{to}' type='chat'><body>MARK{'x' * PIECE}</body></message>".encode()
        return b""

    def end(self) -> None:
        delivered = 0
        for number, reader in enumerate(self.readers):
            heard = self.head.get(number, b"")
            while True:
                reader.sock.settimeout(1.0)
                try:
                    piece = reader.sock.recv(1 << 16)
                except OSError:
                    break
                if not piece:
                    break
                heard += piece
            delivered += heard.count(b"</body></message>")
            self.outcome[condition_in(heard[-1000:]) or "cut"] += 1
        self.more |= {"messages": self.sent, "bounced": self.bounced, "read in the end": delivered}
        for hostile in (*self.readers, *self.connections):
            hostile.reset()


class ReadSlowly(Unread):
    """Reads one byte a second."""

    def begin(self) -> None:
        super().begin()
        self.next = time.monotonic()

    def read(self) -> None:
        if time.monotonic() < self.next:
            return
        self.next += SLOWLY
        for number, reader in enumerate(self.readers):
            self.head[number] = self.head.get(number, b"") + (reader.hear(1) or b"")


class Unheard(Insiders):
    """Asks and asks, and never reads an answer."""

    count = 30
    hold = 30.0
    question = b"<iq type='get' id='1' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>" * 20

    def begin(self) -> None:
        super().begin()
        self.rest = [b""] * len(self.connections)

    def tick(self) -> None:
        for number, hostile in enumerate(self.connections):
            try:
                for _ in range(20):
                    rest = self.rest[number] or self.question
                    self.rest[number] = rest[hostile.try_send(rest) :]
                    if self.rest[number]:
                        break
            except OSError:
                pass  # its end is told at the end


class Subscriptions(Unheard):
    """Asks everybody for everything, from all accounts, and goes away in the middle of it."""

    count = 140
    hold = 8.0

    def begin(self) -> None:
        super().begin()
        self.asked = 0
        kinds = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
        self.question = "".join(
            f"<presence type='{kinds[(n + m) % 4]}' to='{user(FIRST + n % self.wanted)}@{DOMAIN}'/>"
            for n in range(self.wanted)
            for m in range(2)
        ).encode()

    def tick(self) -> None:
        super().tick()
        for hostile in self.connections:
            hostile.hear()

    def end(self) -> None:
        for hostile in self.connections:
            self.outcome[hostile.verdict()] += 1
            try:
                hostile.sock.shutdown(1)  # what was sent is still there to be read, and then the end
            except OSError:
                pass
        self.more["kept open"] = True


ATTACKS: Final[Mapping[str, type[Attack]]] = {
    "silent": Silent,
    "header only": HeaderOnly,
    "TLS only": TlsOnly,
    "held before login": HeldBefore,
    "slow header": SlowHeader,
    "slow handshake": SlowHandshake,
    "slow login": SlowLogin,
    "slow stanza": SlowStanza,
    "connect, RST": Flood,
    "connect, FIN": FloodFin,
    "half a handshake": FloodHandshake,
    "held text": Held,
    "held wide text": HeldWide,
    "held deep": HeldDeep,
    "held attributes": HeldAttributes,
    "held namespace": HeldNamespace,
    "held names": HeldNames,
    "never reads": Unread,
    "reads a byte a second": ReadSlowly,
    "answers unread": Unheard,
    "subscriptions": Subscriptions,
}


#: For who is in the same process.
Make = Callable[[int, int], Attack]
