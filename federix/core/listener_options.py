"""What can be set on a listener: for all kinds of them, for clients, for servers. See also `component_options`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from federix.core.options import ConfigError, ListNode, Node, Options, did_you_mean, option
from federix.core.options.values import FileMode, word
from federix.core.rules import AccessRule, ShaperRule

PROTOCOL_OPTIONS = (
    *("cipher_server_preference", "no_compression", "no_encrypt_then_mac", "no_renegotiation", "no_sslv2", "no_sslv3"),
    *("no_ticket", "no_tlsv1", "no_tlsv1_1", "no_tlsv1_2", "no_tlsv1_3", "prioritize_chacha", "single_dh_use"),
    "single_ecdh_use",
)
"""The words for OpenSSL's options, in ejabberd's spelling."""


def read_protocol_options(node: Node, path: str) -> tuple[str, ...]:
    """OpenSSL's options by name: a list, or one string with `|` between them."""
    found: list[str] = []
    for part in node.items if isinstance(node, ListNode) else (node,):
        for name in word(part, path, "the name of an option of OpenSSL").split("|"):
            if name.strip() not in PROTOCOL_OPTIONS:
                hint = did_you_mean(name, PROTOCOL_OPTIONS)
                raise ConfigError(path, f"{name.strip()!r} is no option of OpenSSL{hint}", part.place)
            found.append(name.strip())
    return tuple(found)


def read_ciphers(node: Node, path: str) -> str | None:
    """OpenSSL's names with colons between them, or a list of names."""
    if isinstance(node, ListNode):
        return ":".join(word(item, path, "the name of a cipher") for item in node.items) or None
    return word(node, path, "names of ciphers")


@dataclass(frozen=True)
class UnixSocketOptions(Options):
    """Who may use the socket file of a listener whose port is `unix:PATH`."""

    mode: FileMode = option(FileMode(0o660), "The file's mode, in octal.")
    owner: str | None = option(None, "User who owns the file; none leaves it to the server's own.")
    group: str | None = option(None, "Group that owns the file; none leaves it to the server's own.")


@dataclass(frozen=True)
class ListenerOptions(Options):
    """What every listener has, beside module, port, ip and transport."""

    backlog: int = option(128, "Connections the system may hold before they are accepted.", minimum=1, maximum=65535)
    send_timeout: float = option(15.0, "Seconds a peer may take none of what is sent to it.", unit="s", minimum=1)
    unix_socket: UnixSocketOptions = option(UnixSocketOptions(), "Who may use the socket file of a `unix:PATH` port.")


