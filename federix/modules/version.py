"""XEP-0092: Software Version -- say which server this is."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from ..api import IQ, SOFTWARE_VERSION, Element, Module, Xep, iq_get, ns, option


class Version(Module):
    """Tells name and version of the server."""

    name = "mod_version"
    implements = (Xep(92, "1.1"),)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_version."""

        # §5: "an application MUST provide a way for a human user or administrator to disable sharing of information
        # about the operating system."
        show_os: bool = option(False, "Tell the operating system and its release as well.")

    options: Options

    @iq_get(ns.VERSION, "query", on=("host",))
    def answer(self, _: IQ) -> Element:
        """§2: "<name/> … is REQUIRED in a result", "<version/> … is REQUIRED", "<os/> … is OPTIONAL"."""
        shown = self.host.server.host_options(self.host.name).version
        return Element(
            "query",
            ns.VERSION,
            Element("name", ns.VERSION, text="Federix"),
            Element("version", ns.VERSION, text=shown or SOFTWARE_VERSION),
            Element("os", ns.VERSION, text=_operating_system()) if self.options.show_os else None,
        )


def _operating_system() -> str:
    return f"{platform.system()} {platform.release()}".strip() or "unknown"
