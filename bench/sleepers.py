"""Clients that lose their connections and leave sessions behind, which wait to be resumed (XEP-0198 §5)."""

from __future__ import annotations

import socket
import struct
from typing import Final

from .inbox import LoadFailed, numbered
from .load import Connection, Dialogue, log_in
from .login import authenticate, full_jid
from .managed import NAMESPACE, enable
from .names import user
from .pairs import QUESTION
from .work import SETTLE, SETTLE_MEMORY, Work, leave

#: How many times as many messages come after the first ones.
MORE: Final = 4
#: SO_LINGER: on, no seconds. Who closes then sends a reset.
_RESET: Final = struct.pack("ii", 1, 0)


class Sleepers(Work):
    """In the first round all come and are cut off, in the second each is sent *count* messages, in the third `MORE`
    times as many, and in the fourth all come back and are given these. Before that *in_flight* others come and go, to
    have everything loaded."""

    def prepare(self) -> None:
        specification = self.specification
        self.names = self.users(specification.clients)
        (self.sender,) = self.log_in([user(specification.first + specification.clients)])
        guests = self.log_in(self.users(specification.in_flight))
        enable(self.loop, guests)
        self._send([guest.jid for guest in guests], 0, specification.count)
        for guest in guests:
            leave(self.loop, guest)
        self.loop.run(lambda: len(self.loop.connections) == 1)
        self.loop.pause(SETTLE_MEMORY)
        self.rounds = iter((self._fall_asleep, self._have_mail, self._have_more, self._wake))

    def run(self) -> None:
        self.done = next(self.rounds)()

    def _fall_asleep(self) -> int:
        connections = self.log_in(self.names)
        self.previds = dict(zip(self.names, enable(self.loop, connections), strict=True))
        for connection in connections:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.close()
        self.loop.pause(SETTLE)
        return len(connections)

    def _have_mail(self) -> int:
        return self._send([full_jid(name) for name in self.names], 0, self.specification.count)

    def _have_more(self) -> int:
        count = self.specification.count
        return self._send([full_jid(name) for name in self.names], count, (1 + MORE) * count)

    def _wake(self) -> int:
        return len(log_in(self.loop, self.names, self._resume))

    def _send(self, recipients: list[str], first: int, end: int) -> int:
        """Send each the messages from the number *first* to before *end*: how many these are in all."""
        sent = [message(recipient, number) for recipient in recipients for number in range(first, end)]
        over: list[bool] = []

        def dialogue() -> Dialogue:
            # What one client sends is dealt with in its order, so when this comes back all before it is done.
            self.sender.send(b"".join([*sent, message(self.sender.jid, end)]))
            yield _body(end)
            over.append(True)

        self.sender.converse(dialogue())
        self.loop.run(lambda: bool(over))
        return len(sent)

    def _resume(self, connection: Connection, name: str) -> Dialogue:
        yield from authenticate(connection, name)
        connection.send(b"<resume xmlns='%s' previd='%s' h='0'/>" % (NAMESPACE, self.previds[name].encode()))
        told = yield b">"
        if b"<resumed" not in told:
            raise LoadFailed(f"{name} cannot resume: {told.decode(errors='replace')}")
        for number in range((1 + MORE) * self.specification.count):
            yield _body(number)
        connection.jid = full_jid(name)


def message(recipient: str, number: int) -> bytes:
    """One of those that wait."""
    return b"<message to='%s' type='chat' id='q%08d'>%s</message>" % (recipient.encode(), number, _body(number))


def _body(number: int) -> bytes:
    return b"<body>%s</body>" % numbered(number, QUESTION)
