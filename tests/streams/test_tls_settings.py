"""What a handshake may agree on, what an operator may choose of it, and the channel bindings that come out."""

from __future__ import annotations

import base64
import hashlib
import ssl
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from federix.streams import tls as tls_module
from federix.streams.tls import (
    TlsSettings,
    TlsSettingsError,
    channel_bindings,
    end_point_binding,
    negotiated,
    server_context,
)
from tests.streams.handshakes import Identity, StandardClient, carry, client_end, creator_for, shake

SERVER = Identity("a", "a.example")


class BindingTests(SynchronousTestCase):
    def joined(self, version: int, identity: Identity = SERVER) -> tuple[SSL.Connection, SSL.Connection]:
        server = creator_for(identity).serverConnectionForTLS(None)
        client = client_end("a.example", [b"xmpp-client"], version=version)
        shake(server, client)
        return server, client

    def test_both_ends_of_tls_1_3_have_the_same_bindings(self) -> None:
        server, client = self.joined(SSL.TLS1_3_VERSION)
        bindings = channel_bindings(server)
        self.assertEqual(bindings, channel_bindings(client, client=True))
        self.assertEqual(list(bindings), ["tls-exporter", "tls-server-end-point"])
        self.assertEqual(len(bindings["tls-exporter"]), 32)
        digest = hashlib.sha256(SERVER.certificate.public_bytes(Encoding.DER)).digest()
        self.assertEqual(bindings["tls-server-end-point"], digest)

    def test_both_ends_of_tls_1_2_have_the_same_bindings(self) -> None:
        server, client = self.joined(SSL.TLS1_2_VERSION)
        bindings = channel_bindings(server)
        self.assertEqual(bindings, channel_bindings(client, client=True))
        self.assertEqual(list(bindings), ["tls-unique", "tls-server-end-point"])
        self.assertEqual(len(bindings["tls-unique"]), 12)

    def test_another_implementation_computes_the_same_tls_unique(self) -> None:
        client = StandardClient(maximum=ssl.TLSVersion.TLSv1_2)
        server = client.join(creator_for(SERVER))
        self.assertEqual(client.end.get_channel_binding("tls-unique"), channel_bindings(server)["tls-unique"])

    def test_two_connections_never_share_a_unique_binding(self) -> None:
        for version, name in ((SSL.TLS1_2_VERSION, "tls-unique"), (SSL.TLS1_3_VERSION, "tls-exporter")):
            values = {channel_bindings(self.joined(version)[0])[name] for _ in range(2)}
            self.assertEqual(len(values), 2)

    def test_a_signature_without_hash_has_no_end_point_binding(self) -> None:
        with mock.patch.object(hashes, "SHA256", lambda: None):
            plain = Identity("a", "a.example", key=ed25519.Ed25519PrivateKey.generate())
        server, _ = self.joined(SSL.TLS1_3_VERSION, plain)
        self.assertEqual(list(channel_bindings(server)), ["tls-exporter"])

    def test_the_hash_is_the_signatures_own_unless_it_is_a_broken_one(self) -> None:
        for algorithm, used in ((hashes.SHA1(), "sha256"), (hashes.MD5(), "sha256"), (hashes.SHA512(), "sha512")):
            certificate = mock.Mock(signature_hash_algorithm=algorithm)
            certificate.public_bytes.return_value = b"DER"
            self.assertEqual(end_point_binding(certificate), hashlib.new(used, b"DER").digest())

    def test_what_was_negotiated_is_told(self) -> None:
        server, client = self.joined(SSL.TLS1_2_VERSION)
        self.assertEqual(negotiated(server), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", b"xmpp-client"))
        self.assertEqual(negotiated(server), negotiated(client))
        server = creator_for(SERVER).serverConnectionForTLS(None)
        shake(server, client_end("a.example"))
        self.assertEqual((negotiated(server).version, negotiated(server).alpn), ("TLSv1.3", None))


class SettingsTests(SynchronousTestCase):
    def agreed(self, settings: TlsSettings, identity: Identity = SERVER, version: int | None = None) -> str:
        server = creator_for(identity, settings).serverConnectionForTLS(None)
        shake(server, client_end("a.example", version=version))
        return negotiated(server).cipher

    def test_old_versions_are_refused(self) -> None:
        """RFC 8996 §4, §5: TLS 1.0 and 1.1 "MUST NOT" be used."""
        client = StandardClient(
            minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1, ciphers="DEFAULT@SECLEVEL=0"
        )
        with self.assertRaisesRegex(SSL.Error, "unsupported protocol"):
            client.join(creator_for(SERVER, TlsSettings(ciphers="ALL:@SECLEVEL=0")))

    def test_sessions_are_not_resumed(self) -> None:
        """A resumed session has another tls-unique than its two ends would compute."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            creator = creator_for(SERVER)
            client = StandardClient(minimum=version, maximum=version)
            client.join(creator).shutdown()  # without it OpenSSL throws the session away anyhow
            session = client.end.session
            client.join(creator, session)
            self.assertFalse(client.end.session_reused)

    def test_a_client_cannot_renegotiate(self) -> None:
        server, client = creator_for(SERVER).serverConnectionForTLS(None), client_end(version=SSL.TLS1_2_VERSION)
        shake(server, client)
        client.renegotiate()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        carry(client, server)
        self.assertRaises(SSL.WantReadError, server.recv, 1)
        carry(server, client)
        self.assertRaisesRegex(SSL.Error, "no renegotiation", client.do_handshake)

    def test_idle_connections_give_their_buffers_back(self) -> None:
        context: Any = server_context(None, (), (), TlsSettings(), lambda connection: None)
        self.assertTrue(context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS)
        self.assertTrue(context.set_options(0) & SSL.OP_NO_COMPRESSION)

    def test_every_word_means_what_openssl_means(self) -> None:
        self.assertEqual(tls_module._NO_RENEGOTIATION, getattr(SSL, "OP_NO_RENEGOTIATION", 1 << 30))
        bits = TlsSettings(protocol_options=("no_tlsv1_3|cipher_server_preference", "no_sslv3")).bits()
        wanted = SSL.OP_NO_TLSv1_3 | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_SSLv3
        self.assertEqual(bits, tls_module.ALWAYS | wanted)

    def test_a_version_can_be_switched_off(self) -> None:
        self.assertTrue(self.agreed(TlsSettings(protocol_options=("no_tlsv1_3",))).startswith("ECDHE-ECDSA"))

    def test_the_operators_ciphers_are_the_ones_used(self) -> None:
        chosen = TlsSettings(ciphers="TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertEqual(self.agreed(chosen), "TLS_CHACHA20_POLY1305_SHA256")
        self.assertEqual(self.agreed(chosen, version=SSL.TLS1_2_VERSION), "ECDHE-ECDSA-AES128-GCM-SHA256")

    def test_by_default_only_forward_secret_authenticated_ciphers_are_there(self) -> None:
        context = server_context(None, (), (), TlsSettings(), lambda connection: None)
        for name in SSL.Connection(context, None).get_cipher_list():
            self.assertRegex(name, "^(TLS_|ECDHE-).*(GCM|POLY1305)")

    def test_a_dhfile_brings_finite_field_key_exchange(self) -> None:
        identity = Identity("a", "a.example", key=rsa.generate_private_key(65537, 2048))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "dh.pem")
            path.write_bytes(ffdhe2048())
            cipher = "DHE-RSA-AES128-GCM-SHA256"
            self.assertEqual(
                self.agreed(TlsSettings(ciphers=cipher, dhfile=str(path)), identity, SSL.TLS1_2_VERSION), cipher
            )
            context = server_context(None, (), (), TlsSettings(dhfile=str(path)), lambda connection: None)
            self.assertIn("DHE-RSA-AES128-GCM-SHA256", SSL.Connection(context, None).get_cipher_list())

    def test_settings_that_cannot_be_are_named(self) -> None:
        for settings, text in (
            (TlsSettings(protocol_options=("no_tlsv1_9",)), "protocol_options: unknown word 'no_tlsv1_9'; known: "),
            (TlsSettings(ciphers="NONE-SUCH"), "ciphers: OpenSSL finds no cipher in 'NONE-SUCH'"),
            (TlsSettings(ciphers="TLS_NONE"), "ciphers: OpenSSL finds no cipher in 'TLS_NONE'"),
            (TlsSettings(dhfile="/none/such"), "dhfile: /none/such: no such file"),
        ):
            with self.assertRaisesRegex(TlsSettingsError, text):
                server_context(None, (), (), settings, lambda connection: None)


def ffdhe2048() -> bytes:
    """The group of RFC 7919 appendix A.1, from its formula."""
    euler, term = Fraction(0), Fraction(1)
    for number in range(1, 400):
        euler += term
        term /= number
    prime = 2**2048 - 2**1984 + (int(euler * 2**1918) + 560316) * 2**64 - 1
    der = bytes.fromhex("30820108 02820101 00") + prime.to_bytes(256, "big") + bytes.fromhex("020102")
    return b"-----BEGIN DH PARAMETERS-----\n" + base64.encodebytes(der) + b"-----END DH PARAMETERS-----\n"
