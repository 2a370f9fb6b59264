"""What can be set about other servers: every word, and what is wrong with those that are none."""

from __future__ import annotations

import ipaddress
import math

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.core.options import ConfigError, ConfigErrors, node_of, read, written
from federix.core.s2s_options import MAXIMUM_DNS_SERVERS, S2SOptions, S2SServerOptions, read_dns_servers

PORTS = st.integers(1, 65535)


class OfAHost(SynchronousTestCase):
    def wrong(self, **options: object) -> str:
        return str(self.assertRaises(ConfigErrors, read, S2SOptions, options))

    def test_the_defaults_are_ejabberds_but_for_tls(self) -> None:
        found = S2SOptions()
        self.assertEqual(
            (found.s2s_access.name, found.s2s_timeout, found.outgoing_s2s_port, found.outgoing_s2s_timeout),
            ("all", 3600.0, 5269, 10.0),
        )
        self.assertEqual(found.outgoing_s2s_families, ("ipv6", "ipv4"))
        self.assertEqual(found.s2s_use_starttls, "required")

    def test_starttls_has_the_words_of_ejabberd(self) -> None:
        """Each with whether TLS is offered, whether it is required, whether dialback never suffices."""
        for word, meaning in {
            "false": (False, False, False),
            "no": (False, False, False),
            "optional": (True, False, False),
            "true": (True, False, False),
            "required": (True, True, False),
            "required_trusted": (True, True, True),
        }.items():
            found = read(S2SOptions, {"s2s_use_starttls": word})
            self.assertEqual((found.tls_offered, found.tls_required, found.certificates_only), meaning, word)
        self.assertEqual(read(S2SOptions, {"s2s_use_starttls": True}).s2s_use_starttls, "optional")
        self.assertEqual(read(S2SOptions, {"s2s_use_starttls": False}).s2s_use_starttls, "false")

    def test_another_word_is_wrong(self) -> None:
        self.assertEqual(
            self.wrong(s2s_use_starttls="requierd"),
            "s2s_use_starttls: must be one of false, optional, required, not 'requierd', did you mean 'required'?",
        )

    def test_an_idle_connection_may_live_for_ever(self) -> None:
        self.assertEqual(read(S2SOptions, {"s2s_timeout": "infinity"}).s2s_timeout, math.inf)
        self.assertEqual(read(S2SOptions, {"s2s_timeout": "10 min"}).s2s_timeout, 600)

    def test_families_have_an_order_and_come_once(self) -> None:
        self.assertEqual(read(S2SOptions, {"outgoing_s2s_families": "ipv4"}).outgoing_s2s_families, ("ipv4",))
        found = read(S2SOptions, {"outgoing_s2s_families": ["ipv4", "ipv6"]}).outgoing_s2s_families
        self.assertEqual(found, ("ipv4", "ipv6"))
        self.assertIn("names one twice", self.wrong(outgoing_s2s_families=["ipv4", "ipv4"]))
        self.assertIn("at least one of", self.wrong(outgoing_s2s_families=[]))
        self.assertIn("did you mean 'ipv4'?", self.wrong(outgoing_s2s_families=["ip4"]))

    def test_addresses_to_connect_from_are_of_their_family(self) -> None:
        found = read(
            S2SOptions, {"outgoing_s2s_ipv4_address": "192.0.2.1", "outgoing_s2s_ipv6_address": "2001:DB8:0::1"}
        )
        self.assertEqual(
            (found.outgoing_s2s_ipv4_address, found.outgoing_s2s_ipv6_address), ("192.0.2.1", "2001:db8::1")
        )
        self.assertIn("must be an IPv4 address, not '::1'", self.wrong(outgoing_s2s_ipv4_address="::1"))
        self.assertIn("must be an IPv6 address, not '192.0.2.1'", self.wrong(outgoing_s2s_ipv6_address="192.0.2.1"))

    def test_a_queue_holds_at_least_one_stanza(self) -> None:
        self.assertIn("at least 1", self.wrong(s2s_max_queue=0))
        self.assertIn("at least 65536", self.wrong(s2s_max_queue_size="1 KiB"))
        self.assertEqual(read(S2SOptions, {"s2s_max_queue_size": "2 MiB"}).s2s_max_queue_size, 2097152)

    def test_ports_are_ports(self) -> None:
        for port in (0, 65536, "xmpp"):
            self.assertIn("outgoing_s2s_port", self.wrong(outgoing_s2s_port=port))


class OfTheServer(SynchronousTestCase):
    def servers(self, *words: str) -> tuple[tuple[str, int], ...] | None:
        return read(S2SServerOptions, {"dns_servers": list(words)}).dns_addresses

    def test_the_defaults_are_ejabberds(self) -> None:
        found = S2SServerOptions()
        self.assertEqual((found.s2s_max_retry_delay, found.s2s_dns_timeout, found.s2s_dns_retries), (300.0, 10.0, 2))
        self.assertIsNone(found.dns_addresses)

    def test_name_servers_are_addresses_with_or_without_a_port(self) -> None:
        self.assertEqual(self.servers("192.0.2.53", "127.0.0.1:5353"), (("192.0.2.53", 53), ("127.0.0.1", 5353)))
        self.assertEqual(
            self.servers("2001:DB8::53", "[2001:db8::53]:5353", "[::1]"),
            (("2001:db8::53", 53), ("2001:db8::53", 5353), ("::1", 53)),
        )

    def test_one_name_server_needs_no_list_and_counts_once(self) -> None:
        self.assertEqual(read(S2SServerOptions, {"dns_servers": "127.0.0.1"}).dns_addresses, (("127.0.0.1", 53),))
        self.assertEqual(self.servers("127.0.0.1", "127.0.0.1:53"), (("127.0.0.1", 53),))

    def test_what_is_no_address_is_wrong(self) -> None:
        for text in ("dns.example.org", "127.0.0.1:0", "127.0.0.1:65536", "[::1", "[::1]53", "127.0.0.1:٣", ":53", "["):
            error = self.assertRaises(ConfigErrors, self.servers, text)
            self.assertIn("must be the IP address of a name server", str(error), text)

    def test_there_are_only_so_many_name_servers(self) -> None:
        words = [f"192.0.2.{number}" for number in range(MAXIMUM_DNS_SERVERS + 1)]
        self.assertEqual(len(self.servers(*words[:-1]) or ()), MAXIMUM_DNS_SERVERS)
        self.assertIn("at most 8 name servers", str(self.assertRaises(ConfigErrors, self.servers, *words)))

    @given(st.lists(st.tuples(st.ip_addresses(), PORTS), min_size=1, max_size=MAXIMUM_DNS_SERVERS))
    def test_what_was_written_is_read_again(self, servers: list[tuple[object, int]]) -> None:
        words = [f"[{ip}]:{port}" if isinstance(ip, ipaddress.IPv6Address) else f"{ip}:{port}" for ip, port in servers]
        found = read(S2SServerOptions, {"dns_servers": words})
        self.assertEqual(found.dns_addresses, tuple(dict.fromkeys((str(ip), port) for ip, port in servers)))
        self.assertEqual(read(S2SServerOptions, written(found)), found)  # type: ignore[arg-type]

    @given(st.text())
    @example("[::1]:")
    @example("::1:")
    @example("fe80::1%eth0")
    def test_any_text_is_an_address_or_an_error(self, text: str) -> None:
        try:
            (found,) = read_dns_servers(node_of([text]), "dns_servers")
        except ConfigError:
            return
        self.assertEqual(read_dns_servers(node_of(found), ""), (found,))