@dataclass(frozen=True)
class StreamOptions(ListenerOptions):
    """What every listener has where XML streams are spoken."""

    shaper: ShaperRule = option(ShaperRule("none"), "How fast a peer may send.")

    tls: bool = option(False, "Speak TLS from the first byte.")
    ciphers: str | None = option(
        None,
        "Ciphers in OpenSSL's names; none: c2s_ciphers for clients, s2s_ciphers for servers, our own choice for"
        " components.",
        kind=read_ciphers,
    )
    protocol_options: tuple[str, ...] | None = option(
        None,
        "OpenSSL's options by name, as no_tlsv1_2; none: c2s_protocol_options for clients, s2s_protocol_options for"
        " servers.",
        kind=read_protocol_options,
    )
    dhfile: str | None = option(
        None, "File of Diffie-Hellman parameters; none: c2s_dhfile for clients, s2s_dhfile for servers."
    )

    max_stanza_size: int | None = option(
        262144,
        "Bytes of the largest stanza. Of one with very many small elements it is less: it may take five times as many"
        " bytes in memory, where an element takes some 400 and an attribute 200.",
        unit="bytes",
        minimum=10000,
        infinity=True,
    )
    max_stanza_elements: int | None = option(10000, "Elements in one stanza.", minimum=10, infinity=True)
    max_stanza_depth: int = option(64, "Levels of elements in one stanza.", minimum=8, maximum=1000)
    max_stanza_attributes: int = option(64, "Attributes of one element.", minimum=8, maximum=1000)
    pre_auth_max_stanza_size: int = option(
        8192, "Bytes of the largest stanza before the login.", unit="bytes", minimum=1000
    )
    pre_auth_max_stanza_elements: int = option(32, "Elements in one stanza before the login.", minimum=5)
    pre_auth_max_stanza_depth: int = option(8, "Levels of elements before the login.", minimum=4, maximum=1000)
    pre_auth_max_stanza_attributes: int = option(
        16, "Attributes of one element before the login.", minimum=6, maximum=1000
    )

    max_fsm_queue: int = option(10000, "Stanzas that may wait for a peer that reads too slowly.", minimum=10)
    max_queue_size: int = option(
        1048576,
        "Bytes that may wait for a peer that reads too slowly; a burst may go 768 KiB beyond it for 5 s.",
        unit="bytes",
        minimum=65536,
    )
    max_connections_per_address: int | None = option(
        256,
        "Connections open at once from one IP address (IPv6: one /64). Those from this machine itself are not limited,"
        " nor is their rate.",
        minimum=1,
        infinity=True,
    )
    max_connections_per_second: int | None = option(
        20,
        "New connections a second from one IP address (IPv6: one /64); those of five seconds may come at once.",
        minimum=1,
        infinity=True,
    )

    def check(self) -> Iterable[tuple[str, str]]:
        for name in ("size", "elements", "depth", "attributes"):
            after = getattr(self, f"max_stanza_{name}")
            if after is not None and getattr(self, f"pre_auth_max_stanza_{name}") > after:
                yield f"pre_auth_max_stanza_{name}", f"must not be more than max_stanza_{name}"


@dataclass(frozen=True)
class LoginOptions(StreamOptions):
    """What a listener has beside where a password may be guessed."""

    max_failed_logins_per_address: int | None = option(
        20, "Failed logins from one IP address before it is refused.", minimum=1, infinity=True
    )
    failed_login_memory: float = option(3600.0, "Seconds for which a failed login counts.", unit="s", minimum=1)


@dataclass(frozen=True)
class C2SOptions(LoginOptions):
    """A listener of `module: ejabberd_c2s`, where clients connect."""

    access: AccessRule = option(AccessRule("c2s"), "Who may log in here.")
    shaper: ShaperRule = option(ShaperRule("none"), "How fast a client may send.")

    tls: bool = option(False, "Speak TLS from the first byte (XEP-0368), as on port 5223.")
    starttls: bool = option(True, "Offer TLS inside the stream (RFC 6120 §5); without meaning where tls is true.")
    starttls_required: bool = option(True, "Refuse to log in clients that do not use TLS.")

    def check(self) -> Iterable[tuple[str, str]]:
        if self.starttls_required and not (self.starttls or self.tls):
            yield "starttls", "is off and so is tls: set 'starttls_required: false' to let clients in without TLS"
        yield from super().check()


@dataclass(frozen=True)
class S2SInOptions(StreamOptions):
    """A listener of `module: ejabberd_s2s_in`, where other servers connect. Whether TLS is offered inside the stream,
    or demanded, says the option s2s_use_starttls."""

    shaper: ShaperRule = option(ShaperRule("none"), "How fast a server may send.")
    tls: bool = option(False, "Speak TLS from the first byte (XEP-0368), as on port 5270.")

    # A server speaks for many users at once.
    max_stanza_size: int | None = option(
        524288,
        "Bytes of the largest stanza. Of one with very many small elements it is less: it may take five times as many"
        " bytes in memory, where an element takes some 400 and an attribute 200.",
        unit="bytes",
        minimum=10000,
        infinity=True,
    )
    # Its clients' own, and what it adds to them: 'from' and 'xml:lang'.
    max_stanza_attributes: int = option(72, "Attributes of one element.", minimum=8, maximum=1000)
    max_fsm_queue: int = option(20000, "Stanzas that may wait for a server that reads too slowly.", minimum=10)
    max_queue_size: int = option(
        2097152,
        "Bytes that may wait for a server that reads too slowly; a burst may go 768 KiB beyond it for 5 s.",
        unit="bytes",
        minimum=65536,
    )
