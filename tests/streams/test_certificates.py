"""Certificates are found for hosts, shown by SNI, exchanged while the server runs, and complained about in words."""

from __future__ import annotations

import builtins
import gc
import os
import tempfile
import weakref
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from federix.streams import certificates
from federix.streams.certificates import Certificates, self_signed
from federix.streams.tls import TlsSettings, TlsSettingsError, channel_bindings
from tests.streams.handshakes import NOW, Identity, carry, client_end, shake, shown

CLIENT = b"xmpp-client"

ROOT = Identity("Root", ca=True)
MIDDLE = Identity("Middle", issuer=ROOT, ca=True)
LOW = Identity("Low", issuer=MIDDLE, ca=True)
ONE = Identity("one", "one.example", issuer=LOW)
TWO = Identity("two", "two.example", "*.two.example", issuer=ROOT)


class CertificateCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.now = NOW

    def write(self, name: str, *parts: bytes) -> None:
        (self.folder / name).write_bytes(b"".join(parts))

    def load(self, *patterns: str, problems: Iterable[str] = ()) -> Certificates:
        """The certificates in the files of this test; their problems, without the paths, must be those given."""
        found = Certificates([str(self.folder / pattern) for pattern in patterns or ("*",)], lambda: self.now)
        self.assertEqual(self.told(found.reload()), list(problems))
        return found

    def told(self, problems: list[str]) -> list[str]:
        return [problem.replace(f"{self.folder}/", "") for problem in problems]


