"""What Federix offers: one XEP, or chapter of an RFC, per file."""

from ..api import Module
from .blocking import Blocking
from .carbons import Carbons
from .client_state import ClientState
from .disco import Disco
from .last import Last
from .mam.module import MessageArchive
from .offline import Offline
from .ping import Ping
from .private import Private
from .push import Push
from .register import Register
from .roster import Roster
from .s2s_bidi import S2SBidi
from .s2s_dialback import S2SDialback
from .stream_mgmt import StreamMgmt
from .time import Time
from .version import Version

#: Federix's own modules, by the name they have in the configuration.
MODULES: dict[str, type[Module]] = {
    "mod_blocking": Blocking,
    "mod_carboncopy": Carbons,
    "mod_client_state": ClientState,
    "mod_disco": Disco,
    "mod_last": Last,
    "mod_offline": Offline,
    "mod_mam": MessageArchive,
    "mod_ping": Ping,
    "mod_private": Private,
    "mod_push": Push,
    "mod_register": Register,
    "mod_roster": Roster,
    "mod_s2s_bidi": S2SBidi,
    "mod_s2s_dialback": S2SDialback,
    "mod_stream_mgmt": StreamMgmt,
    "mod_time": Time,
    "mod_version": Version,
}
