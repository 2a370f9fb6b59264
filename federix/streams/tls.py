"""TLS on an open connection: one way in for STARTTLS and for direct TLS, with any clock and any transport."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IReactorTime,
)
from twisted.protocols.policies import ProtocolWrapper

from ..xmpp.sasl.bindings import EXPORTER, EXPORTER_LABEL, EXPORTER_LENGTH, SERVER_END_POINT, UNIQUE, server_end_point
from .tls_transport import Maker, TlsTransport

try:
    from OpenSSL._util import lib as _lib

    _clear_errors: Callable[[], None] | None = _lib.ERR_clear_error
except (ImportError, AttributeError):  # pragma: no cover - a pyOpenSSL to come
    _clear_errors = None

MODERN_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""RFC 9325 §4.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else anyway."""

FINITE_FIELD_CIPHERS: Final = ":DHE+AESGCM:DHE+CHACHA20:!aDSS"
"""Added for those who give a dhfile: without parameters OpenSSL offers none of these."""

_NO_ENCRYPT_THEN_MAC: Final = 1 << 19
_PRIORITIZE_CHACHA: Final = 1 << 21
_NO_RENEGOTIATION: Final = 1 << 30
"""Options of OpenSSL that not every pyOpenSSL, or its types, has a name for."""

MAX_DEPTH: Final = 9
"""Issuers above a certificate that OpenSSL looks at during a handshake; honest chains have two or three."""

ALWAYS: Final = (
    SSL.OP_NO_COMPRESSION  # RFC 9325 §3.3: compression gives secrets away by their length
    | _NO_RENEGOTIATION  # tls-unique changes with it, and a client could keep us busy for nothing
    | SSL.OP_NO_TICKET  # a resumed handshake has another tls-unique (RFC 5929 §3.1)
)

PROTOCOL_OPTIONS: Final[dict[str, int]] = {
    "cipher_server_preference": SSL.OP_CIPHER_SERVER_PREFERENCE,
    "no_compression": SSL.OP_NO_COMPRESSION,
    "no_encrypt_then_mac": _NO_ENCRYPT_THEN_MAC,
    "no_renegotiation": _NO_RENEGOTIATION,
    "no_sslv2": SSL.OP_NO_SSLv2,
    "no_sslv3": SSL.OP_NO_SSLv3,
    "no_ticket": SSL.OP_NO_TICKET,
    "no_tlsv1": SSL.OP_NO_TLSv1,
    "no_tlsv1_1": SSL.OP_NO_TLSv1_1,
    "no_tlsv1_2": SSL.OP_NO_TLSv1_2,
    "no_tlsv1_3": SSL.OP_NO_TLSv1_3,
    "prioritize_chacha": _PRIORITIZE_CHACHA,
    "single_dh_use": SSL.OP_SINGLE_DH_USE,
    "single_ecdh_use": SSL.OP_SINGLE_ECDH_USE,
}
"""The words an operator may write under ``protocol_options``, in ejabberd's spelling, and OpenSSL's bit for each."""


class TlsSettingsError(ValueError):
    """An operator's TLS setting that OpenSSL does not take; the text says which and why."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What an operator may choose about TLS: ejabberd's ``ciphers``, ``protocol_options`` and ``dhfile``."""

    ciphers: str | None = None
    protocol_options: tuple[str, ...] = ()
    dhfile: str | None = None

    def bits(self) -> int:
        """The options for OpenSSL, as one number; raises `TlsSettingsError` for a word nobody knows."""
        bits: int = ALWAYS
        for word in (word for option in self.protocol_options for word in option.split("|")):
            if word not in PROTOCOL_OPTIONS:
                raise TlsSettingsError(f"protocol_options: unknown word {word!r}; known: {', '.join(PROTOCOL_OPTIONS)}")
            bits |= PROTOCOL_OPTIONS[word]
        return bits


class NoApplicationProtocol(SSL.Error):
    """The other side offered application protocols (ALPN), but none of ours."""


