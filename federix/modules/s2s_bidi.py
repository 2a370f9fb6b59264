"""XEP-0288: Bidirectional Server-to-Server Connections -- one connection carries stanzas both ways."""

from __future__ import annotations

from ..api import S2S_BIDI, Module, Xep


class S2SBidi(Module):
    """Lets this host's streams be used in both directions where the other server can.

    It is but the switch: streams look for the note it leaves. Streams that are open stay as they are when it changes.
    """

    name = "mod_s2s_bidi"
    implements = (Xep(288, "1.0.1"),)

    async def on_start(self) -> None:
        self.host.notes[S2S_BIDI] = True
        self.scope.add(lambda: self.host.notes.pop(S2S_BIDI))
