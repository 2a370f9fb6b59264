"""A network in memory, which several servers share: one clock, and wires between them that can be cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import FailTest

from .authority import Issued
from .certificates import Kind, authority, certificate
from .machine import LOOPBACK, Attempt, Machine, address, normal
from .transcript import Connection, Transcript
from .wire import Address, Wire

if TYPE_CHECKING:
    from .dns import Dns

#: When a network begins, in seconds since 1970.
BEGINNING: Final = 1_800_000_000.0
_BEGINS: Final = datetime.fromtimestamp(BEGINNING, UTC)
#: After so many rounds without rest something goes round in circles.
_ROUNDS: Final = 100_000
_EVERYBODY: Final = "*"


class Network:
    """Machines, each with a server or a scripted `Peer` on it, on one virtual clock.

    *machines* are all of them, *clock* is the time, *dns* a resolver, *authority* issues certificates that begin to
    be right when the network begins, *transcript* has what was said. *wires* are
    all connections, *attempts* those that are being made. *delay* and *byte_by_byte* are for connections to come; see
    `Wire`. Servers and peers are called by any of their domains, in all that follows.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.machines: list[Machine] = []
        self.wires: list[Wire] = []
        self.attempts: list[Attempt] = []
        self.transcript = Transcript(names=lambda name: self.machine(name).name)
        self.authority = authority(_BEGINS)
        self.delay = 0.0
        self.byte_by_byte = False
        #: Whether connections that begin are held; see `hold`.
        self.holding = False
        self._dns: Dns | None = None
        self._delays: dict[frozenset[str], float] = {}
        self._parted: set[frozenset[str]] = set()

    @property
    def dns(self) -> Dns:
        """What the servers on it ask for SRV records and addresses."""
        if self._dns is None:
            from .dns import Dns

            self._dns = Dns(self.clock)
        return self._dns

    # -- machines -----------------------------------------------------------------------------------------------------

    def add(self, *names: str) -> Machine:
        """A new machine, for what serves the domains *names*, with an IPv4 and an IPv6 address of its own."""
        taken = [name for machine in self.machines for name in machine.names if name in names]
        if taken:
            raise ValueError(f"{taken[0]} has a server already")
        number = len(self.machines) + 1
        # RFC 5737 and RFC 3849: addresses for documentation.
        ipv4 = f"198.51.{100 + number // 250}.{number % 250 + 1}"
        machine = Machine(self, names, (ipv4, f"2001:db8::{number + 1:x}"))
        self.machines.append(machine)
        return machine

    def machine(self, name: str) -> Machine:
        """The machine of that domain, or with that address; KeyError where there is none."""
        for machine in self.machines:
            if name in machine.names or name in machine.addresses:
                return machine
        raise KeyError(name)

    def certificate(self, *domains: str, kind: Kind = "trusted") -> Issued:
        """A certificate for *domains*, by default one that all who trust `authority` trust. See `certificates.Kind`."""
        return certificate(_BEGINS, domains, kind)

    # -- faults -------------------------------------------------------------------------------------------------------

    def partition(self, a: str, b: str | None = None) -> None:
        """Have nothing go through between *a* and *b* (or anybody), in silence, until `heal`.

        What is sent meanwhile arrives then, as TCP has it, unless its end was given up.
        """
        self._parted.add(self._pair(a, b))
        self.mend()

    def heal(self) -> None:
        """Undo every `partition`."""
        self._parted.clear()
        self.mend()
        self.pump()

    def set_delay(self, a: str, b: str, seconds: float) -> None:
        """Have each piece take so long between *a* and *b* in either direction, and a connection as long to begin."""
        self._delays[self._pair(a, b)] = seconds
        for connection in self.connections(a, b):
            if connection.wire is not None:
                connection.wire.delay = seconds

    def cut(self, a: str, b: str) -> None:
        """Have both ends of every connection between *a* and *b* lose it at once."""
        for connection in self.connections(a, b):
            if connection.wire is not None:
                connection.wire.cut()
        self.pump()

    def connections(self, a: str, b: str) -> list[Connection]:
        """The connections that are open between *a* and *b*, whoever made them."""
        return [connection for connection in self.transcript.connections(a, b) if connection.open]

    def hold(self) -> None:
        """Hold each connection that begins from now on in `attempts`, until its `release`: in any order."""
        self.holding = True

    def release(self) -> None:
        """Hold no connection any more."""
        self.holding = False
        for attempt in list(self.attempts):
            attempt.held = False
        self.pump()

    def _pair(self, a: str, b: str | None) -> frozenset[str]:
        return frozenset((self.machine(a).name, _EVERYBODY if b is None else self.machine(b).name))

    def _passes(self, a: Machine, b: Machine) -> bool:
        pairs = (frozenset(pair) for pair in ((a.name, b.name), (a.name, _EVERYBODY), (b.name, _EVERYBODY)))
        return not a.off and not b.off and (a is b or not any(pair in self._parted for pair in pairs))

    def mend(self) -> None:
        """Have the wires there are obey what was said."""
        for wire in self.wires:
            a, b = wire.near.machine, wire.far.machine
            if a is not None and b is not None:
                wire.broken = not self._passes(a, b)
            elif b is not None and not wire.far.connected:
                wire.broken = b.off

    # -- connections --------------------------------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> None:
        """A machine begins to connect."""
        target = self._find(attempt)
        attempt.due = self.clock.seconds() + (self._delay(attempt.dialer, target) if target is not None else 0.0)
        self.attempts.append(attempt)

    def end(self, attempt: Attempt, error: Exception) -> None:
        """It did not succeed."""
        if attempt in self.attempts:
            self.attempts.remove(attempt)

    def forget(self, machine: Machine, silently: bool) -> None:
        """Whatever was connected on *machine* is gone; *silently*: who was at the other end is not told."""
        self.attempts = [attempt for attempt in self.attempts if attempt.dialer is not machine]
        for wire in self.wires:
            for end in (wire.near, wire.far):
                if end.machine is machine:
                    end.vanish()
                    if not silently:
                        wire.cut()
        self.mend()

    def _find(self, attempt: Attempt) -> Machine | None:
        if attempt.ip in LOOPBACK.values():
            return attempt.dialer
        return next((machine for machine in self.machines if attempt.ip in map(normal, machine.addresses)), None)

    def _delay(self, a: Machine, b: Machine) -> float:
        return self._delays.get(frozenset((a.name, b.name)), self.delay)

    def _go_on(self, attempt: Attempt) -> bool:
        """Connect, or refuse to, if it is time; whether it was."""
        if attempt not in self.attempts or attempt.held or attempt.due > self.clock.seconds():
            return False  # the first of several to succeed ends the others
        target = self._find(attempt)
        # Whoever cannot be reached does not say so either.
        if target is None or not self._passes(attempt.dialer, target):
            return False
        listener = target.listener(attempt.ip, attempt.port)
        if listener is None:
            attempt.failIfNotConnected(ConnectionRefusedError())  # type: ignore[no-untyped-call]
            return True
        self.attempts.remove(attempt)
        factory, ipv6 = listener
        client, server = attempt.client_address, address(attempt.ip, attempt.port)
        connection = self.transcript.connection(attempt.dialer.name, target.name, attempt.port, self.clock.seconds)
        wire = connection.wire = Wire(self.clock, client, server, watcher=connection)
        wire.delay = self._delay(attempt.dialer, target)
        wire.byte_by_byte = self.byte_by_byte
        wire.half_open = True
        wire.near.machine, wire.far.machine = attempt.dialer, target
        if ipv6:
            wire.far.named(_mapped(server), _mapped(client))
        self.wires.append(wire)
        accepted = factory.buildProtocol(wire.far.getPeer())
        connected = attempt.protocol(server)
        attempt.connect(wire.near, connected)
        if accepted is None:
            wire.cut()
        else:
            wire.far.attach(accepted)
        return True

    # -- time ---------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Carry what is on the wires and run what is due, until nothing moves; no time passes."""
        moved = True
        rounds = 0
        while moved:
            self.clock.advance(0)
            moved = sum([self._go_on(attempt) for attempt in list(self.attempts)]) > 0
            moved = sum([wire.deliver() for wire in list(self.wires)]) > 0 or moved
            rounds += 1
            if rounds > _ROUNDS:
                raise FailTest("the world does not come to rest")
        self.wires = [wire for wire in self.wires if wire.near.connected or wire.far.connected]

    def advance(self, seconds: float) -> None:
        """Let time pass for all, timer by timer."""
        self.pump()
        end = self.clock.seconds() + seconds
        while True:
            coming = min((when for when in self._due() if when > self.clock.seconds()), default=end)
            if coming >= end:
                break
            self.clock.advance(coming - self.clock.seconds())
            self.pump()
        self.clock.advance(max(end - self.clock.seconds(), 0.0))
        self.pump()

    def _due(self) -> Sequence[float]:
        due = [call.getTime() for call in self.clock.getDelayedCalls()]
        due += [attempt.due for attempt in self.attempts if not attempt.held]
        due += [when for wire in self.wires for when in wire.due()]
        return due


def _mapped(shown: Address) -> Address:
    """How a socket for IPv6 shows an address of IPv4 (RFC 4291 §2.5.5.2)."""
    return address(shown.host if ":" in shown.host else f"::ffff:{shown.host}", shown.port)
