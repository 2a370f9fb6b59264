"""XEP-0220: Server Dialback -- take a server for who it says it is because DNS leads to it."""

from __future__ import annotations

from dataclasses import dataclass

from ..api import S2S_DIALBACK, AccessRule, Module, Xep, option


class S2SDialback(Module):
    """Lets servers without a certificate for their domain prove by dialback who they are, and us prove it to them.

    DNS can be forged more easily than certificates: a host without this module trusts certificates alone. It is but
    the switch: streams look for the note it leaves.
    """

    name = "mod_s2s_dialback"
    implements = (Xep(220, "1.1.1"), Xep(185, "1.0"))

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_s2s_dialback."""

        access: AccessRule = option(
            AccessRule("all"),
            "The servers for which dialback suffices; all others need a certificate that names their domain and that"
            " we trust. Asked about their domain and their IP address.",
        )

    options: Options

    async def on_start(self) -> None:
        self.host.notes[S2S_DIALBACK] = self.options.access
        self.scope.add(lambda: self.host.notes.pop(S2S_DIALBACK))

    def reconfigure(self, old: Options, new: Options) -> None:
        self.host.notes[S2S_DIALBACK] = new.access
