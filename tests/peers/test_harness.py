"""The peers among themselves, without Federix: what these fixtures set up is a federation that works."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import pytest

from .authority import Issuer
from .domains import Domain
from .ejabberd import Ejabberd
from .prosody import Prosody
from .requirements import requires_root
from .sockets import connections
from .talker import Talker
from .zone import Zone

KINDS = ("certificates", "dialback", "direct")


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Domain]]:
    requires_root()
    folder = tmp_path_factory.mktemp("harness")
    issuer = Issuer(folder)
    with ExitStack() as stack:
        zone = stack.enter_context(Zone())
        made: dict[tuple[str, str], Domain] = {}
        for server, kind in product(("prosody", "ejabberd"), KINDS):
            name, peer = f"{kind}.{server}.test", f"{kind}.{'ejabberd' if server == 'prosody' else 'prosody'}.test"
            made[server, kind] = Domain(
                name,
                zone.new_address(),
                issuer.issue(name, f"conference.{name}", self_signed=kind == "dialback", is_client=True),
                dialback=kind == "dialback",
                bidi=server == "prosody",
                direct_tls=kind == "direct",
                peer=peer,
            )
            made[server, kind].publish(zone)
        for server, maker in (("prosody", Prosody), ("ejabberd", Ejabberd)):
            own = folder / server
            own.mkdir()
            running = maker(own, zone, issuer.certificate, [made[server, kind] for kind in KINDS])
            stack.callback(running.stop)
            running.start()
        yield made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", ["prosody", "ejabberd"])
def test_prosody_and_ejabberd_exchange_messages(domains: dict[tuple[str, str], Domain], first: str, kind: str) -> None:
    there = "ejabberd" if first == "prosody" else "prosody"
    with Talker(domains[first, kind]) as romeo, Talker(domains[there, kind]) as juliet:
        romeo.say(juliet.jid, "But soft!")
        juliet.expect(f"<message from='{romeo.jid}'><body>But soft!</body></message>")
        juliet.say(romeo.jid, "Ay me!")
        romeo.expect(f"<message from='{juliet.jid}'><body>Ay me!</body></message>")
    found = connections({domains[server, kind].address for server in ("prosody", "ejabberd")})
    assert len(found) == 2, found
    assert {c.port for c in found} == {5270 if kind == "direct" else 5269}
