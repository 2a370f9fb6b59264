"""What another server may send: one that has proved nothing, and one that has, whoever opened the stream.

The first byte says which it is; then come elements, as for a client, changed element by element. b.test is a scripted
server with a certificate of its own, c.test one that exists and is asked about keys; what they are asked is answered
as an honest server would, or not at all.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final, cast

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import FailTest

from federix.links.s2s.pair import Domains
from federix.testing import Federation, Peer, PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns
from federix.xmpp.jid import JID

from ..mutation import elements_changed
from ..stage import MODULES, with_waits

#: Inputs until the server is a new one.
LIFE: Final = 200
#: Bytes one peer may make it keep.
MOST: Final = 2 * 1024 * 1024
#: For whom b.test may speak, and to whom.
PROVED: Final = frozenset((Domains("a.test", "b.test"), Domains("a.test", "rooms.b.test")))


def changed(data: bytes, random: Random, most: int) -> bytes:
    """The first byte chooses the kind of stream; the rest are elements."""
    kind = data[:1] if random.random() < 0.8 else bytes([random.randrange(256)])
    return kind + elements_changed(data[1:], random, most - 1)


class Stage:
    """a.test with two people, and the servers b.test and c.test."""

    def __init__(self) -> None:
        self.inputs = 0
        self._failures: list[str] = []
        self._observer = cast("Any", self._hear)
        globalLogPublisher.addObserver(self._observer)
        # Soon after a failure it dials again, and what waited for one input is not there for the next.
        soon = {"s2s_queue_timeout": 1, "s2s_max_retry_delay": 1}
        self.federation = Federation("a.test", modules=MODULES, config=soon)
        self.core = self.federation["a.test"].server.federation
        self.peer = self.federation.peer("b.test", "rooms.b.test")
        self.other = self.federation.peer("c.test")
        self.romeo = self.federation.client("romeo@a.test/x")
        self.juliet = self.federation.client("juliet@a.test/y")
        self.romeo.send("<presence/>")

    def _hear(self, event: LogEvent) -> None:
        if "log_failure" in event or event.get("log_level", LogLevel.info) >= LogLevel.warn:
            failure = event.get("log_failure")
            self._failures.append(f"{formatEvent(event)}\n{failure.getTraceback() if failure is not None else ''}")

    def stream(self, kind: int) -> PeerStream | None:
        """A stream as far as *kind* says; None where we do not dial."""
        if kind >= 4:
            return self._ours(kind)
        stream = self.peer.dial("a.test", ip=self.federation["a.test"].clock.addresses[0])
        if kind == 0:
            return stream
        stream.open()
        if kind > 1:
            stream.start_tls()
            stream.open()
        if kind > 2:
            stream.send(f"<bidi xmlns='{ns.BIDI}'/>")
            stream.authenticate()
        return stream

    def _ours(self, kind: int) -> PeerStream | None:
        self.federation.advance(5)
        self._answer(self.peer)
        self.federation.advance(5)
        self.romeo.send("<message to='tybalt@b.test'><body>x</body></message>")
        if not self.peer._accepted:
            return None
        stream = self.peer.accept()
        if kind == 4:
            stream.expect_header()
            stream.send_header(id="4")
            return stream
        stream.answer(STARTTLS)
        stream.accept_tls()
        if kind == 5:
            stream.expect_header()
            stream.send_header(id="5")
            return stream
        stream.answer(BIDI, EXTERNAL, DIALBACK)
        if kind > 6:
            stream.expect(f"<bidi xmlns='{ns.BIDI}'/>")
            stream.accept_external()
            stream.answer(f"<sm xmlns='{ns.SM}'/>")
        return stream

    def say(self, stream: PeerStream, data: bytes) -> None:
        """Send it, with the identifier of the stream for ``%I`` and the right key for ``%K``."""
        key = self.peer.keys.key("a.test", "b.test", stream.id)
        data = data.replace(b"%I", stream.id.encode()).replace(b"%K", key.encode())
        for seconds, said in with_waits(data):
            if seconds:
                self.federation.advance(seconds)
            if stream.transport is not None and stream.wire.near.connected:
                stream.send(said)
                self._answer(self.peer)
                self._answer(self.other)

    def _answer(self, peer: Peer) -> None:
        """Whoever is asked about a key says what is right, on a stream that offers nothing but that."""
        self.federation.pump()
        while peer._accepted:
            stream = peer.accept()
            try:
                stream.answer(STARTTLS)
                stream.accept_tls()
                stream.answer(DIALBACK)
                stream.drain()
            except FailTest:
                pass  # it is one of those that carry stanzas
            finally:
                stream.cut()

    def check(self, stream: PeerStream | None) -> None:
        """The rules."""
        self._raise()
        for link in self.core.links:
            for domains in {**link.accepts, **link.sends}:
                assert domains in PROVED, f"authorised for {domains}"
            held = link.stream.held + link.confirmations.size + link.queued + link.lanes.size
            assert held <= MOST, f"{held} bytes are held"
        for person in (self.romeo, self.juliet):
            for element in person.drain():
                sender = JID.parse(element.get("from") or "a.test").domain
                assert sender in ("a.test", "b.test", "rooms.b.test") or element.get("type") == "error", (
                    element.to_xml()
                )
            person.raw.clear()
        if stream is not None:
            stream.drain()
            stream.cut()
        self.inputs += 1
        self.romeo.send(f"<message to='juliet@a.test/y' id='c{self.inputs}' type='chat'><body>x</body></message>")
        self.juliet.expect(f"<message id='c{self.inputs}' from='romeo@a.test/x'><body>x</body></message>")
        self.federation.transcript.clear()
        self._raise()

    def end(self) -> None:
        """Stop the server, in good order."""
        try:
            self.federation.stop()
            self._raise()
        finally:
            globalLogPublisher.removeObserver(self._observer)

    def _raise(self) -> None:
        if self._failures:
            failures, self._failures = self._failures, []
            raise AssertionError("logged as a failure:\n" + "\n".join(failures))


class _Theatre:
    """The stage there is, and the inputs it has heard."""

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.heard: list[bytes] = []

    def check(self, data: bytes) -> None:
        if self.stage is not None and self.stage.inputs >= LIFE:
            self.close()
        if self.stage is None:
            self.stage, self.heard = Stage(), []
        stage = self.stage
        self.heard.append(data)
        try:
            stream = stage.stream((data[0] if data else 0) % 8)
            if stream is not None:
                stage.say(stream, data[1:])
            stage.check(stream)
        except Exception as error:
            self.stage = None
            raise AssertionError(f"{error}\nafter {len(self.heard)} inputs, the last: {self.heard[-5:]}") from error

    def close(self) -> None:
        """End the stage that is left, by the same rules."""
        stage, self.stage = self.stage, None
        if stage is not None:
            stage.end()


_theatre: Final = _Theatre()
check = _theatre.check
close = _theatre.close
