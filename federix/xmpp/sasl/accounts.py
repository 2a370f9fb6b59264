"""What an exchange asks of the server around it, and who a client says it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from federix.xmpp.errors import SaslCondition, SaslFailure
from federix.xmpp.jid import JID, InvalidJID, prepare_local
from federix.xmpp.sasl.credentials import Credentials
from federix.xmpp.sasl.decoys import Decoys

P = ParamSpec("P")
T = TypeVar("T")


class InExecutor(Protocol):
    """Runs a function where it does not hold up the server, and waits for its result."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one host. *host* is a prepared domain; *lookup* takes a prepared localpart.

    *proved* is told, where PLAIN has shown it, the password of an account, and what was looked up for it.
    """

    host: str
    lookup: Callable[[str], Awaitable[Credentials | None]]
    in_executor: InExecutor
    decoys: Decoys
    proved: Callable[[str, str, Credentials], None] | None = None

    def identify(self, name: str, authzid: str) -> tuple[JID, str | None]:
        """The account that *name* means, and the prepared *authzid* if there is one; raises `SaslFailure`.

        Nobody may act for somebody else: an authzid can only repeat who the user is (RFC 6120 §6.3.8).
        """
        try:
            account = JID(prepare_local(name), self.host)
        except InvalidJID:
            raise wrong_password() from None  # no account can have such a name
        if not authzid:
            return account, None
        try:
            claimed = JID.parse(authzid)
        except InvalidJID:
            raise SaslFailure(SaslCondition.INVALID_AUTHZID, "not an address") from None
        if claimed != account:
            raise SaslFailure(SaslCondition.INVALID_AUTHZID, "authzid of another user")
        return account, str(claimed)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The exchange goes on: *data* for the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """The client is who it says: a prepared localpart, and the bare JID it asked to act as, if it did.

    *data* goes out with the success (RFC 6120 §6.4.6).
    """

    username: str
    authzid: str | None
    data: bytes | None


def wrong_password() -> SaslFailure:
    """The one answer to a wrong password, an unknown user and everything that must not be told apart from these."""
    return SaslFailure(SaslCondition.NOT_AUTHORIZED)


def malformed(text: str) -> SaslFailure:
    """The answer to what breaks the grammar of a mechanism."""
    return SaslFailure(SaslCondition.MALFORMED_REQUEST, text)


def decode_text(data: bytes) -> str:
    """*data* as UTF-8; raises `SaslFailure`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise malformed("not UTF-8") from None
