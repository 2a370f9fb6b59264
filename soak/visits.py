"""All kinds of visits, and how often each is paid."""

from __future__ import annotations

from typing import Final

from . import guests, offenders
from .visit import Kind

#: What visits there are, and how often in comparison with the others.
VISITS: Final[dict[Kind, int]] = {
    guests.chat: 20,
    guests.pipeline: 3,
    guests.directed: 4,
    guests.replaced: 3,
    guests.kicked: 2,
    guests.reads_slowly: 3,
    offenders.drop_at_once: 5,
    offenders.drop_in_header: 4,
    offenders.drop_after_header: 5,
    offenders.drop_in_handshake: 5,
    offenders.drop_after_handshake: 3,
    offenders.drop_in_login: 5,
    offenders.drop_in_stanza: 6,
    offenders.say_nothing: 2,
    offenders.wrong_password: 5,
    offenders.unknown_user: 4,
    offenders.odd_login: 3,
    offenders.bad_xml: 8,
    offenders.oversized: 2,
    offenders.forged_sender: 2,
    offenders.wrong_host: 2,
    guests.register: 3,
}
