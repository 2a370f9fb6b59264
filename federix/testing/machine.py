"""A machine on a network in memory: the reactor of one server, with addresses and ports of its own."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import BaseConnector
from twisted.internet.error import CannotListenError, ConnectBindError, DNSLookupError, NoRouteError
from twisted.internet.interfaces import IConnector, IDelayedCall, IListeningPort
from twisted.internet.protocol import ClientFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from .wire import Address, End

if TYPE_CHECKING:
    from .network import Network

#: Where a program reaches its own machine.
LOOPBACK: Final = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}
#: What a port is given that asks for any; and a connection that goes out.
_EPHEMERAL: Final = 40_000


def address(ip: str, port: int) -> Address:
    """An address of Twisted's for *ip*, which is of either kind."""
    return IPv6Address("TCP", ip, port) if ":" in ip else IPv4Address("TCP", ip, port)


def normal(ip: str) -> str:
    """*ip* as it is always written; ValueError where it is none."""
    return str(ip_address(ip))


class Machine(MemoryReactorClock):
    """What a server on the *network* takes for its reactor. The clock is the network's, and so the others', too.

    *names* are the domains served here: what tests call it, the first one in what they print. *addresses* are those
    it has on the network, IPv4 and IPv6; more may be added, and one without any of a kind cannot reach that kind.
    """

    def __init__(self, network: Network, names: Sequence[str], addresses: Sequence[str]) -> None:
        self.network = network
        self.names = list(names)
        self.addresses = list(addresses)
        #: It has no current: whoever connects to it hears nothing.
        self.off = False
        self._ports = _EPHEMERAL
        super().__init__()  # type: ignore[no-untyped-call]
        del self.calls  # they are the network's

    def __repr__(self) -> str:
        return f"<Machine {self.name}>"

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]

    def free_port(self) -> int:
        """A port that was not used before."""
        self._ports += 1
        return self._ports

    # -- time: the network's ------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """The time on the network's clock."""
        return self.network.clock.rightNow

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> IDelayedCall:
        call: Any = self.network.clock.callLater(delay, callable, *args, **kw)
        call.machine = self  # so that they end with it
        return call  # type: ignore[no-any-return]

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return self.network.clock.getDelayedCalls()

    def advance(self, amount: float) -> None:
        """Let time pass on the network's clock; what is on the wires stays there. See `Network.advance`."""
        self.network.clock.advance(amount)

    def crash(self, *, silently: bool = False) -> None:
        """End what runs here, in the middle of what it does. *silently*: the machine is off, and nobody is told."""
        for call in list(self.getDelayedCalls()):
            if getattr(call, "machine", None) is self:
                call.cancel()
        self.tcpServers.clear()
        self.off = silently
        self.network.forget(self, silently)

    def boot(self) -> None:
        """Be there again. What others send on old connections is refused now."""
        self.off = False
        self.network.mend()

    # -- ports --------------------------------------------------------------------------------------------------------

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        port = port or self.free_port()
        if any(number == port and where == interface for number, _, _, where in self.tcpServers):
            raise CannotListenError(  # type: ignore[no-untyped-call]
                interface, port, OSError(errno.EADDRINUSE, "Address already in use")
            )
        entry = (port, factory, backlog, interface)
        self.tcpServers.append(entry)
        return _Port(self, entry)

    def listener(self, ip: str, port: int) -> tuple[Any, bool] | None:
        """Who listens at *ip* and *port*: his factory, and whether for IPv6, which takes connections of IPv4, too."""
        for number, factory, _, interface in self.tcpServers:
            if number == port and interface in (ip, "::", *(() if ":" in ip else ("", "0.0.0.0"))):
                return factory, ":" in interface
        return None

    def connectTCP(
        self, host: str, port: int, factory: ClientFactory[Any], timeout: float = 30, bindAddress: Any = None
    ) -> IConnector:
        connector = _Connector(self, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def source(self, ip: str, bound_to: str | None) -> str:
        """From which address *ip* is reached; raises what Twisted would fail with."""
        loopback = ip in LOOPBACK.values()
        if bound_to:
            if loopback or normal(bound_to) in self.addresses:
                return normal(bound_to)
            raise ConnectBindError(f"{bound_to} is no address of {self.name}")  # type: ignore[no-untyped-call]
        if loopback:
            return ip
        for own in self.addresses:
            if (":" in own) == (":" in ip):
                return own
        raise NoRouteError(f"{self.name} has no address of the kind of {ip}")  # type: ignore[no-untyped-call]


@implementer(IListeningPort)
class _Port:
    """A port of a machine, listening."""

    def __init__(self, machine: Machine, entry: Any) -> None:
        self._machine = machine
        self._entry = entry

    def startListening(self) -> None: ...

    def stopListening(self) -> None:
        if self._entry in self._machine.tcpServers:
            self._machine.tcpServers.remove(self._entry)

    def getHost(self) -> Address:
        return address(self._entry[3] or "0.0.0.0", self._entry[0])


@implementer(IConnector)
class _Connector(BaseConnector):
    """Twisted's own, over a wire."""

    def __init__(
        self, machine: Machine, host: str, port: int, factory: ClientFactory[Any], timeout: float, bound_to: Any
    ) -> None:
        super().__init__(factory, timeout, machine)  # type: ignore[arg-type]
        self.machine = machine
        self.host = host
        self.port = port
        self.bound_to: tuple[str, int] = bound_to or ("", 0)

    def _makeTransport(self) -> Any:
        return Attempt(self.machine, self)

    def getDestination(self) -> Address:
        return address(self.host, self.port)


class Attempt:
    """A connection that is being made: *dialer* is the machine it is made from, *ip* and *port* where it leads.

    See `Network.hold`. *due*: when the other side is reached, on the network's clock.
    """

    def __init__(self, dialer: Machine, connector: _Connector) -> None:
        self.dialer = dialer
        self.network = dialer.network
        self.port = connector.port
        self.held = self.network.holding
        self._connector = connector
        self._end: End | None = None
        self._done = False
        self.ip = LOOPBACK.get(connector.host, connector.host)
        self.source = ""
        self.due = dialer.seconds()
        try:
            self.ip = normal(self.ip)
            self.source = dialer.source(self.ip, connector.bound_to[0] or None)
        except ValueError:
            self._fail_soon(DNSLookupError(f"{self.ip} is no address of a machine"))
        except (ConnectBindError, NoRouteError) as error:
            self._fail_soon(error)
        else:
            self.network.begin(self)

    def __repr__(self) -> str:
        return f"<Attempt {self.dialer.name} to {self.ip} port {self.port}>"

    def release(self) -> None:
        """Let it go on, where it was held."""
        self.held = False
        self.network.pump()

    @property
    def client_address(self) -> Address:
        return address(self.source, self._connector.bound_to[1] or self.dialer.free_port())

    # -- what the connector asks of a transport -----------------------------------------------------------------------

    def failIfNotConnected(self, error: Exception) -> None:
        if self._done:
            return
        self._done = True
        self.network.end(self, error)
        connector: Any = self._connector
        connector.connectionFailed(Failure(error))  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        if self._end is not None:
            self._end.loseConnection()

    def _fail_soon(self, error: Exception) -> None:
        self.dialer.callLater(0, self.failIfNotConnected, error)

    # -- what the network does ----------------------------------------------------------------------------------------

    def protocol(self, server: Address) -> Any:
        """The protocol for this end: the other side was reached."""
        self._done = True
        return self._connector.buildProtocol(server)

    def connect(self, end: End, protocol: Any) -> None:
        """Have *protocol* sit at *end*, its connector told when that is over."""
        self._end = end
        end.on_lost = self._connector.connectionLost
        if protocol is None:
            end.wire.cut()
        else:
            end.attach(protocol)
