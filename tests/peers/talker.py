"""A client that says exactly what a test tells it to, over a real connection to whichever server.

Real clients have their own tests. Here the servers matter, so this one is thin: STARTTLS, PLAIN, bind, then stanzas.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time
from base64 import b64encode
from typing import Final, Self

from federix.testing.match import mismatch, parse
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamError
from federix.xmpp.events import Footer, Header
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Stanza

from .domains import CLIENT_PORT, PASSWORD, Domain

#: Seconds to wait for what is to come.
TIMEOUT: Final = 15.0
_LIMITS: Final = Limits(stanza_bytes=1 << 24, elements=100_000, depth=1000, attributes=1000)
_BLOCK: Final = 65536


class Talker:
    """The account of *domain*, logged in as *resource* and available when it is made."""

    def __init__(self, domain: Domain, resource: str = "test") -> None:
        self.name = domain.jid
        #: Its full JID.
        self.jid = f"{domain.jid}/{resource}"
        #: Every stanza that came and was not taken yet.
        self._inbox: list[Element] = []
        self._came = threading.Condition()
        self._ended = False
        self._ids = itertools.count(1)
        self._domain = domain.name
        self._socket: socket.socket = socket.create_connection((domain.address, CLIENT_PORT), timeout=TIMEOUT)
        try:
            self._log_in(domain.user, resource)
        except BaseException:
            self._socket.close()
            raise
        # From here on the reader takes what comes, whenever it does.
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.request("<iq type='get' id='*'><query xmlns='jabber:iq:roster'/></iq>")
        self.send("<presence/>")
        # RFC 6121 §4.2.2: a server sends a client's presence back to it.
        self.expect(f"<presence from='{self.jid}'/>")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def send(self, xml: str) -> None:
        """Send *xml* as it is."""
        self._socket.sendall(xml.encode())

    def say(self, to: str, body: str) -> None:
        """Send a chat message."""
        self.send(f"<message type='chat' to='{to}' id='m{next(self._ids)}'><body>{body}</body></message>")

    def request(self, xml: str, timeout: float = TIMEOUT) -> Element:
        """Send an iq whose id is written as ``*``, and return its answer, be it a result or an error."""
        identity = f"q{next(self._ids)}"
        self.send(xml.replace("id='*'", f"id='{identity}'", 1))
        return self.expect(f"<iq id='{identity}'/>", timeout)

    def expect(self, pattern: str, timeout: float = TIMEOUT) -> Element:
        """Wait for a stanza that has what *pattern* has (see `federix.testing.match`), and take it, before others."""
        wanted = parse(pattern)
        deadline = time.monotonic() + timeout
        with self._came:
            while True:
                for element in self._inbox:
                    if mismatch(wanted, element) is None:
                        self._inbox.remove(element)
                        return element
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    why = "its connection has ended" if self._ended else f"not within {timeout:g} s"
                    others = "\n  ".join(element.to_xml(ns.CLIENT) for element in self._inbox[-20:])
                    raise AssertionError(f"{self.name} expected\n  {pattern}\n({why}); what came:\n  {others}")
                self._came.wait(remaining)

    def has_heard(self, pattern: str) -> bool:
        """Whether such a stanza is there already; it stays."""
        wanted = parse(pattern)
        with self._came:
            return any(mismatch(wanted, element) is None for element in self._inbox)

    def bodies(self, sender: str) -> list[str]:
        """Take what *sender*, a bare JID, has said so far, in order; errors are not among it."""
        return [_body(e) for e in self._take(sender) if e.get("type") != "error"]

    def bounced(self, sender: str) -> list[str]:
        """Take the ids of messages that came back as errors from *sender*, a bare JID."""
        return [e.get("id") or "" for e in self._take(sender, errors=True)]

    def forget(self) -> None:
        """Take all that came."""
        with self._came:
            self._inbox.clear()

    def _take(self, sender: str, *, errors: bool = False) -> list[Element]:
        with self._came:
            taken = [
                element
                for element in self._inbox
                if element.name == "message"
                and (element.get("from") or "").partition("/")[0] == sender
                and (element.get("type") == "error") == errors
                and (errors or _body(element))
            ]
            for element in taken:
                self._inbox.remove(element)
        return taken

    # -- the login --------------------------------------------------------------------------------------------------

    def _log_in(self, user: str, resource: str) -> None:
        self._open()
        self._ask(f"<starttls xmlns='{ns.TLS}'/>", "proceed")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Whether clients may trust a server is not the question here, and some of these show certificates of their own.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket, server_hostname=self._domain)
        self._open()
        secret = b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        self._ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>", "success")
        self._open()
        self._ask(f"<iq type='set' id='bind'><bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind></iq>", "iq")

    def _open(self) -> None:
        self._parser = StreamParser(_LIMITS)
        self.send(
            f"<?xml version='1.0'?><stream:stream to='{self._domain}' version='1.0' xml:lang='en'"
            f" xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'>"
        )
        self._next("features")

    def _ask(self, xml: str, answer: str) -> None:
        self.send(xml)
        self._next(answer)

    def _next(self, name: str) -> None:
        while True:
            block = self._socket.recv(_BLOCK)
            assert block, f"{self._domain} hung up on {self.name}"
            for event in self._parser.feed(block):
                if isinstance(event, Header):
                    continue
                element = event.element if isinstance(event, Stanza) else event
                assert isinstance(element, Element) and element.name == name, f"not <{name}/>: {block!r}"
                return

    def _read(self) -> None:
        while True:
            try:
                block = self._socket.recv(_BLOCK)
            except OSError:
                block = b""
            events = self._parser.feed(block) if block else [Footer()]
            with self._came:
                for event in events:
                    if isinstance(event, Stanza):
                        self._inbox.append(event.element)
                    elif isinstance(event, Footer | StreamError):
                        self._ended = True
                self._came.notify_all()
            if not block:
                return


def _body(element: Element) -> str:
    return next((child.text for child in element.elements() if child.name == "body"), "")
