"""Streams on their way into an account: from the look-up of its password until a resource is bound.

Between the two lie answers of the client and of the storage. What happens to the account meanwhile must reach them: who
has proved the password of an account that is gone has proved nothing about the next one of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..xmpp.errors import StreamError

if TYPE_CHECKING:
    from .session import Attachment


class Login:
    """The way of one stream into one account."""

    __slots__ = ("_attachment", "_local", "_logins", "authenticated", "refused")

    def __init__(self, logins: Logins, local: str, attachment: Attachment) -> None:
        self._logins = logins
        self._local = local
        self._attachment = attachment
        #: Whether the password was proved: then the stream itself ends when the way is closed.
        self.authenticated = False
        #: Whether the way was closed meanwhile: whatever was proved counts no more.
        self.refused = False

    def over(self) -> None:
        """A resource is bound, the attempt failed, or the stream is gone. Twice is harmless."""
        self._logins._forget(self._local, self)

    def refuse(self, error: StreamError) -> None:
        self.refused = True
        if self.authenticated:
            self._attachment.close(error)


class Logins:
    """All such streams of one host; at most one entry for each stream there is."""

    def __init__(self) -> None:
        self._under_way: dict[str, set[Login]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._under_way.values()))

    def begin(self, local: str, attachment: Attachment) -> Login:
        """Before the password of *local* is looked up, be there such an account or not."""
        login = Login(self, local, attachment)
        self._under_way.setdefault(local, set()).add(login)
        return login

    def refuse(self, local: str, error: StreamError) -> None:
        """Let none of those that are under way arrive; streams that have authenticated end with *error*."""
        for login in self._under_way.pop(local, ()):
            login.refuse(error)

    def _forget(self, local: str, login: Login) -> None:
        logins = self._under_way.get(local)
        if logins is None:
            return
        logins.discard(login)
        if not logins:
            del self._under_way[local]
