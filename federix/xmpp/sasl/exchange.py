"""One login of one client, message by message, whatever the mechanism."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from federix.xmpp.errors import SaslCondition, SaslFailure
from federix.xmpp.sasl.accounts import Accounts, Challenge, InExecutor, Success, malformed
from federix.xmpp.sasl.credentials import Credentials
from federix.xmpp.sasl.decoys import Decoys
from federix.xmpp.sasl.mechanisms import MECHANISMS, hash_of, is_plus
from federix.xmpp.sasl.plain import Plain
from federix.xmpp.sasl.scram import Channel, Scram

#: In bytes, before base 64. Room for the longest names, passwords and nonces that make sense.
MAX_MESSAGE = 4096

_Step = Callable[[bytes], Awaitable[Challenge | Success]]


class Exchange:
    """One authentication exchange: give `step` what the client sends, until it returns `Success` or raises.

    The caller has checked that it offered *mechanism* on this connection (see `available`): PLAIN does not ask here
    whether there is TLS. *host* is the prepared domain the client wants to log in to, *bindings* the channel bindings
    of its connection, *plus_offered* whether any -PLUS mechanism was offered. *nonce* gives fresh, unpredictable,
    printable ASCII without commas. *proved* hears of passwords that PLAIN has shown (see `Accounts`). Raises
    `SaslFailure` (invalid-mechanism) for a mechanism it does not speak.
    """

    def __init__(
        self,
        mechanism: str,
        *,
        host: str,
        lookup: Callable[[str], Awaitable[Credentials | None]],
        in_executor: InExecutor,
        bindings: Mapping[str, bytes],
        plus_offered: bool,
        decoys: Decoys,
        nonce: Callable[[], str],
        proved: Callable[[str, str, Credentials], None] | None = None,
    ) -> None:
        if mechanism not in MECHANISMS:
            raise SaslFailure(SaslCondition.INVALID_MECHANISM)
        self.mechanism = mechanism
        self._begun = False
        accounts = Accounts(host, lookup, in_executor, decoys, proved)
        hash_name = hash_of(mechanism)
        self._steps: list[_Step]
        if hash_name is None:
            self._steps = [Plain(accounts).first]
        else:
            scram = Scram(accounts, hash_name, Channel(bindings, plus_offered, is_plus(mechanism)), nonce)
            self._steps = [scram.first, scram.final]

    async def step(self, data: bytes | None) -> Challenge | Success:
        """Answer the client's next message; None if it sent none. Raises `SaslFailure`, which ends the exchange.

        What the given look-up and executor raise goes through, and ends the exchange too.
        """
        remaining, self._steps = self._steps, []  # put back only when the next message is wanted
        if not remaining:
            raise malformed("this exchange is over")
        if data is None:
            # RFC 4422 §5: without an initial response "the first server challenge MUST be empty".
            if self._begun:
                raise malformed("a message without data")
            self._begun = True
            self._steps = remaining
            return Challenge(b"")
        if len(data) > MAX_MESSAGE:
            raise malformed("too long")
        self._begun = True
        answer = await remaining[0](data)
        if isinstance(answer, Challenge):
            self._steps = remaining[1:]
        return answer
