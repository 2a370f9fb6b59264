"""The one import for those who write modules, and the only promise of stability."""

from . import __version__ as SOFTWARE_VERSION
from .core import hooks
from .core.archive_ids import ArchiveIds, UnknownArchiveId
from .core.chain import HANDLED, Collect, Event, Filter, Handled, Outcome, Slot, Watch
from .core.commands import CommandError, Progress, command
from .core.delivery import SUBSCRIPTION_TYPES
from .core.host import Host
from .core.iq import IQ_TIMEOUT, RequestError, check_iq, iq_get, iq_set
from .core.keys import Key, Notes
from .core.module import Module, Rfc, Xep, on_demand
from .core.options import HostPattern, Secret, option
from .core.passage import fingerprint, unclaimed
from .core.portable import Arrival, Arrived, NotTaken, Portable, Take
from .core.remote import DomainPair, Proof, RemoteServer
from .core.rules import AccessRule, ShaperRule
from .core.s2s_rules import BIDI as S2S_BIDI
from .core.s2s_rules import DIALBACK as S2S_DIALBACK
from .core.session import Candidate, Session
from .core.stream_management import STREAM_MANAGEMENT, StreamManagement
from .life.scope import Scope, Timer
from .life.together import together
from .life.turns import Share, TooManyWait, Turns
from .storage.archive import ArchiveRow, Archives, Span
from .storage.codec import BYTES, ELEMENT, JSON, STANZA, TEXT, Codec, Json
from .storage.roster import Contact, Relations, Roster, RosterItem, Rosters, Transition
from .storage.shapes import Document, Log, Table
from .storage.storage import StoreError
from .xmpp import caps, carbons, delay, forms, forward, hints, ns, rsm
from .xmpp.element import Element
from .xmpp.errors import Condition, ErrorType, StanzaError, StreamCondition, StreamError
from .xmpp.jid import JID, InvalidJID
from .xmpp.stanza import IQ, Message, Presence, Stanza, error_element, iq, message, presence

__all__ = [
    "BYTES",
    "ELEMENT",
    "HANDLED",
    "IQ",
    "IQ_TIMEOUT",
    "JID",
    "JSON",
    "S2S_BIDI",
    "S2S_DIALBACK",
    "SOFTWARE_VERSION",
    "STANZA",
    "STREAM_MANAGEMENT",
    "SUBSCRIPTION_TYPES",
    "TEXT",
    "AccessRule",
    "ArchiveIds",
    "ArchiveRow",
    "Archives",
    "Arrival",
    "Arrived",
    "Candidate",
    "Codec",
    "Collect",
    "CommandError",
    "Condition",
    "Contact",
    "Document",
    "DomainPair",
    "Element",
    "ErrorType",
    "Event",
    "Filter",
    "Handled",
    "Host",
    "HostPattern",
    "InvalidJID",
    "Json",
    "Key",
    "Log",
    "Message",
    "Module",
    "NotTaken",
    "Notes",
    "Outcome",
    "Portable",
    "Presence",
    "Progress",
    "Proof",
    "Relations",
    "RemoteServer",
    "RequestError",
    "Rfc",
    "Roster",
    "RosterItem",
    "Rosters",
    "Scope",
    "Secret",
    "Session",
    "ShaperRule",
    "Share",
    "Slot",
    "Span",
    "Stanza",
    "StanzaError",
    "StoreError",
    "StreamCondition",
    "StreamError",
    "StreamManagement",
    "Table",
    "Take",
    "Timer",
    "TooManyWait",
    "Transition",
    "Turns",
    "UnknownArchiveId",
    "Watch",
    "Xep",
    "caps",
    "carbons",
    "check_iq",
    "command",
    "delay",
    "error_element",
    "fingerprint",
    "forms",
    "forward",
    "hints",
    "hooks",
    "iq",
    "iq_get",
    "iq_set",
    "message",
    "ns",
    "on_demand",
    "option",
    "presence",
    "rsm",
    "together",
    "unclaimed",
]
