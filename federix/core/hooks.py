"""Every hook there is, in the order a stanza meets them.

Names are ejabberd's where it has a hook for the same moment. Take one by decorating a method of a module:
``@hooks.user_send_packet`` or, to stand elsewhere in the chain, ``@hooks.user_send_packet.at(Slot.CHECK)``. Where a
hook is about stanzas, ``@hooks.user_send_packet.only(Message)`` has the handler called for messages alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..xmpp.element import Element
from ..xmpp.jid import JID
from ..xmpp.stanza import Message, Presence
from .chain import Collect, Event, Filter, Hook, Watch

if TYPE_CHECKING:
    from ..xmpp.caps import Identity
    from ..xmpp.forms import Form
    from .remote import DomainPair, RemoteServer
    from .session import Candidate, Session

# -- a stream begins --------------------------------------------------------------------------------------------------

c2s_pre_auth_features: Collect[[Candidate], Element] = Collect(
    "c2s_pre_auth_features",
    "Fired before a client has authenticated, inside TLS where TLS is required, with its stream. Its items join the"
    " stream features.",
)
c2s_post_auth_features: Collect[[], Element] = Collect(
    "c2s_post_auth_features",
    "Fired when a client has authenticated and not bound a resource. Its items join the stream features.",
)
c2s_auth_result: Event[[JID, bool, str]] = Event(
    "c2s_auth_result",
    "A login ended: the account, whether it succeeded, and the address it came from. A failed one may name no account.",
)

c2s_unauthenticated_packet: Filter[Candidate] = Filter(
    "c2s_unauthenticated_packet",
    "A client that has not authenticated sent an iq (where TLS is required, inside TLS). HANDLED: a module has taken"
    " care of it. Not HANDLED: the stream ends with not-authorized.",
)

# -- a session begins and ends ----------------------------------------------------------------------------------------

sm_register_connection: Event[[Session]] = Event(
    "sm_register_connection", "A resource was bound. The session can be found; its client does not know its name yet."
)
sm_remove_connection: Event[[Session]] = Event(
    "sm_remove_connection",
    "A session ended. It cannot be found any more, its notes are still there, and its scope closes next.",
)

session_detached: Event[[Session]] = Event(
    "session_detached",
    "The stream of a session was lost, and its client may resume it (XEP-0198). It stays available, and what is sent to"
    " it is kept.",
)
session_resumed: Event[[Session]] = Event(
    "session_resumed",
    "A session has a stream again. What its client had not acknowledged is on its way; what is sent to it now comes"
    " behind that.",
)

# -- a client sends ---------------------------------------------------------------------------------------------------

user_send_packet: Filter[Session] = Filter(
    "user_send_packet",
    "A client sent a stanza. Its `from` is its full JID; `to` may be missing. HANDLED: it goes no further.",
)
user_sent_packet: Watch[Session] = Watch(
    "user_sent_packet", "A client sent a stanza, before any check: for those who only watch."
)
user_accepted_message: Event[[Session, Message]] = Event(
    "user_accepted_message",
    "A client's message has passed all checks of its host; where the sender's archive keeps it, it is kept, and has its"
    " id there (XEP-0359). It is delivered next.",
)
c2s_authenticated_packet: Collect[[Session, Element], bool] = Collect(
    "c2s_authenticated_packet",
    "A client with a session sent an element that is no stanza, and that the stream itself does not know. One yes: a"
    " module has taken it; otherwise the stream ends with unsupported-stanza-type. Handlers cannot wait.",
)
set_presence: Event[[Session, Presence]] = Event(
    "set_presence",
    "A client broadcast available presence. The session has it already, and its contacts have heard.",
)
unset_presence: Event[[Session, Presence]] = Event(
    "unset_presence", "A session that was available is not any more: by its client's word, or because it ended."
)
presence_to_contact: Filter[Session] = Filter(
    "presence_to_contact",
    "A copy of a session's presence goes to one contact: broadcast, in answer to a probe, or because a subscription"
    " began or ended. Handlers cannot wait. HANDLED: this contact gets no copy.",
)
probe_to_contact: Filter[JID] = Filter(
    "probe_to_contact",
    "The server asks a contact on behalf of an account how it is, or once more for its subscription: the account has"
    " become available, or has unblocked it. Handlers cannot wait. HANDLED: this contact is not asked.",
)
roster_out_subscription: Event[[JID, Presence]] = Event(
    "roster_out_subscription", "A subscription stanza of this account was accepted and is on its way to its contact."
)

# -- other servers ----------------------------------------------------------------------------------------------------

s2s_allow_host: Collect[[str, str], bool] = Collect(
    "s2s_allow_host",
    "Whether a host may speak with another server (our domain, its domain), asked when a connection is opened in either"
    " direction and `s2s_access` has allowed it. Each handler returns one answer, and cannot wait; one no refuses, and"
    " so does a handler that crashes or says nothing.",
)
s2s_connected: Event[[RemoteServer]] = Event(
    "s2s_connected", "A connection to or from another server was authorised for a pair of domains."
)
s2s_disconnected: Event[[RemoteServer, str]] = Event(
    "s2s_disconnected",
    "A connection is no longer there for a pair of domains for which it was authorised: the server, and why, in words.",
)
s2s_receive_packet: Filter[RemoteServer] = Filter(
    "s2s_receive_packet",
    "A stanza arrived from another server, which was authorised to send it. HANDLED: it goes no further. StanzaError:"
    " it is bounced.",
)
s2s_send_packet: Filter[DomainPair] = Filter(
    "s2s_send_packet",
    "A stanza goes to another server; there may be no connection to it yet. HANDLED: it is not sent. StanzaError: it is"
    " bounced.",
)

# -- a stanza arrives at this host ------------------------------------------------------------------------------------

local_receive_packet: Filter[JID] = Filter(
    "local_receive_packet",
    "A message or presence is addressed to the host itself. Not HANDLED: a message is bounced, a presence dropped.",
)
local_iq: Filter[JID] = Filter(
    "local_iq",
    "An iq addressed to the host that is nobody's: a request that none of its iq handlers answers, or an answer that"
    " nobody waits for. HANDLED: a module takes it, and answers a request now or later. Not HANDLED: a request is"
    " refused, an answer dropped.",
)
sm_receive_packet: Filter[JID] = Filter(
    "sm_receive_packet",
    "A stanza is addressed to an account; fired once, whatever the number of its resources. The account may not"
    " exist. HANDLED: it is delivered to nobody. StanzaError: it is bounced.",
)
roster_in_subscription: Filter[JID] = Filter(
    "roster_in_subscription",
    "A presence of type subscribe, subscribed, unsubscribe, unsubscribed or probe is addressed to an account that"
    " exists. Errors in answer to one are presence like any other: see sm_receive_packet. Not HANDLED: nobody keeps"
    " rosters here, and it is dropped.",
)
offline_message: Filter[JID] = Filter(
    "offline_message",
    "A message for an account that exists has no resource to go to (RFC 6121 §8.5.2.2), or only ones that are still"
    " being handed what waited for them (`Session.catching_up`). HANDLED: it is kept. Not HANDLED: those get it, or it"
    " is bounced where there are none. StanzaError: it is bounced.",
)
sm_delivered_message: Event[[JID, Message, Sequence[Session]]] = Event(
    "sm_delivered_message",
    "A message for an account went to these sessions, to none where nobody is there to take it. Not called for what"
    " offline storage refuses and the archive does not keep. What that keeps has its id there (XEP-0359).",
)
message_waits: Collect[[JID, Message], bool] = Collect(
    "message_waits",
    "Whether a message that a session had not taken when it ended is kept for its account all the same (the account,"
    " the message). Handlers cannot wait. One yes: it does not go back to its sender.",
)
user_receive_packet: Filter[Session] = Filter(
    "user_receive_packet",
    "A stanza goes to one session. Handlers cannot wait. HANDLED: this session does not get it. Whatever is raised"
    " costs this session its copy and nobody else anything.",
)

# -- services ---------------------------------------------------------------------------------------------------------

disco_local_identity: Collect[[JID, str], Identity] = Collect(
    "disco_local_identity",
    'More identities of the host (who asks, which node). Where node is "" handlers cannot wait: it is asked for the'
    " stream features as well.",
)
disco_local_features: Collect[[JID, str], str] = Collect(
    "disco_local_features",
    'Features of the host beyond those its iq handlers and modules declare (who asks, which node). Where node is ""'
    " handlers cannot wait: it is asked for the stream features as well.",
)
disco_local_items: Collect[[JID, str], Element] = Collect(
    "disco_local_items", "The host's disco items: components, services, commands (who asks, which node)."
)
disco_info: Collect[[JID, str], Form] = Collect(
    "disco_info",
    'Extension forms of the host (XEP-0128): who asks, which node. Where node is "" handlers cannot wait: it is asked'
    " for the stream features as well.",
)
disco_sm_features: Collect[[JID, JID, str], str] = Collect(
    "disco_sm_features", "Features of an account (the account, who asks, which node)."
)
disco_sm_identity: Collect[[JID, JID, str], Identity] = Collect(
    "disco_sm_identity", "Identities of an account (the account, who asks, which node)."
)
disco_sm_info: Collect[[JID, JID, str], Form] = Collect(
    "disco_sm_info", "Extension forms of an account (XEP-0128): the account, who asks, which node."
)
disco_sm_items: Collect[[JID, JID, str], Element] = Collect(
    "disco_sm_items", "An account's disco items (the account, who asks, which node)."
)
user_ping_timeout: Event[[Session]] = Event("user_ping_timeout", "A client did not answer a ping in time.")
may_see_presence: Collect[[JID, JID], bool] = Collect(
    "may_see_presence",
    "Whether somebody may see an account's presence: the account, and who asks, both bare. One yes is enough. Ask it"
    " through `Host.may_see_presence`.",
)

component_connected: Event[[JID]] = Event(
    "component_connected",
    "A component can be reached from now on: its domain. Its first connection for that domain is there.",
)
component_disconnected: Event[[JID, str]] = Event(
    "component_disconnected",
    "A component cannot be reached any more: its domain, and why its last connection ended.",
)

# -- accounts and hosts -----------------------------------------------------------------------------------------------

register_user: Event[[JID]] = Event("register_user", "An account was made.")
remove_user: Event[[JID]] = Event(
    "remove_user",
    "An account is being removed: its sessions have ended, its stores are forgotten right after. Waited for. A"
    " StoreError: the account is not removed, and whoever wanted it may try again.",
)

#: In their order; the reference is generated from this.
ALL: tuple[Hook, ...] = tuple(value for value in list(vars().values()) if isinstance(value, Hook))
