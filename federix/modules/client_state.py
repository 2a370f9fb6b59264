"""XEP-0352: Client State Indication -- a client that nobody looks at is sent what can wait only with what cannot.

What waits has not been sent: streams do not count it, and it ends with its session. Nothing that anybody wrote waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..api import (
    HANDLED,
    JID,
    Element,
    Key,
    Message,
    Module,
    Outcome,
    Presence,
    Session,
    Slot,
    Stanza,
    Xep,
    hooks,
    ns,
    on_demand,
    option,
)
from .client_state_held import Held, Name, chat_state_name, event_name, presence_name

#: What waits for a client; there is one for each that is inactive.
HELD: Final[Key[Held]] = Key("mod_client_state.held")


class ClientState(Module):
    """Holds back presence, chat states and events from clients that say that nobody looks at them."""

    name = "mod_client_state"
    implements = (Xep(352, "1.0.0"), Xep(203, "2.0", "for what waits for inactive clients"))

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_client_state."""

        queue_presence: bool = option(True, "Hold back presence: the last of each address is sent later.")
        queue_chat_states: bool = option(True, "Hold back chat states: the last of each address is sent later.")
        queue_pep: bool = option(True, "Hold back what contacts publish: the last of each node or item is sent later.")

    options: Options

    async def on_start(self) -> None:
        self._inactive = 0
        self._stop_listening: Callable[[], None] = lambda: None

    async def on_stop(self) -> None:
        for session in self.host.sessions:
            self._activate(session)

    # -- §4: the state ------------------------------------------------------------------------------------------------

    @hooks.c2s_post_auth_features
    def offer(self) -> list[Element]:
        """§4.1: advertised "in the stream features after the client has authenticated"."""
        return [Element("csi", ns.CSI)]

    @hooks.c2s_authenticated_packet
    def take(self, session: Session, element: Element) -> list[bool]:
        """§4.2: "There is no reply from the server to either of these elements"."""
        if element.ns != ns.CSI or element.name not in ("active", "inactive"):
            return []
        if element.name == "active":
            self._activate(session)
        elif HELD not in session.notes:
            session.notes[HELD] = Held()
            self._inactive += 1
            if self._inactive == 1:
                self._stop_listening = self.listen(self.receive)
        return [True]

    @hooks.session_resumed
    def resumed(self, session: Session) -> None:
        """§5.2: the state "always defaults to 'active' for new and resumed streams"."""
        self._activate(session)

    @hooks.sm_remove_connection
    def closed(self, session: Session) -> None:
        self._forget(session)

    def _activate(self, session: Session) -> None:
        held = self._forget(session)
        if held is not None:
            self._flush(session, held)

    def _forget(self, session: Session) -> Held | None:
        """The session is not inactive any more; what waits for it."""
        held = session.notes.pop(HELD)
        if held is not None:
            self._inactive -= 1
            if not self._inactive:
                self._stop_listening()
        return held

    # -- what it is good for ------------------------------------------------------------------------------------------

    # Behind all others: what waited is not shown to them again.
    @on_demand
    @hooks.user_receive_packet.at(Slot.FALLBACK)
    def receive(self, session: Session, stanza: Stanza) -> Outcome:
        """Hold back what can wait. With what cannot, all goes that waited before it."""
        held = session.notes.get(HELD)
        if held is None:
            return None
        name = self._name(session, stanza)
        if name is None:
            self._flush(session, held)
            return None
        held.put(name, stanza, self.host.now())
        if held.is_full:
            self._flush(session, held)
        return HANDLED

    def _name(self, session: Session, stanza: Stanza) -> Name | None:
        """Under which name it waits: of one name only the last is of interest. ``None`` where it cannot wait."""
        options = self.options
        if isinstance(stanza, Presence):
            return presence_name(stanza) if options.queue_presence else None
        if not isinstance(stanza, Message):
            return None
        account = session.jid.bare
        if options.queue_chat_states and (name := chat_state_name(stanza, account)) is not None:
            return name
        return event_name(stanza, account) if options.queue_pep else None

    def let_go(self, account: JID) -> None:
        """All that waits for clients of *account* goes now."""
        for session in self.host.sessions.of(account.local):
            held = session.notes.get(HELD)
            if held is not None:
                self._flush(session, held)

    def _flush(self, session: Session, held: Held) -> None:
        for stanza in held.taken(self.host.jid):
            session.pass_on(stanza)
