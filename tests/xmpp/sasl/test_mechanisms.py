"""What is offered, and the small codecs around it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.errors import SaslCondition, SaslFailure
from federix.xmpp.sasl import (
    MECHANISMS,
    HashName,
    announced,
    available,
    decode_base64,
    encode_base64,
    hash_of,
    is_plus,
    server_end_point,
)
from tests.xmpp.sasl.support import HASHES

BOUND = {"tls-exporter": b"x"}


def offer(
    names: Sequence[str] = MECHANISMS,
    *,
    secure: bool = True,
    bindings: Mapping[str, bytes] = BOUND,
    disabled: Collection[str] = (),
    stored: Collection[HashName] = HASHES,
) -> list[str]:
    return available(names, secure=secure, bindings=bindings, disabled=disabled, stored=stored)


class AvailableTests(SynchronousTestCase):
    def test_inside_tls_with_bindings_all_are_offered_the_strongest_first(self) -> None:
        self.assertEqual(
            offer(),
            [
                "SCRAM-SHA-512-PLUS",
                "SCRAM-SHA-256-PLUS",
                "SCRAM-SHA-1-PLUS",
                "SCRAM-SHA-512",
                "SCRAM-SHA-256",
                "SCRAM-SHA-1",
                "PLAIN",
            ],
        )

    def test_plus_takes_a_binding_we_know_with_a_value(self) -> None:
        for bindings in ({}, {"tls-exporter": b""}, {"tls-telepathy": b"x"}):
            self.assertEqual(offer(bindings=bindings), list(MECHANISMS[3:]))

    def test_without_tls_neither_plain_nor_plus_is_offered(self) -> None:
        self.assertEqual(offer(secure=False), ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"])

    def test_what_the_operator_switched_off_is_not_offered_however_it_is_written(self) -> None:
        self.assertEqual(
            offer(disabled=("scram-sha-1", "SCRAM-SHA-1-PLUS", "Plain", "DIGEST-MD5")),
            ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-256"],
        )

    def test_only_hashes_that_every_account_has_are_offered(self) -> None:
        self.assertEqual(offer(stored=HASHES[1:2]), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"])

    def test_where_no_hash_is_common_to_all_accounts_the_password_itself_can_be_checked_still(self) -> None:
        self.assertEqual(offer(stored=()), ["PLAIN"])
        self.assertEqual(offer(stored=(), secure=False), [])

    def test_the_given_order_is_kept_and_names_of_others_are_left_out(self) -> None:
        self.assertEqual(offer(["PLAIN", "EXTERNAL", "SCRAM-SHA-1"]), ["PLAIN", "SCRAM-SHA-1"])

    def test_names_tell_hash_and_binding(self) -> None:
        self.assertEqual([hash_of(name) for name in MECHANISMS[:3]], ["SHA-512", "SHA-256", "SHA-1"])
        self.assertEqual([hash_of(name) for name in MECHANISMS[3:]], ["SHA-512", "SHA-256", "SHA-1", None])
        self.assertEqual([is_plus(name) for name in MECHANISMS], [True] * 3 + [False] * 4)


class BindingTests(SynchronousTestCase):
    def test_known_types_with_a_value_are_announced_strongest_first(self) -> None:
        bindings = {"tls-server-end-point": b"a", "tls-unique": b"", "x": b"b", "tls-exporter": b"c"}
        self.assertEqual(announced(bindings), ["tls-exporter", "tls-server-end-point"])

    def test_the_end_point_is_the_hash_of_the_certificate(self) -> None:
        """RFC 5929 §4.1: with the hash of its signature, but never with MD5 or SHA-1."""
        for name, used in (("md5", "sha256"), ("sha1", "sha256"), ("sha256", "sha256"), ("sha384", "sha384")):
            self.assertEqual(server_end_point(b"certificate", name), hashlib.new(used, b"certificate").digest())

    def test_a_signature_without_a_hash_of_its_own_has_no_end_point(self) -> None:
        self.assertIsNone(server_end_point(b"certificate", None))
        self.assertIsNone(server_end_point(b"certificate", "no-such-hash"))


class Base64Tests(SynchronousTestCase):
    @given(st.binary())
    def test_what_is_encoded_is_decoded(self, data: bytes) -> None:
        self.assertEqual(decode_base64(encode_base64(data)), data)

    def test_nothing_and_empty_are_two_things(self) -> None:
        """RFC 6120 §6.4.2."""
        self.assertIsNone(decode_base64(""))
        self.assertEqual(decode_base64("="), b"")
        self.assertEqual(encode_base64(None), "")
        self.assertEqual(encode_base64(b""), "=")

    def test_what_is_not_exactly_base64_is_refused(self) -> None:
        """RFC 6120 §13.9.1, and RFC 4648 §3.5 for the padding bits."""
        for text in (
            "A",
            "AAA",
            "AB==",
            "=AAA",
            "BBBB=CCC",
            "AA==AA==",
            "AA\n==",
            " AAA=",
            "==",
            "é",
            "AA-_",
            "\ud800",
        ):
            error = self.assertRaises(SaslFailure, decode_base64, text)
            self.assertIs(error.condition, SaslCondition.INCORRECT_ENCODING)

    @given(st.text("AB+/=- \n\xe9", max_size=8))
    def test_only_one_text_stands_for_any_data(self, text: str) -> None:
        try:
            data = decode_base64(text)
        except SaslFailure:
            return
        self.assertEqual(text, "" if data is None else b64encode(data).decode() or "=")