def server_context(
    key: PrivateKeyTypes | None,
    chain: Sequence[x509.Certificate],
    alpn: Sequence[bytes],
    settings: TlsSettings,
    on_server_name: Callable[[SSL.Connection], None],
    *,
    request_certificate: bool = False,
) -> SSL.Context:
    """An OpenSSL context that shows *chain* (the host's own certificate first) to whoever connects.

    Without *key* and *chain* every handshake fails, unless *on_server_name* puts another context in its place.
    *alpn*: the application protocols spoken, best first; empty to leave ALPN alone. With *request_certificate* the
    other side is asked for a certificate: none is demanded and any is let through, for the caller to judge.
    Raises `TlsSettingsError`, or `SSL.Error` when OpenSSL refuses the key or the certificate (too weak).
    """
    context = _context(SSL.TLS_SERVER_METHOD, key, chain, settings)
    context.set_tlsext_servername_callback(on_server_name)
    if alpn:
        context.set_alpn_select_callback(_selector(alpn))
    if request_certificate:
        context.set_session_id(b"federix")
        context.set_verify_depth(MAX_DEPTH)
        context.set_verify(SSL.VERIFY_PEER, _let_through)
    return cast("SSL.Context", context)


def client_context(
    key: PrivateKeyTypes | None, chain: Sequence[x509.Certificate], alpn: Sequence[bytes], settings: TlsSettings
) -> SSL.Context:
    """An OpenSSL context to connect with, which shows *chain* (our own certificate first) to whoever asks for it.

    Without *key* and *chain* it shows none. *alpn*: the application protocols offered, best first; empty to leave ALPN
    alone. Any certificate of the other side's is let through, for the caller to judge. Raises what `server_context`
    does.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, key, chain, settings)
    if alpn:
        context.set_alpn_protos(list(alpn))
    # A client that has set nothing else is told the certificate, and goes on whatever it is.
    context.set_verify_depth(MAX_DEPTH)
    context.set_verify(SSL.VERIFY_NONE)
    return cast("SSL.Context", context)


def _context(method: int, key: PrivateKeyTypes | None, chain: Sequence[x509.Certificate], settings: TlsSettings) -> Any:
    # pyOpenSSL freezes a context with its first connection: all is set here, and nothing is changed later.
    context: Any = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)  # RFC 8996 §4, §5: TLS 1.0 and 1.1 MUST NOT be used
    context.set_options(settings.bits())
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # halves the memory of an idle connection
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    _set_ciphers(context, settings)
    if key is not None:
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    return context


def _set_ciphers(context: SSL.Context, settings: TlsSettings) -> None:
    default = MODERN_CIPHERS + (FINITE_FIELD_CIPHERS if settings.dhfile else "")
    words = (settings.ciphers or default).split(":")
    newest = [word for word in words if word.startswith("TLS_")]
    older = [word for word in words if not word.startswith("TLS_")]
    try:
        if newest:
            context.set_tls13_ciphersuites(":".join(newest).encode())
        if older:
            context.set_cipher_list(":".join(older).encode())
    except SSL.Error:
        raise TlsSettingsError(f"ciphers: OpenSSL finds no cipher in {settings.ciphers!r}") from None
    if settings.dhfile is None:
        return
    try:
        context.load_tmp_dh(settings.dhfile)
    except SSL.Error as error:
        raise TlsSettingsError(f"dhfile: {settings.dhfile}: {openssl_reason(error)}") from None


def _selector(ours: Sequence[bytes]) -> Callable[[SSL.Connection, list[bytes]], bytes]:
    def select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
        for protocol in ours:
            if protocol in offered:
                return protocol
        # RFC 7301 §3.2: "In the event that the server supports no protocols that the client advertises, then the
        # server SHALL respond with a fatal 'no_application_protocol' alert." Raising does that; pyOpenSSL's empty
        # answer would say internal_error. The triple is how OpenSSL's own errors look, and Twisted reads it.
        raise NoApplicationProtocol([("SSL routines", "", "no application protocol")])

    return select


def _let_through(connection: SSL.Connection, certificate: object, error: int, depth: int, fine: int) -> bool:
    forget_errors()
    return True


def forget_errors() -> None:
    """Empty the thread's list of OpenSSL errors, after asking OpenSSL what may have left some there.

    A wrong signature in somebody's chain does, even where it is let through; and OpenSSL before its version 4 takes
    what it finds there for the failure of whatever connection is read from next.
    """
    if _clear_errors is not None:
        _clear_errors()


def openssl_reason(error: SSL.Error) -> str:
    """What OpenSSL complained about, in its own words, without codes."""
    stack = error.args[0] if error.args else ()
    return "; ".join(str(entry[-1]) for entry in stack if entry[-1]) or "OpenSSL gives no reason"


def start_tls(
    protocol: IProtocol,
    transport: Any,
    creator: IOpenSSLServerConnectionCreator | IOpenSSLClientConnectionCreator,
    clock: IReactorTime,
    *,
    client: bool = False,
) -> TlsTransport:
    """Put TLS between the connected plain *transport* and *protocol*; returns the transport to write to from now on.

    The handshake begins at once (a client speaks first). ``protocol.transport`` becomes the TLS transport;
    ``connectionMade`` is not called again, ``connectionLost`` is called once, as ever. What is written before the
    handshake is done waits for it. A protocol that provides ``IHandshakeListener`` is told when it is done, and only
    then may `channel_bindings` and `negotiated` be asked. A producer registered on *transport* moves along.

    *transport* may be a socket of the reactor's, one in memory, or a `ProtocolWrapper` (the PROXY protocol): anything
    that hands what it reads to its ``protocol`` attribute. Bytes that came in plain text behind ``<starttls/>`` are
    for the caller to drop (RFC 6120 §5.4.3.3), and so are three habits of Twisted's: a producer must be unregistered
    before ``loseConnection``, or nothing is closed, and must be a push producer, since Twisted drives the other kind
    by the global reactor; a peer may never answer the closing, so abort after some seconds;
    and bytes of one read keep coming for a moment after ``pauseProducing``, as they do on a plain socket.
    """
    # Twisted's own startTLS would take the global reactor for its clock.
    tls: Any = TlsTransport(Maker(creator, client, clock), protocol)
    producer = getattr(transport, "producer", None)
    streaming = bool(getattr(transport, "streamingProducer", True))
    if producer is not None:
        transport.unregisterProducer()
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = tls
    else:
        transport.protocol = tls
    cast("Any", protocol).transport = tls
    tls.makeConnection(transport)
    if producer is not None:
        tls.registerProducer(producer, streaming)
    return cast("TlsTransport", tls)


class Negotiated(NamedTuple):
    """What a handshake agreed on: ``TLSv1.3``, the cipher's name, and the application protocol if one was."""

    version: str
    cipher: str
    alpn: bytes | None


