"""XEP-0012: Last Activity -- how long somebody has been away, and how long the server has been up."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred, gatherResults

from ..api import (
    IQ,
    JID,
    JSON,
    Condition,
    Document,
    Element,
    Json,
    Key,
    Module,
    Outcome,
    Presence,
    Session,
    Slot,
    StanzaError,
    StoreError,
    Timer,
    Xep,
    hooks,
    iq_get,
    ns,
)

#: Characters of a farewell that are kept.
MAX_STATUS: Final = 1024
#: Seconds in which farewells are gathered, to be written together; and how many at most. Nobody waits for one, and what
#: a crash may cost is the last words of those who left in its last moments.
GATHER: Final = 1.0
MOST_GATHERED: Final = 1000
#: Seconds until what storage could not take is written again; so many farewells wait for that.
AGAIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Farewell:
    """When an account's last session ended (seconds since 1970), and with which words."""

    at: float
    status: str = ""


def _write(farewell: Farewell) -> Json:
    return {"at": farewell.at, "status": farewell.status}


def _read(stored: Json) -> Farewell:
    assert isinstance(stored, dict)
    return Farewell(float(stored["at"]), str(stored["status"]))


STATUS: Final[Key[str]] = Key("mod_last.status")


class Last(Module):
    """Tells contacts how long a user has been away, and everybody how long the server has been up."""

    name = "mod_last"
    implements = (Xep(12, "2.0"),)

    kept = Document("last", JSON.through(_write, _read))

    # -- what is remembered -------------------------------------------------------------------------------------------

    @hooks.user_sent_packet.only(Presence)
    def said(self, session: Session, stanza: Presence) -> None:
        """§3: "the status message of the last unavailable presence received from the user"."""
        if stanza.element.get("to") is not None:
            return
        if stanza.type == "unavailable":
            session.notes[STATUS] = (stanza.element.text_of(ns.CLIENT, "status") or "")[:MAX_STATUS]
        elif stanza.type is None:
            session.notes.pop(STATUS)

    async def on_start(self) -> None:
        self._gathered: dict[str, Farewell] = {}
        self._writing: Timer | None = None
        #: What is being written, and what could not be.
        self._under_way: dict[str, Farewell] = {}
        self._unwritten: dict[str, Farewell] = {}
        self._again: Timer | None = None

    async def on_stop(self) -> None:
        self._gathered = self._unwritten | self._gathered
        while self._gathered:
            await gatherResults(self._write())

    @hooks.sm_remove_connection
    def left(self, session: Session) -> None:
        """A user has gone when no session is left."""
        account = session.jid.bare
        if self.host.sessions.of(account.local):
            return
        self._unwritten.pop(str(account), None)
        self._gathered[str(account)] = Farewell(self.host.now(), session.notes.get(STATUS) or "")
        if len(self._gathered) >= MOST_GATHERED:
            self._write()
        elif self._writing is None:
            self._writing = self.scope.later(GATHER, self._write)

    def _write(self) -> list[Deferred[object]]:
        """Write what was gathered. All is begun at once: storage commits it together."""
        timer, self._writing = self._writing, None
        if timer is not None:
            timer.cancel()
        gathered, self._gathered = self._gathered, {}
        self._under_way |= gathered
        return [self.scope.spawn(self._put(owner, farewell)) for owner, farewell in gathered.items()]

    async def _put(self, owner: str, farewell: Farewell) -> None:
        try:
            await self.kept.put(owner, farewell)
        except StoreError:
            is_latest = self._under_way.get(owner) is farewell and owner not in self._gathered
            if is_latest and len(self._unwritten) < MOST_GATHERED:
                self._unwritten[owner] = farewell
                self._again = self._again or self.scope.later(AGAIN, self._write_again)
        finally:
            if self._under_way.get(owner) is farewell:
                del self._under_way[owner]

    def _write_again(self) -> None:
        self._again = None
        unwritten, self._unwritten = self._unwritten, {}
        self._gathered = unwritten | self._gathered
        self._write()

    async def farewell(self, account: JID) -> Farewell | None:
        """When *account* was last here, and its last words; ``None`` where it never was."""
        owner = str(account)
        for farewells in (self._gathered, self._under_way, self._unwritten):
            if owner in farewells:
                return farewells[owner]
        return await self.kept.get(owner)

    @hooks.remove_user
    def removed(self, account: JID) -> None:
        """The next owner of the name is not to find it."""
        for farewells in (self._gathered, self._under_way, self._unwritten):
            farewells.pop(str(account), None)

    # -- who may know -------------------------------------------------------------------------------------------------

    @hooks.sm_receive_packet.only(IQ, Slot.CHECK, after=("mod_blocking",))
    def check(self, account: JID, stanza: IQ) -> Outcome | Awaitable[Outcome]:
        if stanza.type != "get" or stanza.child(ns.LAST, "query") is None:
            return None
        sender = stanza.sender
        if sender is not None and sender.bare == account:
            return None
        return self._check(account, sender)

    async def _check(self, account: JID, sender: JID | None) -> Outcome:
        """Let none but those pass who may see the presence of *account*, to the server or to a client.

        §3: "If the requesting entity is not authorized to view the user's presence information …, the user's server
        MUST NOT return last activity information but instead MUST return a <forbidden/> error"; §4: it "MUST NOT
        deliver the IQ-get to an available resource but instead MUST return a <forbidden/> error". An account that does
        not exist is forbidden as well, or it would be told from one that does (RFC 6120 §13.11).
        """
        if sender is None or not await self.host.may_see_presence(account, sender):
            raise StanzaError(Condition.FORBIDDEN)
        return None

    # -- the answer ---------------------------------------------------------------------------------------------------

    @iq_get(ns.LAST, "query", on=("host",))
    def answer_for_host(self, _: IQ) -> Element:
        """§5: "how long the host has been running since it was last (re-)started"."""
        return _answer(self.host.uptime)

    @iq_get(ns.LAST, "query", on=("account",))
    async def answer_for_account(self, iq: IQ) -> Element:
        """What is asked of an account; `check` has seen to it that it is asked by those who may."""
        assert iq.to is not None
        # §3: "If the user has at least one connected or available resource … the response MUST … contain an empty
        # <query/> element whose 'seconds' attribute is set to a value of '0'."
        if self.host.sessions.of(iq.to.local):
            return _answer(0)
        farewell = await self.farewell(iq.to.bare)
        if farewell is None:
            raise StanzaError(Condition.ITEM_NOT_FOUND, "it has never been here")
        return _answer(self.host.now() - farewell.at, farewell.status)


def _answer(seconds: float, status: str = "") -> Element:
    """§2: "a <query/> element with a REQUIRED 'seconds' attribute and OPTIONAL XML character data"."""
    return Element("query", ns.LAST, text=status, attrs={"seconds": str(max(int(seconds), 0))})
