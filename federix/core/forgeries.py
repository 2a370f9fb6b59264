"""What in a message nobody but the server of its recipient may say."""

from __future__ import annotations

from typing import Final

from ..xmpp import ns
from ..xmpp.delay import is_delay_by
from ..xmpp.element import Element
from ..xmpp.jid import JID
from ..xmpp.stanza import Message

#: Namespaces of what a server adds when it hands a message over late.
_ADDED: Final = (ns.DELAY, ns.OFFLINE)


def unforged(message: Message, host: JID) -> Message:
    """*message*, which has just come to *host*, without what only that may add to it.

    XEP-0203 §5: "the recipient's server SHOULD discard a delayed delivery notation whose 'from' attribute matches the
    server's JabberID": it tells what was delivered before. That of XEP-0013 is the server's as well.
    """
    for child in message.element.children:
        if not isinstance(child, str) and child.ns in _ADDED:
            return message.dropping(lambda child: _is_added_by(child, host))
    return message


def _is_added_by(child: Element, host: JID) -> bool:
    return child.ns == ns.OFFLINE or is_delay_by(child, host)