def negotiated(connection: SSL.Connection) -> Negotiated:
    """What the finished handshake of *connection* agreed on."""
    return Negotiated(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        connection.get_alpn_proto_negotiated() or None,
    )


def channel_bindings(connection: SSL.Connection, *, client: bool = False) -> dict[str, bytes]:
    """The channel bindings that the finished handshake of *connection* has, by name, strongest first.

    ``tls-exporter`` (RFC 9266) with TLS 1.3 only: below it is safe only with an extension nobody tells us about.
    ``tls-unique`` (RFC 5929 §3) below TLS 1.3 only, where RFC 8446 does not define it any more. *client*: whether we
    are the client of the handshake.
    """
    bindings = own_bindings(connection, client=client)
    handle: Any = connection
    certificate = (
        handle.get_peer_certificate(as_cryptography=True) if client else handle.get_certificate(as_cryptography=True)
    )
    end_point = None if certificate is None else end_point_binding(certificate)
    if end_point is not None:
        bindings[SERVER_END_POINT] = end_point
    return bindings


def own_bindings(connection: SSL.Connection, *, client: bool = False) -> dict[str, bytes]:
    """Those of `channel_bindings` that no other connection has: all but the certificate's."""
    handle: Any = connection
    if handle.get_protocol_version() >= SSL.TLS1_3_VERSION:
        return {EXPORTER: bytes(handle.export_keying_material(EXPORTER_LABEL, EXPORTER_LENGTH, b""))}
    # RFC 5929 §3.1: the first Finished message; the client's in a full handshake, and we never resume one.
    first = handle.get_finished() if client else handle.get_peer_finished()
    return {UNIQUE: first} if first else {}


def end_point_binding(certificate: x509.Certificate) -> bytes | None:
    """``tls-server-end-point`` for a server's *certificate*; ``None`` where RFC 5929 §4.1 leaves it undefined."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    name = None if algorithm is None else algorithm.name.replace("-", "_")  # as hashlib spells them
    return server_end_point(certificate.public_bytes(Encoding.DER), name)
