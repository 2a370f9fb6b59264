"""XML namespaces, each under the name its specification uses."""

CLIENT = "jabber:client"
SERVER = "jabber:server"
COMPONENT = "jabber:component:accept"
STREAMS = "http://etherx.jabber.org/streams"
XML = "http://www.w3.org/XML/1998/namespace"
XMLNS = "http://www.w3.org/2000/xmlns/"

#: The namespaces a stanza itself may be in (RFC 6120 §4.8.3, XEP-0114): the default namespace of its stream.
CONTENT = frozenset((CLIENT, SERVER, COMPONENT))

# RFC 6120
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
STANZA_ERROR = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAM_ERROR = "urn:ietf:params:xml:ns:xmpp-streams"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"

# RFC 6121
ROSTER = "jabber:iq:roster"
ROSTER_VERSIONING = "urn:xmpp:features:rosterver"
PRE_APPROVAL = "urn:xmpp:features:pre-approval"

# XEPs
BIDI = "urn:xmpp:bidi"  # 0288
BIDI_FEATURE = "urn:xmpp:features:bidi"  # 0288
BLOCKING = "urn:xmpp:blocking"  # 0191
BLOCKING_ERRORS = "urn:xmpp:blocking:errors"  # 0191
CAPS = "http://jabber.org/protocol/caps"  # 0115
CARBONS = "urn:xmpp:carbons:2"  # 0280
CARBONS_RULES = "urn:xmpp:carbons:rules:0"  # 0280
CHANNEL_BINDING = "urn:xmpp:sasl-cb:0"  # 0440
CHAT_MARKERS = "urn:xmpp:chat-markers:0"  # 0333
CHAT_STATES = "http://jabber.org/protocol/chatstates"  # 0085
CONFERENCE = "jabber:x:conference"  # 0249
CSI = "urn:xmpp:csi:0"  # 0352
DELAY = "urn:xmpp:delay"  # 0203
DIALBACK = "jabber:server:dialback"  # 0220
DIALBACK_FEATURE = "urn:xmpp:features:dialback"  # 0220
DISCO_INFO = "http://jabber.org/protocol/disco#info"  # 0030
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"  # 0030
EXPIRE = "jabber:x:expire"  # 0023
FORM = "jabber:x:data"  # 0004
FORWARD = "urn:xmpp:forward:0"  # 0297
HINTS = "urn:xmpp:hints"  # 0334
JINGLE_MESSAGE = "urn:xmpp:jingle-message:0"  # 0353
LAST = "jabber:iq:last"  # 0012
LIMITS = "urn:xmpp:stream-limits:0"  # 0478
MAM = "urn:xmpp:mam:2"  # 0313
MARKERS = "urn:xmpp:chat-markers:0"  # 0333
MUC_USER = "http://jabber.org/protocol/muc#user"  # 0045
OCCUPANT_ID = "urn:xmpp:occupant-id:0"  # 0421
OFFLINE = "http://jabber.org/protocol/offline"  # 0013
OOB = "jabber:x:oob"  # 0066
PIE = "urn:xmpp:pie:0"  # 0227
PIE_MAM = "urn:xmpp:pie:0#mam"  # 0227
PIE_SCRAM = "urn:xmpp:pie:0#scram"  # 0227
PING = "urn:xmpp:ping"  # 0199
PRIVACY = "jabber:iq:privacy"  # 0016
PRIVATE = "jabber:iq:private"  # 0049
PUBSUB = "http://jabber.org/protocol/pubsub"  # 0060
PUBSUB_EVENT = "http://jabber.org/protocol/pubsub#event"  # 0060
PUSH = "urn:xmpp:push:0"  # 0357
REACTIONS = "urn:xmpp:reactions:0"  # 0444
RECEIPTS = "urn:xmpp:receipts"  # 0184
REGISTER = "jabber:iq:register"  # 0077
REGISTER_FEATURE = "http://jabber.org/features/iq-register"  # 0077
SID = "urn:xmpp:sid:0"  # 0359
SM = "urn:xmpp:sm:3"  # 0198
SM_2 = "urn:xmpp:sm:2"  # 0198, before version 1.3
TIME = "urn:xmpp:time"  # 0202
VALIDATE = "http://jabber.org/protocol/xdata-validate"  # 0122
VERSION = "jabber:iq:version"  # 0092
XINCLUDE = "http://www.w3.org/2001/XInclude"  # 0227
