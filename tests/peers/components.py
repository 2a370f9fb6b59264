"""An external component of Federix, and somebody at another server who speaks to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .client import Client
from .domains import PASSWORD
from .federation import Case, Federation
from .federix_server import COMPONENT_PORT, SOURCE
from .requirements import requires_python_package
from .talker import Talker


def answers_from_a_component(federation: Federation, case: Case, log: Path) -> None:
    """Juliet, at the peer, writes to a user of a component, asks it things, and is answered."""
    requires_python_package("slixmpp")
    domain = federation.component
    options = {
        "--domain": domain.name,
        "--password": PASSWORD,
        "--address": federation.ours.domains[0].address,
        "--port": str(COMPONENT_PORT),
    }
    words = [word for option in options.items() for word in option]
    command = [sys.executable, "-m", "tests.peers.clients.slixmpp_component", *words]
    component = Client(command, {**os.environ, "PYTHONPATH": str(SOURCE)}, log)
    try:
        with Talker(federation.pairs[case].theirs, "component") as juliet:
            for to in (f"anybody@{domain.name}/there", domain.name):
                juliet.say(to, "Is anybody there?")
                juliet.expect(f"<message from='{to}'><body>Is anybody there?</body></message>")
            for query in ("<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='http://jabber.org/protocol/disco#info'/>"):
                answer = juliet.request(f"<iq type='get' to='{domain.name}' id='*'>{query}</iq>")
                assert answer.get("type") == "result", answer.to_xml()
    finally:
        component.kill()
