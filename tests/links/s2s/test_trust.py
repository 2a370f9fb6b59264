"""Certificates of other servers are judged: by chain, moment, purpose and name, in both directions of the handshake."""

from __future__ import annotations

import gc
import ssl
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, crypto
from OpenSSL._util import lib as _lib
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from federix.links.s2s import roots as roots_module
from federix.links.s2s import trust as trust_module
from federix.links.s2s.chains import chain_problem
from federix.links.s2s.trust import MAX_CERTIFICATE_BYTES, MAX_ISSUERS, NOT_SHOWN, Trust, Verdict, client_creator
from federix.streams.certificates import MAX_MANNERS, Certificates
from federix.streams.tls import TlsSettings, TlsSettingsError, client_context, server_context, start_tls
from federix.testing.authority import CLIENT, SERVER, Authority, Issued
from tests.streams.handshakes import shake

NOW = datetime(2030, 5, 17, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = Authority(NOW, "Root", begins=-1000 * DAY, ends=1000 * DAY)
MIDDLE = Authority(issuer=ROOT, name="Middle", begins=-500 * DAY, ends=500 * DAY)
STRANGER = Authority(NOW, "Stranger")
GOOD = MIDDLE.issue("a.example", "*.a.example", srv=("_xmpp-server.b.example",), xmpp=("c.example",))
OURS = ROOT.issue("ours.example")
OLD, NEW = TlsSettings(protocol_options=("no_tlsv1_3",)), TlsSettings()


def ends(shown: Issued | None, settings: TlsSettings, *, they_connected: bool) -> Any:
    """Our end of a connection, the handshake done; the other end has shown what is *shown*."""
    key, chain = (shown.key, (shown.certificate, *shown.issuers)) if shown else (None, ())
    we_show = (OURS.key, (OURS.certificate,))
    if they_connected:
        ours = SSL.Connection(
            server_context(*we_show, (), settings, lambda connection: None, request_certificate=True), None
        )
        theirs = SSL.Connection(client_context(key, chain, (), settings), None)
        shake(ours, theirs)
    else:
        ours = SSL.Connection(client_context(None, (), (), settings), None)
        theirs = SSL.Connection(server_context(key, chain, (), settings, lambda connection: None), None)
        shake(theirs, ours)
    return ours


class Shown:
    """An end of a connection whose other end has shown *certificates*, which no real server could show."""

    def __init__(self, *certificates: x509.Certificate) -> None:
        made: Any = crypto.X509
        self.certificates = [made.from_cryptography(one) for one in certificates]

    def get_peer_certificate(self) -> Any:
        return self.certificates[0]

    def get_peer_cert_chain(self) -> Any:
        return self.certificates


class TrustCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.moment = NOW

    def trust(self, *roots: bytes) -> Trust:
        path = self.folder / "roots.pem"
        path.write_bytes(b"".join(roots or (ROOT.pem,)))
        trust = Trust([str(path)], lambda: self.moment)
        self.assertEqual(trust.reload(), [])
        return trust

    def judge(self, shown: Issued, domain: str = "a.example", *roots: bytes, they_connected: bool = True) -> Verdict:
        connection: Any = Shown(shown.certificate, *shown.issuers)
        return self.trust(*roots).judge(connection, domain, they_connected=they_connected)

    def refused(self, shown: Issued, *roots: bytes, they_connected: bool = True) -> str:
        verdict = self.judge(shown, "a.example", *roots, they_connected=they_connected)
        self.assertFalse(verdict.valid, verdict.reason)
        return verdict.reason

    def accepted(self, shown: Issued, *roots: bytes, they_connected: bool = True) -> None:
        verdict = self.judge(shown, "a.example", *roots, they_connected=they_connected)
        self.assertTrue(verdict.valid, verdict.reason)


class HandshakeTests(TrustCase):
    """What is read from a connection, whoever connected, with either version of TLS."""

    def test_a_certificate_and_its_chain_prove_their_names_on_either_end(self) -> None:
        for they_connected in (True, False):
            for chosen in (OLD, NEW):
                connection = ends(GOOD, chosen, they_connected=they_connected)
                version = connection.get_protocol_version_name()
                self.assertEqual(version, "TLSv1.3" if chosen is NEW else "TLSv1.2")
                for domain in ("a.example", "x.a.example", "b.example", "c.example"):
                    verdict = self.trust().judge(connection, domain, they_connected=they_connected)
                    self.assertEqual(
                        verdict,
                        Verdict(
                            True,
                            f"it names {domain} and was issued by CN=Middle",
                            (NOW + 90 * DAY),
                            ("a.example", "*.a.example", "b.example", "c.example"),
                            "CN=a.example",
                        ),
                    )
                verdict = self.trust().judge(connection, "d.example", they_connected=they_connected)
                told = "it names a.example, *.a.example, b.example and c.example, not d.example"
                self.assertEqual((verdict.valid, verdict.reason), (False, told))

    def test_no_certificate_is_told(self) -> None:
        for chosen in (OLD, NEW):
            connection = ends(None, chosen, they_connected=True)
            self.assertIs(self.trust().judge(connection, "a.example", they_connected=True), NOT_SHOWN)
        self.assertFalse(NOT_SHOWN.valid)

    def test_a_certificate_of_nobody_is_let_through_and_judged(self) -> None:
        unknown = STRANGER.issue("a.example")
        for they_connected in (True, False):
            for chosen in (OLD, NEW):
                connection = ends(unknown, chosen, they_connected=they_connected)
                verdict = self.trust().judge(connection, "a.example", they_connected=they_connected)
                self.assertFalse(verdict.valid)
                self.assertEqual(verdict.names, ("a.example",))

    def test_a_chain_with_a_wrong_signature_harms_no_other_connection(self) -> None:
        """OpenSSL's list of errors belongs to the thread: what one chain leaves there could end another connection."""
        impostor = Authority(NOW, "Root")
        leaf = MIDDLE.issue("a.example")
        forged = Issued(leaf.certificate, leaf.key, (MIDDLE.certificate, impostor.certificate))
        for they_connected in (True, False):
            for chosen in (OLD, NEW):
                innocent = ends(GOOD, chosen, they_connected=True)
                with self.assertRaises(SSL.WantReadError):
                    innocent.recv(1)
                hostile = ends(forged, chosen, they_connected=they_connected)
                self.assertEqual(_lib.ERR_peek_error(), 0)
                verdict = self.trust(impostor.pem).judge(hostile, "a.example", they_connected=they_connected)
                self.assertIn("bears a signature that is not by CN=Root", verdict.reason)
                self.assertEqual(_lib.ERR_peek_error(), 0)
                with self.assertRaises(SSL.WantReadError):
                    innocent.recv(1)

    def test_it_works_over_the_transport_of_streams(self) -> None:
        for chosen in (OLD, NEW):
            theirs, ours = Plain(), Plain()
            talker, listener = Protocol(), Protocol()
            talker.makeConnection(theirs)
            listener.makeConnection(ours)
            theirs.protocol, ours.protocol = talker, listener
            chain = (GOOD.certificate, *GOOD.issuers)
            answering = server_context(GOOD.key, chain, (), chosen, lambda connection: None, request_certificate=True)
            calling = client_context(GOOD.key, chain, (), chosen)
            server: Any = start_tls(listener, ours, Creator(answering), Clock())
            client: Any = start_tls(talker, theirs, Creator(calling), Clock(), client=True)
            while theirs.written or ours.written:
                for source, target in ((theirs, ours), (ours, theirs)):
                    data, source.written = source.written, b""
                    if data:
                        target.protocol.dataReceived(data)
            client.write(b"<stream/>")  # from here on the lean way is taken
            ours.protocol.dataReceived(theirs.written)
            for transport, they_connected in ((server, True), (client, False)):
                verdict = self.trust().judge(transport.getHandle(), "a.example", they_connected=they_connected)
                self.assertTrue(verdict.valid, verdict.reason)


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class Creator:
    """Makes either end, from one context."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)

    clientConnectionForTLS = serverConnectionForTLS


class Plain:
    """One end of a connection in memory."""

    protocol: Any = None
    written = b""
    disconnecting = False

    def write(self, data: bytes) -> None:
        self.written += data


class MomentTests(TrustCase):
    def test_it_is_judged_at_the_moment_given_again_and_again(self) -> None:
        trust = self.trust()
        connection: Any = Shown(GOOD.certificate, *GOOD.issuers)
        for days, reason in (
            (0, None),
            (91, "it expired on 2030-08-15"),
            (1, None),
            (-1, "it is not valid before 2030-05-17"),
            (0, None),
        ):
            self.moment = NOW + days * DAY
            verdict = trust.judge(connection, "a.example", they_connected=True)
            self.assertEqual(verdict.valid, reason is None, verdict.reason)
            if reason is not None:
                self.assertEqual(verdict.reason, reason)
                self.assertEqual(verdict.expires, NOW + 90 * DAY)

    def test_the_moment_may_be_in_any_zone(self) -> None:
        short = MIDDLE.issue("a.example", ends=timedelta(minutes=5))
        self.moment = NOW.astimezone(timezone(timedelta(hours=-11)))
        self.accepted(short)
        self.moment = NOW.astimezone(timezone(timedelta(hours=11)))
        self.accepted(short)

    def test_an_issuer_runs_out_too(self) -> None:
        middle = Authority(issuer=ROOT, name="Tired", ends=3 * DAY)
        shown = middle.issue("a.example")
        self.assertEqual(self.judge(shown).expires, NOW + 3 * DAY)
        self.moment = NOW + 4 * DAY
        self.assertEqual(self.refused(shown), "the certificate of its issuer CN=Tired expired on 2030-05-20")

    def test_an_expired_root_beside_its_successor_does_no_harm(self) -> None:
        expired = Authority(NOW, "Root", key=ROOT.key, begins=-30 * DAY, ends=-DAY)
        for order in ((expired.pem, ROOT.pem), (ROOT.pem, expired.pem)):
            self.accepted(GOOD, *order)
        self.assertIn("CN=Root expired", self.refused(GOOD, expired.pem))

    def test_a_cross_signed_root_whose_other_issuer_expired_does_no_harm(self) -> None:
        ancient = Authority(NOW, "Ancient", begins=-900 * DAY, ends=-DAY)
        crossed = Authority(NOW, "Root", issuer=ancient, key=ROOT.key)
        for extra in ((crossed.certificate,), (crossed.certificate, ancient.certificate)):
            shown = Issued(GOOD.certificate, GOOD.key, (*GOOD.issuers, *extra))
            self.accepted(shown)
            self.accepted(shown, ancient.pem, ROOT.pem)
            self.assertIn("CN=Ancient expired", self.refused(shown, ancient.pem))


class ChainTests(TrustCase):
    def test_a_self_signed_certificate_is_not_believed(self) -> None:
        itself = self_signed("a.example")
        self.assertEqual(self.refused(itself), "it is self-signed")

    def test_a_certificate_that_is_itself_in_the_list_is_believed_for_its_names(self) -> None:
        for authority in (True, False):
            itself = self_signed("a.example", is_authority=authority)
            self.accepted(itself, itself.chain_pem)
            self.assertFalse(self.judge(itself, "b.example", itself.chain_pem).valid)
        single = STRANGER.issue("a.example")
        self.accepted(single, single.chain_pem)

    def test_an_unknown_issuer_is_named(self) -> None:
        self.assertIn("its issuer CN=Stranger is not known here", self.refused(STRANGER.issue("a.example")))
        shown = STRANGER.issue("a.example")
        whole = Issued(shown.certificate, shown.key, (STRANGER.certificate,))
        self.assertEqual(self.refused(whole), "its authority CN=Stranger is not trusted here")

    def test_a_missing_intermediate_is_suspected(self) -> None:
        alone = Issued(GOOD.certificate, GOOD.key)
        told = "its issuer CN=Middle is not known here; perhaps it should have sent an intermediate certificate along"
        self.assertEqual(self.refused(alone), told)
        self.accepted(alone, MIDDLE.pem)  # an intermediate in the list is believed like a root

    def test_order_and_strangers_among_the_issuers_do_no_harm(self) -> None:
        low = Authority(issuer=MIDDLE, name="Low")
        shown = low.issue("a.example")
        mixed = (ROOT.certificate, STRANGER.certificate, *reversed(shown.issuers), shown.certificate, low.certificate)
        self.accepted(Issued(shown.certificate, shown.key, mixed))

    def test_an_authority_does_not_pose_as_a_server(self) -> None:
        authority = MIDDLE.issue("a.example", is_authority=True)
        self.assertEqual(self.refused(authority), "it is the certificate of an authority, not of a server")

    def test_a_server_does_not_pose_as_an_authority(self) -> None:
        victim = MIDDLE.issue("evil.example", common_name="Evil", key=KEY)
        forger = Authority(NOW, "Evil", key=KEY)
        forged = forger.issue("a.example")
        reason = self.refused(Issued(forged.certificate, None, (victim.certificate, *victim.issuers)))
        self.assertEqual(reason, "a certificate in its chain was issued by one that may not issue any")

    def test_an_authority_without_basic_constraints_is_none(self) -> None:
        old = Authority(NOW, "Old", key=KEY)
        usage = old.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(old.name)
            .issuer_name(ROOT.name)
            .public_key(KEY.public_key())
            .serial_number(1)
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(usage, True)
            .sign(ROOT.key, hashes.SHA256())
        )
        forged = old.issue("a.example")
        reason = self.refused(Issued(forged.certificate, None, (certificate,)))
        self.assertEqual(reason, "a certificate in its chain was issued by one that may not issue any")
        # Whatever this OpenSSL thinks of it:
        chain = (forged.certificate, certificate, ROOT.certificate)
        self.assertEqual(chain_problem(chain, they_connected=True), "its issuer CN=Old is no authority")

    def test_a_forged_signature_is_found(self) -> None:
        impostor = Authority(NOW, "Middle", issuer=ROOT)
        forged = impostor.issue("a.example", change=self.without_key_identifier)
        reason = self.refused(Issued(forged.certificate, None, (MIDDLE.certificate,)))
        self.assertEqual(reason, "it bears a signature that is not by CN=Middle")

    @staticmethod
    def without_key_identifier(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [one for one in builder._extensions if not isinstance(one.value, x509.AuthorityKeyIdentifier)]
        return x509.CertificateBuilder(
            builder._issuer_name,
            builder._subject_name,
            builder._public_key,
            builder._serial_number,
            builder._not_valid_before,
            builder._not_valid_after,
            kept,
        )

    def test_a_long_chain_is_refused_and_a_pile_of_issuers_is_cut(self) -> None:
        authority = ROOT
        for number in range(MAX_ISSUERS + 1):
            authority = Authority(issuer=authority, name=f"Low {number}", key=KEY)
        self.assertIn("is not known here", self.refused(authority.issue("a.example")))
        pile = [STRANGER.certificate] * 200
        self.accepted(Issued(GOOD.certificate, None, (*GOOD.issuers, *pile)))
        self.refused(Issued(GOOD.certificate, None, (*pile, *GOOD.issuers)))

    def test_an_authority_with_limits_keeps_to_them(self) -> None:
        limits = x509.NameConstraints([x509.DNSName("limited.example")], None)
        limited = Authority(issuer=ROOT, name="Limited", extensions=(limits,))
        self.assertTrue(self.judge(limited.issue("x.limited.example"), "x.limited.example").valid)
        self.assertIn("outside the limits", self.refused(limited.issue("a.example")))
        # OpenSSL compares DNS names only.
        for names in ({"srv": ("_xmpp-server.a.example",)}, {"xmpp": ("a.example",)}):
            reason = self.refused(limited.issue("x.limited.example", **names))  # type: ignore[arg-type]
            self.assertIn("name constraints", reason)


class PurposeTests(TrustCase):
    def test_a_server_that_connects_may_show_the_certificate_it_answers_with(self) -> None:
        for usages in (
            None,
            (SERVER,),
            (CLIENT,),
            (SERVER, CLIENT),
            (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,),
        ):
            self.accepted(MIDDLE.issue("a.example", usages=usages, key=KEY))

    def test_a_server_that_answers_needs_one_for_servers(self) -> None:
        xmpp = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
        for usages in (None, (SERVER,), (SERVER, CLIENT), (ANY,), (xmpp,)):
            self.accepted(MIDDLE.issue("a.example", usages=usages, key=KEY), they_connected=False)
        only_client = MIDDLE.issue("a.example", usages=(CLIENT,))
        told = "it was not issued for servers (extended key usage)"
        self.assertEqual(self.refused(only_client, they_connected=False), told)

    def test_any_other_purpose_is_refused(self) -> None:
        mail = MIDDLE.issue("a.example", usages=(ExtendedKeyUsageOID.EMAIL_PROTECTION,))
        for they_connected in (True, False):
            self.assertIn("extended key usage", self.refused(mail, they_connected=they_connected))

    def test_an_authority_for_mail_issues_none_for_servers(self) -> None:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        mail = Authority(issuer=ROOT, name="Mail", extensions=(usage,))
        told = "its issuer CN=Mail may not issue certificates for servers"
        self.assertEqual(self.refused(mail.issue("a.example")), told)


class StrengthTests(TrustCase):
    def test_keys_of_the_usual_kinds_are_taken(self) -> None:
        for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
            self.accepted(MIDDLE.issue("a.example", key=key))
        self.accepted(MIDDLE.issue("a.example", key=ed25519.Ed25519PrivateKey.generate()))

    def test_short_and_strange_keys_are_refused(self) -> None:
        short = (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP192R1()))
        for key in short:
            self.assertEqual(self.refused(MIDDLE.issue("a.example", key=key)), "the key of CN=a.example is too short")
        strange = MIDDLE.issue("a.example", key=dsa.generate_private_key(2048))
        self.assertIn("cannot be read", self.refused(strange))

    def test_broken_hashes_are_refused(self) -> None:
        forgeable = Issued(by_sha1(MIDDLE.issue("a.example").certificate, MIDDLE.key), None, MIDDLE.issuers)
        told = "the certificate of CN=a.example is signed with sha1, which can be forged"
        self.assertEqual(self.refused(forgeable), told)

    def test_the_signature_of_a_root_means_nothing(self) -> None:
        self.accepted(GOOD, by_sha1(ROOT.certificate, ROOT.key).public_bytes(Encoding.PEM))


class HostileTests(TrustCase):
    def test_a_certificate_without_names_says_so(self) -> None:
        self.assertEqual(self.refused(MIDDLE.issue()), "it names no domain at all (in its subjectAltName)")

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        self.assertEqual(self.refused(self_signed("b.example")), "it is self-signed; it names b.example, not a.example")

    def test_only_some_of_many_names_are_told(self) -> None:
        many = MIDDLE.issue(*(f"{letter}.other.example" for letter in "abcdefgh"))
        told = ", ".join(f"{letter}.other.example" for letter in "abcde")
        self.assertEqual(self.refused(many), f"it names {told} and 3 more, not a.example")

    def test_too_many_names_are_refused(self) -> None:
        many = MIDDLE.issue("a.example", *(f"b{number}" for number in range(600)))
        self.assertEqual(self.refused(many), "it has more than 512 names")

    def test_a_huge_certificate_is_refused_unread(self) -> None:
        note = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(MAX_CERTIFICATE_BYTES))
        huge = MIDDLE.issue("a.example", change=lambda builder: builder.add_extension(note, critical=False))
        self.assertEqual(self.refused(huge), "it is damaged or larger than any honest certificate")

    def test_what_nobody_understands_but_must_is_refused(self) -> None:
        riddle = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        shown = MIDDLE.issue("a.example", change=lambda builder: builder.add_extension(riddle, critical=True))
        self.assertIn("unhandled critical extension", self.refused(shown))

    def test_text_for_people_is_one_short_line(self) -> None:
        name = "evil\n2030-01-01 all is well\x1b[0m\u202e" + "x" * 20
        verdict = self.judge(MIDDLE.issue("a.example", common_name=name))
        self.assertTrue(verdict.valid)
        self.assertTrue(verdict.subject.isprintable())
        long = Authority(NOW, "y" * 64)
        relative = [x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "z" * 64) for _ in range(20)]
        long.name = x509.Name([*long.name, *relative])
        self.assertLess(len(self.refused(long.issue("a.example"))), 300)

    @settings(max_examples=150, deadline=None)
    @given(oid=st.sampled_from(["2.5.29.17", "2.5.29.37", "2.5.29.30", "2.5.29.19", "2.5.29.15"]), content=st.binary())
    def test_garbage_in_extensions_is_judged(self, oid: str, content: bytes) -> None:
        garbage = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content)

        def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
            kept = [one for one in builder._extensions if one.oid.dotted_string != oid]
            builder = ChainTests.without_key_identifier(builder)
            builder._extensions = kept
            return builder.add_extension(garbage, critical=False)

        for place in ("leaf", "issuer"):
            if place == "leaf":
                shown = ROOT.issue("a.example", key=KEY, change=change)
            else:
                issuer = ROOT.issue(is_authority=True, common_name="Issuer", key=KEY, change=change)
                below = Authority(NOW, "Issuer", key=KEY).issue("a.example", key=KEY)
                shown = Issued(below.certificate, None, (issuer.certificate,))
            verdict = self.judge(shown)
            self.assertIsInstance(verdict.valid, bool)
            self.assertEqual(
                verdict.valid, not verdict.reason.startswith("it is") and "it names a.example and was" in verdict.reason
            )

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_a_certificate_with_flipped_bits_is_not_believed(self, data: st.DataObject) -> None:
        encoded = bytearray(GOOD.certificate.public_bytes(Encoding.DER))
        place = data.draw(st.integers(0, len(encoded) - 1))
        encoded[place] ^= data.draw(st.integers(1, 255))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a serial number below zero is complained about, and taken for now
                certificate = x509.load_der_x509_certificate(bytes(encoded))
            connection: Any = Shown(certificate, *GOOD.issuers)
        except Exception:  # not even OpenSSL takes it
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = self.trust().judge(connection, "a.example", they_connected=True)
        self.assertFalse(verdict.valid)

    def test_a_check_that_breaks_refuses(self) -> None:
        trust = self.trust()
        with mock.patch.object(roots_module.Roots, "store", side_effect=ZeroDivisionError):
            connection: Any = Shown(GOOD.certificate)
            verdict = trust.judge(connection, "a.example", they_connected=True)
        self.assertEqual((verdict.valid, verdict.reason), (False, "it cannot be judged"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class MemoryTests(TrustCase):
    """What was found right is not verified again, as long as nothing has changed."""

    def setUp(self) -> None:
        super().setUp()
        self.examined = 0
        examine = Trust._examine

        def counting(trust: Trust, *what: Any) -> Any:
            self.examined += 1
            return examine(trust, *what)

        self.patch(Trust, "_examine", counting)
        self.judging = self.trust()

    def ask(self, *certificates: x509.Certificate, domain: str = "a.example", they_connected: bool = True) -> Verdict:
        connection: Any = Shown(*certificates)
        return self.judging.judge(connection, domain, they_connected=they_connected)

    def test_the_same_certificates_are_verified_once_for_all_domains(self) -> None:
        for domain, valid in (("a.example", True), ("b.example", True), ("evil.example", False), ("a.example", True)):
            self.assertEqual(self.ask(GOOD.certificate, *GOOD.issuers, domain=domain).valid, valid)
        self.assertEqual(self.examined, 1)

    def test_others_are_verified_anew(self) -> None:
        client = MIDDLE.issue("a.example", usages=(CLIENT,))
        self.assertTrue(self.ask(client.certificate, *client.issuers).valid)
        self.assertFalse(self.ask(client.certificate, *client.issuers, they_connected=False).valid)
        self.assertTrue(self.ask(GOOD.certificate, *GOOD.issuers).valid)
        self.assertFalse(self.ask(GOOD.certificate).valid)
        self.assertEqual(self.examined, 4)

    def test_it_is_verified_anew_when_it_has_expired_or_the_roots_were_read(self) -> None:
        self.assertTrue(self.ask(GOOD.certificate, *GOOD.issuers).valid)
        self.moment = NOW + 91 * DAY
        self.assertFalse(self.ask(GOOD.certificate, *GOOD.issuers).valid)
        self.moment = NOW
        (self.folder / "roots.pem").write_bytes(STRANGER.pem)
        self.judging.reload()
        self.assertFalse(self.ask(GOOD.certificate, *GOOD.issuers).valid)

    def test_what_is_wrong_is_not_remembered_and_what_is_right_up_to_a_bound(self) -> None:
        wrong = STRANGER.issue("a.example")
        for _ in range(2):
            self.assertFalse(self.ask(wrong.certificate).valid)
        self.assertEqual(self.examined, 2)
        self.patch(trust_module, "MAX_REMEMBERED", 2)
        several = [MIDDLE.issue("a.example", key=KEY) for _ in range(3)]
        for one in (*several, several[2], several[1], several[0]):
            self.assertTrue(self.ask(one.certificate, *one.issuers).valid)
        self.assertEqual(self.examined, 2 + 3 + 1)


class RootsTests(TrustCase):
    def test_nobody_is_trusted_before_the_roots_are_read(self) -> None:
        connection: Any = Shown(GOOD.certificate, *GOOD.issuers)
        verdict = Trust([str(self.folder / "none.pem")], lambda: NOW).judge(
            connection, "a.example", they_connected=True
        )
        self.assertFalse(verdict.valid)

    def test_what_is_read_again_holds_from_then_on(self) -> None:
        trust = self.trust()
        connection: Any = Shown(GOOD.certificate, *GOOD.issuers)
        (self.folder / "roots.pem").write_bytes(STRANGER.pem)
        self.assertTrue(trust.judge(connection, "a.example", they_connected=True).valid)
        self.assertEqual(trust.reload(), [])
        self.assertFalse(trust.judge(connection, "a.example", they_connected=True).valid)

    def test_roots_that_cannot_be_read_are_told_and_those_from_before_stay(self) -> None:
        trust = self.trust()
        connection: Any = Shown(GOOD.certificate, *GOOD.issuers)
        path = self.folder / "roots.pem"
        stay = "no authority was found: those from before stay in use"
        damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for content, told in (
            (b"", "no certificate in PEM text in it"),
            (ROOT.pem[:100], "no certificate in PEM text in it"),
            (damaged * 2, "2 of 2 certificates in it are damaged or of an unknown kind"),
            (b"x" * (roots_module.MAX_FILE_BYTES + 1), "larger than 4194304 bytes, so not a list of authorities"),
        ):
            path.write_bytes(content)
            self.assertEqual(trust.reload(), [f"{path}: {told}", stay])
            self.assertTrue(trust.judge(connection, "a.example", they_connected=True).valid)
        path.unlink()
        self.assertEqual(trust.reload(), [f"{path}: no such file or directory", stay])
        path.write_bytes(damaged + ROOT.pem)
        self.assertEqual(trust.reload(), [f"{path}: 1 of 2 certificates in it are damaged or of an unknown kind"])

    def test_several_files_count_together_up_to_a_bound(self) -> None:
        (self.folder / "one.pem").write_bytes(STRANGER.pem)
        (self.folder / "two.pem").write_bytes(ROOT.pem)
        trust = Trust([str(self.folder / "one.pem"), str(self.folder / "two.pem")], lambda: NOW)
        connection: Any = Shown(GOOD.certificate, *GOOD.issuers)
        with mock.patch.object(roots_module, "MAX_ROOTS", 1):
            self.assertEqual(trust.reload(), [f"{self.folder}/two.pem: more than 1 authorities; the rest is left out"])
        self.assertFalse(trust.judge(connection, "a.example", they_connected=True).valid)
        self.assertEqual(trust.reload(), [])
        self.assertTrue(trust.judge(connection, "a.example", they_connected=True).valid)

    def test_names_of_authorities_are_compared_as_openssl_does(self) -> None:
        root = Authority(NOW, "Some  ROOT")
        spelt = Authority(NOW, "some root", key=root.key)
        self.accepted(spelt.issue("a.example"), root.pem)

    def system(self, **found: str | None) -> Trust:
        told: Any = (found.get("cafile"), found.get("capath"), "SSL_CERT_FILE", "", "SSL_CERT_DIR")
        paths = ssl.DefaultVerifyPaths(*told, found.get("usual") or "")
        trust = Trust([], lambda: NOW)
        lists = (str(self.folder / "not there"), str(self.folder / "known.pem"))
        with (
            mock.patch.object(ssl, "get_default_verify_paths", lambda: paths),
            mock.patch.object(roots_module, "SYSTEM_LISTS", lists),
        ):
            self.problems = trust.reload()
        return trust

    def test_without_any_path_the_systems_list_counts(self) -> None:
        connection: Any = Shown(GOOD.certificate, *GOOD.issuers)
        folder = self.folder / "certs"
        folder.mkdir()
        (folder / "sub").mkdir()
        (folder / "0a1b2c3d.0").write_bytes(ROOT.pem)

        def believes(**found: str | None) -> bool:
            trust = self.system(**found)
            return trust.judge(connection, "a.example", they_connected=True).valid

        self.assertFalse(believes())
        self.assertEqual(len(self.problems), 1)
        self.assertTrue(believes(capath=str(folder), usual=str(folder)))
        (self.folder / "known.pem").write_bytes(STRANGER.pem)
        self.assertFalse(believes(capath=str(folder), usual=str(folder)))  # one file instead of many
        self.assertTrue(believes(capath=str(folder), usual="/elsewhere"))  # SSL_CERT_DIR was given
        (self.folder / "given.pem").write_bytes(ROOT.pem)
        self.assertTrue(believes(cafile=str(self.folder / "given.pem")))
        (self.folder / "known.pem").write_bytes(ROOT.pem)
        self.assertTrue(believes())
        self.assertEqual(self.problems, [])


class CreatorTests(TrustCase):
    def certificates(self, *issued: Issued) -> Certificates:
        for number, one in enumerate(issued):
            (self.folder / f"{number}.cert").write_bytes(one.pem)
        certificates = Certificates([str(self.folder / "*.cert")], lambda: NOW)
        self.assertEqual(certificates.reload(), [])
        return certificates

    def answer(self, creator: IOpenSSLClientConnectionCreator, alpn: Sequence[bytes] = ()) -> tuple[Any, list[Any]]:
        """The answering end of a handshake with what *creator* makes, and the names it was called by."""
        names: list[Any] = []
        context = server_context(
            OURS.key,
            (OURS.certificate,),
            alpn,
            NEW,
            lambda connection: names.append(connection.get_servername()),
            request_certificate=True,
        )
        server = SSL.Connection(context, None)
        shake(server, creator.clientConnectionForTLS(None))  # type: ignore[arg-type]
        return server, names

    def test_it_shows_our_certificate_and_calls_the_other_by_its_name(self) -> None:
        certificates = self.certificates(GOOD)
        creator = client_creator(certificates, "x.a.example", "bücher.example", b"xmpp-server", NEW)
        self.assertTrue(IOpenSSLClientConnectionCreator.providedBy(creator))
        server, names = self.answer(creator, [b"xmpp-server"])
        self.assertEqual(names, [b"xn--bcher-kva.example"])
        self.assertEqual(server.get_alpn_proto_negotiated(), b"xmpp-server")
        verdict = self.trust().judge(server, "x.a.example", they_connected=True)
        self.assertTrue(verdict.valid, verdict.reason)

    def test_without_a_certificate_it_shows_none(self) -> None:
        creator = client_creator(self.certificates(GOOD), "other.example", "r.example", (), NEW)
        server, names = self.answer(creator, [b"xmpp-server"])
        self.assertEqual((names, server.get_alpn_proto_negotiated()), ([b"r.example"], b""))
        self.assertIs(self.trust().judge(server, "other.example", they_connected=True), NOT_SHOWN)

    def test_an_address_is_no_server_name(self) -> None:
        certificates = self.certificates(GOOD)
        for remote in ("192.0.2.1", "[2001:db8::1]"):
            self.assertEqual(self.answer(client_creator(certificates, "a.example", remote, (), NEW))[1], [None])

    def test_old_versions_are_not_spoken(self) -> None:
        creator = client_creator(self.certificates(GOOD), "a.example", "r.example", (), NEW)
        old: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
        old.set_max_proto_version(SSL.TLS1_1_VERSION)
        old.set_cipher_list(b"ALL:@SECLEVEL=0")
        old.use_certificate(OURS.certificate)
        old.use_privatekey(OURS.key)
        with self.assertRaises(SSL.Error):
            shake(SSL.Connection(old, None), creator.clientConnectionForTLS(None))  # type: ignore[arg-type]

    def test_settings_hold_and_wrong_ones_are_told(self) -> None:
        certificates = self.certificates(GOOD)
        chosen = TlsSettings(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", protocol_options=("no_tlsv1_3",))
        server, _ = self.answer(client_creator(certificates, "a.example", "r.example", (), chosen))
        self.assertEqual(server.get_cipher_name(), "ECDHE-ECDSA-AES128-GCM-SHA256")
        with self.assertRaises(TlsSettingsError):
            client_creator(certificates, "a.example", "r.example", (), TlsSettings(ciphers="nonsense"))

    def test_contexts_are_shared_until_the_certificate_changes(self) -> None:
        certificates = self.certificates(GOOD)

        def context(
            local: str, remote: str = "r.example", alpn: Any = b"xmpp-server", chosen: TlsSettings = NEW
        ) -> Any:
            creator = client_creator(certificates, local, remote, alpn, chosen)
            return creator.clientConnectionForTLS(None).get_context()  # type: ignore[arg-type]

        first = context("a.example")
        self.assertIs(context("a.example", "other.example"), first)
        self.assertIs(context("x.a.example"), first)  # the same certificate
        self.assertIs(context("z.example"), context("y.example"))  # without any
        self.assertIsNot(context("z.example"), first)
        self.assertIsNot(context("a.example", alpn=()), first)
        self.assertIsNot(context("a.example", chosen=OLD), first)
        self.assertEqual(certificates.reload(), [])
        self.assertIsNot(context("a.example"), first)

    def test_there_is_a_bound_on_contexts_and_old_ones_go(self) -> None:
        certificates = self.certificates(GOOD)
        contexts = []
        for number in range(MAX_MANNERS + 1):
            made = certificates.client_context("a.example", (str(number).encode(),), NEW)
            contexts.append(weakref.ref(made))
            del made
        gc.collect()
        self.assertEqual([one() is None for one in contexts], [True] + [False] * MAX_MANNERS)
        certificates.reload()
        gc.collect()
        self.assertEqual([one() for one in contexts], [None] * (MAX_MANNERS + 1))


def self_signed(domain: str, *, is_authority: bool = False) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    own = Authority(NOW, domain, key=key)
    return Issued(own.issue(domain, key=key, is_authority=is_authority).certificate, key)


def by_sha1(certificate: x509.Certificate, key: Any) -> x509.Certificate:
    """*certificate*, signed anew in a way that nobody should any more."""
    made: Any = crypto.X509
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        signed = made.from_cryptography(certificate)
        signed.sign(crypto.PKey.from_cryptography_key(key), "sha1")
    result: x509.Certificate = signed.to_cryptography()
    return result
