"""What can go wrong, by blast radius: a stanza, a login, a stream.

Raise the smallest thing that ends the right thing. One place for each turns it into protocol.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .element import Element


class ErrorType(StrEnum):
    """RFC 6120 §8.3.2: what the sender may do about it."""

    AUTH = "auth"
    CANCEL = "cancel"
    CONTINUE = "continue"
    MODIFY = "modify"
    WAIT = "wait"


class Condition(Enum):
    """RFC 6120 §8.3.3: the defined conditions of a stanza error.

    Each has a *tag*, the name of its element, and a *kind*, the type that the RFC gives it.
    """

    BAD_REQUEST = ("bad-request", ErrorType.MODIFY)
    CONFLICT = ("conflict", ErrorType.CANCEL)
    FEATURE_NOT_IMPLEMENTED = ("feature-not-implemented", ErrorType.CANCEL)
    FORBIDDEN = ("forbidden", ErrorType.AUTH)
    GONE = ("gone", ErrorType.CANCEL)
    INTERNAL_SERVER_ERROR = ("internal-server-error", ErrorType.CANCEL)
    ITEM_NOT_FOUND = ("item-not-found", ErrorType.CANCEL)
    JID_MALFORMED = ("jid-malformed", ErrorType.MODIFY)
    NOT_ACCEPTABLE = ("not-acceptable", ErrorType.MODIFY)
    NOT_ALLOWED = ("not-allowed", ErrorType.CANCEL)
    NOT_AUTHORIZED = ("not-authorized", ErrorType.AUTH)
    POLICY_VIOLATION = ("policy-violation", ErrorType.MODIFY)
    RECIPIENT_UNAVAILABLE = ("recipient-unavailable", ErrorType.WAIT)
    REDIRECT = ("redirect", ErrorType.MODIFY)
    REGISTRATION_REQUIRED = ("registration-required", ErrorType.AUTH)
    REMOTE_SERVER_NOT_FOUND = ("remote-server-not-found", ErrorType.CANCEL)
    REMOTE_SERVER_TIMEOUT = ("remote-server-timeout", ErrorType.WAIT)
    RESOURCE_CONSTRAINT = ("resource-constraint", ErrorType.WAIT)
    SERVICE_UNAVAILABLE = ("service-unavailable", ErrorType.CANCEL)
    SUBSCRIPTION_REQUIRED = ("subscription-required", ErrorType.AUTH)
    UNDEFINED_CONDITION = ("undefined-condition", ErrorType.CANCEL)
    UNEXPECTED_REQUEST = ("unexpected-request", ErrorType.WAIT)

    def __init__(self, tag: str, kind: ErrorType) -> None:
        self.tag = tag
        self.kind = kind


class StreamCondition(StrEnum):
    """RFC 6120 §4.9.3: the defined conditions of a stream error."""

    BAD_FORMAT = "bad-format"
    BAD_NAMESPACE_PREFIX = "bad-namespace-prefix"
    CONFLICT = "conflict"
    CONNECTION_TIMEOUT = "connection-timeout"
    HOST_GONE = "host-gone"
    HOST_UNKNOWN = "host-unknown"
    IMPROPER_ADDRESSING = "improper-addressing"
    INTERNAL_SERVER_ERROR = "internal-server-error"
    INVALID_FROM = "invalid-from"
    INVALID_NAMESPACE = "invalid-namespace"
    INVALID_XML = "invalid-xml"
    NOT_AUTHORIZED = "not-authorized"
    NOT_WELL_FORMED = "not-well-formed"
    POLICY_VIOLATION = "policy-violation"
    REMOTE_CONNECTION_FAILED = "remote-connection-failed"
    RESET = "reset"
    RESOURCE_CONSTRAINT = "resource-constraint"
    RESTRICTED_XML = "restricted-xml"
    SEE_OTHER_HOST = "see-other-host"
    SYSTEM_SHUTDOWN = "system-shutdown"
    UNDEFINED_CONDITION = "undefined-condition"
    UNSUPPORTED_ENCODING = "unsupported-encoding"
    UNSUPPORTED_FEATURE = "unsupported-feature"
    UNSUPPORTED_STANZA_TYPE = "unsupported-stanza-type"
    UNSUPPORTED_VERSION = "unsupported-version"


class SaslCondition(StrEnum):
    """RFC 6120 §6.5: the defined conditions of a failed login."""

    ABORTED = "aborted"
    ACCOUNT_DISABLED = "account-disabled"
    CREDENTIALS_EXPIRED = "credentials-expired"
    ENCRYPTION_REQUIRED = "encryption-required"
    INCORRECT_ENCODING = "incorrect-encoding"
    INVALID_AUTHZID = "invalid-authzid"
    INVALID_MECHANISM = "invalid-mechanism"
    MALFORMED_REQUEST = "malformed-request"
    MECHANISM_TOO_WEAK = "mechanism-too-weak"
    NOT_AUTHORIZED = "not-authorized"
    TEMPORARY_AUTH_FAILURE = "temporary-auth-failure"


class StanzaError(Exception):
    """Ends one stanza: it goes back to its sender with *condition* (RFC 6120 §8.3).

    *text* is for people, in English, and says nothing of the server's inside. *kind* is what the sender may do about
    it, where that is not what the condition usually has.
    """

    def __init__(self, condition: Condition, text: str = "", kind: ErrorType | None = None) -> None:
        super().__init__(condition.tag, text)
        self.condition = condition
        self.text = text
        self.kind = kind or condition.kind


class StreamError(Exception):
    """Ends one stream (RFC 6120 §4.9) with *condition*; *text* is for people. See `Session.end`.

    *detail* says more in a namespace of its own (§4.9.4).
    """

    def __init__(self, condition: StreamCondition, text: str = "", detail: Element | None = None) -> None:
        super().__init__(condition.value, text)
        self.condition = condition
        self.text = text
        self.detail = detail


class SaslFailure(Exception):
    """Ends one login attempt (RFC 6120 §6.5)."""

    def __init__(self, condition: SaslCondition, text: str = "") -> None:
        super().__init__(condition.value, text)
        self.condition = condition
        self.text = text