class FindingTests(CertificateCase):
    def test_key_and_chain_in_one_file_serve_their_host(self) -> None:
        self.write("one.pem", ONE.key_pem, ONE.pem, LOW.pem, MIDDLE.pem)
        creator = self.load().creator(CLIENT, "one.example")
        server, client = creator.serverConnectionForTLS(None), client_end("one.example")
        shake(server, client)
        seen: Any = client
        chain = seen.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual(chain, [ONE.certificate, LOW.certificate, MIDDLE.certificate])

    @settings(max_examples=40, deadline=None)
    @given(
        order=st.permutations([ONE.key_pem, ONE.pem, LOW.pem, MIDDLE.pem, ROOT.pem, TWO.key_pem, TWO.pem]),
        cuts=st.lists(st.integers(0, 7), max_size=4).map(sorted),
    )
    def test_any_spread_over_files_in_any_order_gives_the_same_chains(
        self, order: list[bytes], cuts: list[int]
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 7], strict=True)):
                if start < end:
                    Path(folder, str(number)).write_bytes(b"a comment\n".join(order[start:end]))
            found = Certificates([f"{folder}/*"], lambda: NOW)
            self.assertEqual(found.reload(), [])
            one, two = found.chain_for("one.example"), found.chain_for("two.example")
            assert one is not None and two is not None
            self.assertEqual(one.certificates, (ONE.certificate, LOW.certificate, MIDDLE.certificate))
            self.assertEqual(two.certificates, (TWO.certificate,))

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.sampled_from([b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", ONE.pem, ONE.pem[:200]])
            | st.sampled_from([ONE.key_pem, b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"])
            | st.binary(max_size=50)
        )
    )
    def test_no_file_whatever_is_in_it_raises(self, parts: list[bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "file").write_bytes(b"".join(parts))
            found = Certificates([f"{folder}/file"], lambda: NOW)
            problems = found.reload()
            self.assertTrue(problems or found.chain_for("one.example"))

    def test_of_two_issuers_with_one_key_the_one_beside_the_certificate_is_taken(self) -> None:
        """Authorities cross-sign; whoever wrote the file knew which chain he wanted."""
        other = Identity("Low", issuer=ROOT, ca=True, key=LOW.key, days=(-30, 600))
        self.write("1.pem", other.pem)
        self.write("2.pem", ONE.both, LOW.pem, MIDDLE.pem)
        chain = self.load().chain_for("one.example")
        assert chain is not None
        self.assertEqual(chain.certificates, (ONE.certificate, LOW.certificate, MIDDLE.certificate))
        self.write("2.pem", ONE.both)
        self.write("3.pem", LOW.pem, MIDDLE.pem)
        chain = self.load().chain_for("one.example")
        assert chain is not None
        self.assertEqual(chain.certificates, (ONE.certificate, other.certificate))

    def test_a_wildcard_stands_for_exactly_one_label(self) -> None:
        self.write("two.pem", TWO.both)
        found = self.load()
        self.assertIsNotNone(found.chain_for("chat.two.example"))
        self.assertIsNone(found.chain_for("a.chat.two.example"))
        self.assertIsNone(found.chain_for("xtwo.example"))

    def test_a_certificate_that_names_the_host_wins_over_a_wildcard(self) -> None:
        exact = Identity("chat", "chat.two.example")
        self.write("exact.pem", exact.both)
        self.write("two.pem", TWO.both)
        chain = self.load().chain_for("chat.two.example")
        assert chain is not None
        self.assertEqual(chain.leaf, exact.certificate)

    def test_a_valid_wildcard_wins_over_an_expired_certificate(self) -> None:
        self.write("exact.pem", Identity("chat", "chat.two.example", days=(-90, -1)).both)
        self.write("two.pem", TWO.both)
        chain = self.load().chain_for("chat.two.example")
        assert chain is not None
        self.assertEqual(chain.leaf, TWO.certificate)

    def test_of_two_certificates_for_a_host_the_newer_valid_one_is_taken(self) -> None:
        newer = Identity("a", "a.example", days=(-2, 80))
        self.write("1.pem", Identity("a", "a.example", days=(-40, 90)).both)
        self.write("2.pem", newer.both)
        self.write("3.pem", Identity("a", "a.example", days=(1, 100)).both)
        chain = self.load().chain_for("a.example")
        assert chain is not None
        self.assertEqual(chain.leaf, newer.certificate)

    def test_an_international_host_finds_its_certificate(self) -> None:
        self.write("idn.pem", Identity("idn", "xn--bcher-kva.example").both)
        found = self.load()
        self.assertIsNotNone(found.chain_for("bücher.example"))
        self.assertIsNotNone(found.chain_for("Bücher.example."))

    def test_a_name_that_is_none_finds_nothing(self) -> None:
        self.write("one.pem", ONE.both, LOW.pem, MIDDLE.pem)
        found = self.load()
        for name in ("", ".", "\ufffd", "a" * 300, "ü" * 300, "..", "*"):
            self.assertIsNone(found.chain_for(name))


class ComplaintTests(CertificateCase):
    def test_a_pattern_that_matches_nothing(self) -> None:
        self.load("*.pem", problems=["*.pem: no file matches this pattern, or its folder may not be read"])

    def test_a_file_that_is_no_pem(self) -> None:
        self.write("one.der", ONE.certificate.public_bytes(Encoding.DER))
        self.load(problems=["one.der: no PEM text in it (a file in DER form has to be converted)"])

    def test_a_key_that_does_not_match_its_certificate(self) -> None:
        self.write("a.pem", TWO.key_pem, ONE.pem)
        self.load(
            problems=[
                "a.pem: no private key in any file matches the certificate for one.example",
                "a.pem: no certificate in any file matches this private key",
            ]
        )

    def test_intermediates_without_a_key_are_no_reason_to_complain(self) -> None:
        self.write("two.pem", TWO.both, ROOT.pem, MIDDLE.pem)
        self.load()

    def test_an_encrypted_key(self) -> None:
        locked = ONE.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        self.write("key.pem", locked)
        self.load(problems=["key.pem: the private key is encrypted; store it without a passphrase"])

    def test_an_encrypted_key_in_the_old_format(self) -> None:
        kind = PrivateFormat.TraditionalOpenSSL
        self.write("key.pem", ONE.key.private_bytes(Encoding.PEM, kind, BestAvailableEncryption(b"secret")))
        self.load(problems=["key.pem: the private key is encrypted; store it without a passphrase"])

    def test_a_file_that_may_not_be_read(self) -> None:
        self.write("one.pem", ONE.both)
        with mock.patch.object(builtins, "open", side_effect=PermissionError(13, "Permission denied")):
            self.load(problems=["one.pem: permission denied"])

    def test_a_damaged_certificate_and_a_damaged_key(self) -> None:
        self.write("a.pem", ONE.pem.replace(b"M", b"N", 3), TWO.key_pem.replace(b"M", b"N", 3))
        self.load(
            problems=[
                "a.pem: a certificate in it is damaged or of an unknown kind",
                "a.pem: the private key is damaged or of an unknown kind",
            ]
        )

    def test_a_file_too_large_to_be_a_certificate_is_not_taken(self) -> None:
        self.write("log", ONE.both, b" " * certificates.MAX_FILE_BYTES)
        self.load(problems=["log: larger than 1048576 bytes, so not a certificate"])

    def test_a_common_name_covers_nothing(self) -> None:
        self.write("a.pem", Identity("a.example").both)
        self.load(problems=["a.pem: the certificate names no domain in its subjectAltName"])

    def test_a_key_too_weak_for_openssl(self) -> None:
        weak = Identity("weak", "weak.example", key=rsa.generate_private_key(65537, 1024))
        self.write("weak.pem", weak.both)
        self.load(problems=["weak.pem: OpenSSL refuses the certificate: ee key too small"])

    def test_a_host_without_certificate(self) -> None:
        self.write("two.pem", TWO.both, ROOT.pem)
        problems = self.load().check(["two.example", "other.example"])
        self.assertEqual(
            problems[-1], "other.example: no certificate in the files names this host, so nobody can use TLS there"
        )

    def test_time_turns_a_good_certificate_into_a_problem(self) -> None:
        self.write("a.pem", Identity("a", "a.example").both)
        found = self.load()
        self.assertEqual(found.check(["a.example"]), [])
        end = NOW + timedelta(days=60)
        self.now = end - timedelta(days=9, hours=1)
        expected = (
            f"a.example: the certificate in a.pem expires on {end:%Y-%m-%d}, in 9 days: from then on clients refuse it"
        )
        self.assertEqual(self.told(found.check(["a.example"])), [expected])
        self.now = end + timedelta(seconds=1)
        expected = f"a.example: the certificate in a.pem expired on {end:%Y-%m-%d}: clients refuse it"
        self.assertEqual(self.told(found.check(["a.example"])), [expected])
        self.now = NOW - timedelta(days=31)
        begin = f"{NOW - timedelta(days=30):%Y-%m-%d}"
        expected = f"a.example: the certificate in a.pem is not valid before {begin}: clients refuse it until then"
        self.assertEqual(self.told(found.check(["a.example"])), [expected])

    def test_a_certificate_without_its_intermediates(self) -> None:
        lonely = Identity("one", "one.example", issuer=LOW, fetch_issuer_at="http://ca.example/low.der")
        self.write("one.pem", lonely.both)
        expected = (
            "one.example: the certificate in one.pem stands alone: its issuer (CN=Low) is in none of the files,"
            " so many clients refuse it"
        )
        self.assertEqual(self.told(self.load().check(["one.example"])), [expected])

    def test_a_private_authority_that_signs_hosts_itself_is_no_reason_to_warn(self) -> None:
        self.write("two.pem", TWO.both)
        self.assertEqual(self.told(self.load().check(["two.example"])), [])


class HandshakeTests(CertificateCase):
    def setUp(self) -> None:
        super().setUp()
        self.write("one.pem", ONE.both, LOW.pem, MIDDLE.pem)
        self.write("two.pem", TWO.both)
        self.found = self.load()
        self.creator = self.found.creator(CLIENT, "one.example")

    def test_the_name_in_the_handshake_chooses_the_certificate(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertEqual(shown(self.creator, "one.example", version=version), ONE.certificate)
            self.assertEqual(shown(self.creator, "TWO.example", version=version), TWO.certificate)
            self.assertEqual(shown(self.creator, "chat.two.example", version=version), TWO.certificate)

    def test_no_name_and_an_unknown_name_get_the_default(self) -> None:
        self.assertEqual(shown(self.creator), ONE.certificate)
        self.assertEqual(shown(self.creator, "unknown.example"), ONE.certificate)

    def test_a_stream_that_knows_its_host_has_its_own_default(self) -> None:
        self.assertEqual(shown(self.creator.for_host("two.example")), TWO.certificate)
        self.assertEqual(shown(self.creator.for_host("two.example"), "one.example"), ONE.certificate)
        self.assertEqual(shown(self.creator), ONE.certificate)

    def test_both_ends_have_the_same_channel_bindings_at_every_connection(self) -> None:
        creator = self.creator.for_host("two.example")
        for _ in range(2):
            for version in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
                for name in ("one.example", "two.example", None):
                    server, client = creator.serverConnectionForTLS(None), client_end(name, version=version)
                    shake(server, client)
                    bindings = creator.channel_bindings(server)
                    self.assertEqual(bindings, channel_bindings(client, client=True))
                    self.assertEqual(list(bindings), list(channel_bindings(server)))

    def test_every_host_speaks_alpn(self) -> None:
        for name in ("one.example", "two.example", None):
            server, client = self.creator.serverConnectionForTLS(None), client_end(name, [b"h2", CLIENT])
            shake(server, client)
            self.assertEqual(client.get_alpn_proto_negotiated(), CLIENT)
            self.assertEqual(server.get_alpn_proto_negotiated(), CLIENT)

    def test_who_offers_only_other_protocols_is_sent_away_with_the_right_alert(self) -> None:
        """RFC 7301 §3.2: "SHALL respond with a fatal "no_application_protocol" alert"."""
        for name in ("one.example", "two.example"):
            server, client = self.creator.serverConnectionForTLS(None), client_end(name, [b"h2", b"xmpp-server"])
            with self.assertRaisesRegex(SSL.Error, "no application protocol"):
                shake(server, client)
            with self.assertRaisesRegex(SSL.Error, "alert no application protocol"):
                client.do_handshake()

    def test_who_offers_no_protocols_is_let_in(self) -> None:
        server, client = self.creator.serverConnectionForTLS(None), client_end("one.example")
        shake(server, client)
        self.assertEqual(client.get_alpn_proto_negotiated(), b"")

    def test_a_port_for_both_kinds_takes_its_own_favourite(self) -> None:
        creator = self.found.creator((CLIENT, b"xmpp-server"), "one.example")
        for offered in ([b"xmpp-server"], [b"xmpp-server", CLIENT]):
            server, client = creator.serverConnectionForTLS(None), client_end("one.example", offered)
            shake(server, client)
            self.assertEqual(server.get_alpn_proto_negotiated(), sorted(offered)[0])

    def test_without_any_certificate_the_handshake_fails_cleanly(self) -> None:
        creator = Certificates([], lambda: NOW).creator(CLIENT, "one.example")
        self.assertIsNone(creator.context_for("one.example"))
        with self.assertRaisesRegex(SSL.Error, "no shared cipher|no suitable signature algorithm"):
            shake(creator.serverConnectionForTLS(None), client_end("one.example"))

    def test_an_expired_certificate_is_still_shown(self) -> None:
        """It is for the other side to refuse; an old certificate is better than a closed door for a late renewal."""
        old = Identity("old", "old.example", days=(-60, -1))
        self.write("old.pem", old.both)
        creator = self.load().creator(CLIENT, "old.example")
        self.assertEqual(shown(creator, "old.example"), old.certificate)

    def test_client_certificates_are_asked_for_when_wanted_and_never_judged(self) -> None:
        stranger = Identity("stranger", "stranger.example", days=(-60, -1))
        asking = self.found.creator(b"xmpp-server", "one.example", request_certificate=True)
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            for name in ("one.example", "two.example"):
                server: Any = asking.serverConnectionForTLS(None)
                shake(server, client_end(name, identity=stranger, version=version))
                self.assertEqual(server.get_peer_certificate(as_cryptography=True), stranger.certificate)
                server = asking.serverConnectionForTLS(None)
                shake(server, client_end(name, version=version))
                self.assertIsNone(server.get_peer_certificate())
        server = self.creator.serverConnectionForTLS(None)
        shake(server, client_end("one.example", identity=stranger))
        self.assertIsNone(server.get_peer_certificate())

    def test_wrong_settings_are_told_before_the_first_connection(self) -> None:
        with self.assertRaisesRegex(TlsSettingsError, "unknown word 'no_tls'"):
            self.found.creator(CLIENT, "one.example", TlsSettings(protocol_options=("no_tls",)))

    def test_settings_too_strong_for_a_certificate_end_in_a_logged_failure(self) -> None:
        creator = self.found.creator(CLIENT, "one.example", TlsSettings(ciphers="ECDHE+AESGCM:@SECLEVEL=4"))
        with capturedLogs() as events:
            for _ in range(2):
                self.assertRaises(SSL.Error, shake, creator.serverConnectionForTLS(None), client_end("one.example"))
        told = [formatEvent(event) for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(len(told), 1)
        self.assertIn("no TLS for one.example", told[0])


class ReloadTests(CertificateCase):
    def test_new_connections_see_the_new_certificate_and_old_ones_go_on(self) -> None:
        old, new = Identity("a", "a.example"), Identity("a", "a.example", days=(-1, 90))
        self.write("a.pem", old.both)
        found = self.load()
        creator = found.creator(CLIENT, "a.example")
        server, client = creator.serverConnectionForTLS(None), client_end("a.example")
        shake(server, client)
        bindings = creator.channel_bindings(server)
        half = creator.serverConnectionForTLS(None)
        self.write("a.pem", new.both)
        self.assertEqual(found.reload(), [])
        self.assertEqual(shown(creator, "a.example"), new.certificate)
        self.assertEqual(creator.channel_bindings(server), channel_bindings(server))
        server.send(b"still here")
        carry(server, client)
        self.assertEqual(client.recv(100), b"still here")
        shake(half, client_end("a.example"))  # a handshake that began before goes on as well
        self.assertEqual(creator.channel_bindings(half), channel_bindings(half))
        self.assertEqual(creator.channel_bindings(server), bindings)

    def test_hosts_come_and_go_with_their_files(self) -> None:
        self.write("one.pem", ONE.both, LOW.pem, MIDDLE.pem)
        found = self.load()
        self.write("two.pem", TWO.both)
        self.assertEqual(found.reload(), [])
        self.assertIsNotNone(found.chain_for("two.example"))
        (self.folder / "one.pem").unlink()
        self.assertEqual(found.reload(), [])
        self.assertIsNone(found.chain_for("one.example"))

    def test_a_file_caught_half_written_costs_no_host_its_certificate(self) -> None:
        self.write("one.pem", ONE.both, LOW.pem, MIDDLE.pem)
        found = self.load()
        creator = found.creator(CLIENT, "one.example")
        self.write("one.pem", ONE.both[:-100])
        problems = found.reload()
        self.assertEqual(len(problems), 2)
        self.assertEqual(problems[-1], "one.example: the certificate from before stays in use")
        self.assertEqual(shown(creator, "one.example"), ONE.certificate)

    def test_replaced_certificates_are_not_kept_in_memory(self) -> None:
        self.write("a.pem", Identity("a", "a.example").both)
        found = self.load()
        creator = found.creator(CLIENT, "a.example")
        context = weakref.ref(creator.context_for("a.example"))
        self.assertIs(creator.context_for("a.example"), context())
        found.reload()
        gc.collect()
        self.assertIsNone(context())


class SelfSignedTests(CertificateCase):
    hosts = ("localhost", "bücher.example", "127.0.0.1")

    def now_is(self) -> datetime:
        return self.now

    def test_it_serves_each_host_and_only_we_may_read_it(self) -> None:
        path = self_signed(self.folder / "deep" / "down", self.hosts, self.now_is)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual([file.name for file in path.parent.iterdir()], [path.name])
        found = Certificates([str(path)], self.now_is)
        self.assertEqual(found.reload() + found.check(self.hosts), [])
        certificate = shown(found.creator(CLIENT, "localhost"), "xn--bcher-kva.example")
        names: Any = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost", "xn--bcher-kva.example"])
        others = {(name.type_id.dotted_string, name.value) for name in names.get_values_for_type(x509.OtherName)}
        self.assertIn(("1.3.6.1.5.5.7.8.7", b"\x16\x16_xmpp-client.localhost"), others)
        self.assertIn(("1.3.6.1.5.5.7.8.5", b"\x0c\x0fb\xc3\xbccher.example"), others)

    def test_it_is_used_again_until_it_runs_out_or_a_host_is_added(self) -> None:
        path = self_signed(self.folder, self.hosts, self.now_is)
        first = path.read_bytes()
        self.assertEqual(self_signed(self.folder, self.hosts[:1], self.now_is).read_bytes(), first)
        second = self_signed(self.folder, (*self.hosts, "new.example"), self.now_is).read_bytes()
        self.assertNotEqual(second, first)
        self.now += timedelta(days=3640)
        third = self_signed(self.folder, self.hosts, self.now_is).read_bytes()
        self.assertNotEqual(third, second)

    def test_a_damaged_one_is_made_again(self) -> None:
        path = self_signed(self.folder, self.hosts, self.now_is)
        path.write_bytes(b"")
        self_signed(self.folder, self.hosts, self.now_is)
        self.assertIn(b"PRIVATE KEY", path.read_bytes())

    def test_a_long_name_is_encoded_as_der_wants_it(self) -> None:
        host = ".".join(["a" * 60] * 4)
        path = self_signed(self.folder, [host], self.now_is)
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names: Any = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        others = [name.value for name in names.get_values_for_type(x509.OtherName)]
        self.assertIn(b"\x0c\x81\xf3" + host.encode(), others)
