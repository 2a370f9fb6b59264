"""What one address may do is bounded, and so is what is remembered about it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.addresses import Addresses, AddressLimits, Refusal


class AddressCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def addresses(self, **changes: Any) -> Addresses:
        whole = {name: changes.pop(name) for name in ("exempt", "max_remembered") if name in changes}
        return Addresses(self.clock.seconds, AddressLimits(**({"burst": 0, "window_seconds": 60.0} | changes)), **whole)


class ConnectionTests(AddressCase):
    def test_one_address_has_so_many_connections_and_no_more(self) -> None:
        addresses = self.addresses(max_connections=2)
        self.assertEqual([addresses.admit("192.0.2.1") for _ in range(3)], [None, None, Refusal.TOO_MANY])
        self.assertIsNone(addresses.admit("192.0.2.2"))

    def test_a_connection_that_ends_makes_room(self) -> None:
        addresses = self.addresses(max_connections=1)
        addresses.admit("192.0.2.1")
        addresses.left("192.0.2.1")
        self.assertIsNone(addresses.admit("192.0.2.1"))

    def test_nothing_is_remembered_of_those_who_left(self) -> None:
        addresses = self.addresses(max_connections=5)
        for _ in range(3):
            addresses.admit("192.0.2.1")
        for _ in range(4):
            addresses.left("192.0.2.1")
        self.assertEqual(addresses._connections, {})

    def test_a_network_of_64_bits_is_one_address(self) -> None:
        addresses = self.addresses(max_connections=1)
        addresses.admit("2001:db8:0:1::1")
        self.assertIs(addresses.admit("2001:db8:0:1:ffff:ffff:ffff:ffff"), Refusal.TOO_MANY)
        self.assertIsNone(addresses.admit("2001:db8:0:2::1"))

    def test_an_ipv4_address_inside_ipv6_is_the_ipv4_address(self) -> None:
        addresses = self.addresses(max_connections=1)
        addresses.admit("::ffff:192.0.2.1")
        self.assertIs(addresses.admit("192.0.2.1"), Refusal.TOO_MANY)
        self.assertIsNone(addresses.admit("::ffff:192.0.2.2"))

    def test_no_ipv6_network_is_taken_for_an_ipv4_address(self) -> None:
        addresses = self.addresses(max_connections=1, exempt=())
        addresses.admit("0.0.0.1")
        self.assertIsNone(addresses.admit("0:0:0:1::"))

    def test_the_loopback_device_is_exempt_unless_told_otherwise(self) -> None:
        for ip in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            self.assertIsNone(self.addresses(max_connections=0).admit(ip))
            self.assertIs(self.addresses(max_connections=0, exempt=()).admit(ip), Refusal.TOO_MANY)

    def test_networks_can_be_exempt(self) -> None:
        addresses = self.addresses(max_connections=0, max_failures=1, exempt=["192.0.2.0/24", "2001:db8::/32"])
        for ip in ("192.0.2.77", "2001:db8:ffff::1"):
            self.assertIsNone(addresses.admit(ip))
            addresses.left(ip)
            self.assertFalse(addresses.login_failed(ip))
            self.assertFalse(addresses.banned(ip))
        self.assertIs(addresses.admit("192.0.3.1"), Refusal.TOO_MANY)

    def test_what_is_no_address_has_no_limits(self) -> None:
        addresses = self.addresses(max_connections=0, max_failures=1)
        for ip in ("", "/run/federix.sock"):
            self.assertIsNone(addresses.admit(ip))
            addresses.left(ip)
            self.assertFalse(addresses.login_failed(ip))

    def test_a_link_local_address_with_its_device_is_understood(self) -> None:
        addresses = self.addresses(max_connections=1)
        addresses.admit("fe80::1%eth0")
        self.assertIs(addresses.admit("fe80::1%eth0"), Refusal.TOO_MANY)


class RateTests(AddressCase):
    def test_a_burst_is_taken_and_then_the_rate(self) -> None:
        addresses = self.addresses(rate=0.5, burst=2)
        self.assertEqual([addresses.admit("192.0.2.1") for _ in range(3)], [None, None, Refusal.TOO_FAST])
        self.clock.advance(1.9)
        self.assertIs(addresses.admit("192.0.2.1"), Refusal.TOO_FAST)
        self.clock.advance(0.1)
        self.assertIsNone(addresses.admit("192.0.2.1"))
        self.assertIs(addresses.admit("192.0.2.1"), Refusal.TOO_FAST)

    def test_a_refused_connection_counts_for_nothing(self) -> None:
        addresses = self.addresses(rate=1.0, burst=1, max_connections=1)
        addresses.admit("192.0.2.1")
        addresses.admit("192.0.2.1")
        addresses.left("192.0.2.1")
        self.clock.advance(1)
        self.assertIsNone(addresses.admit("192.0.2.1"))

    @settings(deadline=None)
    @given(st.floats(0.01, 100), st.integers(1, 20), st.lists(st.floats(0, 10), max_size=40))
    def test_in_no_interval_are_more_admitted_than_burst_and_rate_allow(
        self, rate: float, burst: int, gaps: list[float]
    ) -> None:
        clock = Clock()
        addresses = Addresses(clock.seconds, AddressLimits(rate=rate, burst=burst))
        admitted: list[float] = []
        for gap in gaps:
            clock.advance(gap)
            if addresses.admit("192.0.2.1") is None:
                admitted.append(clock.seconds())
        for first, start in enumerate(admitted):
            for count, end in enumerate(admitted[first:], 1):
                self.assertLessEqual(count, burst + rate * (end - start) + 1e-6)


class LoginTests(AddressCase):
    ip = "192.0.2.1"

    def test_too_many_failures_ban_for_a_time(self) -> None:
        addresses = self.addresses(max_failures=3)
        self.assertEqual([addresses.login_failed(self.ip) for _ in range(3)], [False, False, True])
        self.assertTrue(addresses.banned(self.ip))
        self.assertIs(addresses.admit(self.ip), Refusal.BANNED)
        self.clock.advance(3599)
        self.assertIs(addresses.admit(self.ip), Refusal.BANNED)
        self.clock.advance(1)
        self.assertIsNone(addresses.admit(self.ip))
        self.assertFalse(addresses.banned(self.ip))

    def test_after_a_ban_the_count_begins_again(self) -> None:
        addresses = self.addresses(max_failures=2)
        addresses.login_failed(self.ip)
        addresses.login_failed(self.ip)
        self.clock.advance(3600)
        self.assertFalse(addresses.login_failed(self.ip))
        self.assertFalse(addresses.banned(self.ip))

    def test_failures_far_apart_do_not_add_up(self) -> None:
        addresses = self.addresses(max_failures=2)
        for _ in range(5):
            self.assertFalse(addresses.login_failed(self.ip))
            self.clock.advance(60)

    def test_a_successful_login_forgives_failures_but_no_ban(self) -> None:
        addresses = self.addresses(max_failures=2)
        addresses.login_failed(self.ip)
        addresses.login_succeeded(self.ip)
        self.assertFalse(addresses.login_failed(self.ip))
        self.assertTrue(addresses.login_failed(self.ip))
        addresses.login_succeeded(self.ip)
        self.assertTrue(addresses.banned(self.ip))

    def test_who_is_banned_and_goes_on_guessing_is_told_so(self) -> None:
        addresses = self.addresses(max_failures=2)
        addresses.login_failed(self.ip)
        addresses.login_failed(self.ip)
        self.assertTrue(addresses.login_failed(self.ip))

    def test_an_operator_can_lift_a_ban(self) -> None:
        addresses = self.addresses(max_failures=1)
        self.assertFalse(addresses.unban(self.ip))
        addresses.login_failed(self.ip)
        self.assertTrue(addresses.unban(self.ip))
        self.assertIsNone(addresses.admit(self.ip))

    def test_an_attacker_cannot_leave_his_ban_by_moving_within_his_network(self) -> None:
        addresses = self.addresses(max_failures=2)
        addresses.login_failed("2001:db8::1")
        addresses.login_failed("2001:db8::2")
        self.assertTrue(addresses.banned("2001:db8::3"))

    def test_without_a_limit_nobody_is_banned(self) -> None:
        addresses = self.addresses()
        self.assertFalse(any(addresses.login_failed(self.ip) for _ in range(100)))


class MemoryTests(AddressCase):
    def test_each_table_forgets_the_address_longest_unheard_of(self) -> None:
        addresses = self.addresses(rate=0.001, burst=1, max_failures=2, max_remembered=3)
        for last in (1, 2, 3, 1, 4):
            addresses.admit(f"192.0.2.{last}")
            addresses.login_failed(f"198.51.100.{last}")
        # The first was heard of again (refused, and so banned); the second is the one that was forgotten.
        self.assertIs(addresses.admit("192.0.2.1"), Refusal.TOO_FAST)
        self.assertIsNone(addresses.admit("192.0.2.2"))
        self.assertTrue(addresses.banned("198.51.100.1"))

    def test_no_table_grows_beyond_its_bound(self) -> None:
        addresses = self.addresses(rate=1, burst=1, max_failures=2, max_remembered=10)
        for number in range(300):
            ip = f"10.0.{number >> 8}.{number & 255}"
            addresses.admit(ip)
            addresses.left(ip)
            addresses.login_failed(ip)
            self.assertLessEqual(len(addresses._buckets), 10)
            self.assertLessEqual(len(addresses._failures), 10)
            if number % 2:
                addresses.login_failed(ip)
            self.assertLessEqual(len(addresses._bans), 10)
        self.assertEqual(len(addresses._bans), 10)
        self.assertEqual(addresses._connections, {})
