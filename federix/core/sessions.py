"""The sessions of one host: who is connected, and what happens when two want the same resource.

This is the local registry. Everything that asks who is connected asks through here, so that one that spans several
nodes can take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.jid import JID
from . import hooks
from .returning import Returns
from .session import Attachment, Session

if TYPE_CHECKING:
    from .host import Host

ConflictPolicy = Literal["setresource", "closeold", "closenew", "acceptnew"]


#: The sessions of who has none.
_NONE: Final[Mapping[str, Session]] = MappingProxyType({})


class ResourceConflict(Exception):
    """The resource is taken and stays so (RFC 6120 §7.7.2.2)."""


class Sessions:
    """Bound resources by account. Iterating goes over a copy, so sessions may end meanwhile."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._accounts: dict[str, dict[str, Session]] = {}
        self._count = 0
        #: What clients have not acknowledged when their sessions end.
        self.returns = Returns(host)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Session]:
        for resources in list(self._accounts.values()):
            yield from list(resources.values())

    def resources(self, local: str) -> Mapping[str, Session]:
        """All sessions of an account by their resources, as they are at each moment."""
        return self._accounts.get(local, _NONE)

    def of(self, local: str) -> list[Session]:
        """All sessions of an account, by its local part; an empty list where nobody is connected."""
        resources = self._accounts.get(local)
        return list(resources.values()) if resources else []

    def available(self, local: str) -> list[Session]:
        """Those that have sent available presence."""
        return [session for session in self.of(local) if session.available]

    def find(self, local: str, resource: str) -> Session | None:
        """The session of that resource, if it is connected."""
        resources = self._accounts.get(local)
        return resources.get(resource) if resources else None

    def open(
        self,
        local: str,
        resource: str,
        attachment: Attachment,
        *,
        policy: ConflictPolicy,
        limit: int | None,
        new_resource: Callable[[], str],
    ) -> Session:
        """Bind *resource* (RFC 6120 §7.7.2.2).

        Where it is taken, *policy* decides: the old session ends (`acceptnew`, `closeold`), the new one gets another
        resource (`setresource`) or `ResourceConflict` is raised (`closenew`). An old session that is asleep ends in any
        case: it is its own client that comes anew. Past *limit* sessions the oldest ends, one that is asleep first.
        Raises `StreamError` (not-authorized) while the account is being removed.
        """
        if self._host.accounts.is_leaving(local):
            raise StreamError(StreamCondition.NOT_AUTHORIZED, "the account is being removed")
        resource = resource or new_resource()
        old = self.find(local, resource)
        if old is not None:
            if policy == "closenew" and not old.asleep:
                raise ResourceConflict
            if policy == "setresource" and not old.asleep:
                resource = new_resource()
            else:
                old.end(StreamError(StreamCondition.CONFLICT, "replaced by a new connection"))
        if limit is not None:
            others = sorted(self.of(local), key=lambda session: (not session.asleep, session.since))
            for session in others[: max(len(others) + 1 - limit, 0)]:
                session.end(StreamError(StreamCondition.POLICY_VIOLATION, "too many sessions"))
        session = Session(self._host, JID(local, self._host.name, resource), attachment)
        if local not in self._accounts:
            self._host.storage.read_ahead(session.jid.bare.text)
        self._accounts.setdefault(local, {})[resource] = session
        self._count += 1
        hooks.sm_register_connection.run(self._host.chains, session)
        return session

    def close(self, session: Session) -> None:
        """Forget *session*: its contacts hear that it is gone, its scope closes. Closing twice is harmless."""
        if session.ended:
            return
        session.ended = True
        local, resource = session.jid.local, session.jid.resource
        resources = self._accounts.get(local)
        if resources is not None and resources.get(resource) is session:
            del resources[resource]
            self._count -= 1
            if not resources:
                del self._accounts[local]
        hooks.sm_remove_connection.run(self._host.chains, session)
        session.intake.leave(self._host.scope)
        session.scope.close()
        managed, session.managed = session.managed, None
        if managed is not None:
            session.intake.moved = session.intake.lagging = session.intake.misled = None
            self.returns.take(session, managed)
