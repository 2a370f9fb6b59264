from collections import Counter
from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.srv import Service, Srv, ascii_domain, in_order, is_refused

SEED = 2782


def number(wanted: int) -> bytes:
    return wanted.to_bytes(8, "big")


def always(wanted: int) -> Callable[[int], bytes]:
    return lambda _: number(wanted)


def hosts(services: list[Service]) -> list[str]:
    return [service.record.target for service in services]


def first(*records: Srv, rounds: int = 4000) -> Counter[str]:
    """How often each is tried first."""
    random = Random(SEED).randbytes
    return Counter(in_order(records, (), random)[0].record.target for _ in range(rounds))


class Order(SynchronousTestCase):
    def test_smaller_priorities_come_first(self) -> None:
        records = [Srv(20, 0, 1, "c"), Srv(5, 0, 1, "a"), Srv(10, 65535, 1, "b")]
        self.assertEqual(hosts(in_order(records, (), Random(SEED).randbytes)), ["a", "b", "c"])

    def test_both_kinds_are_mixed_by_priority(self) -> None:
        """XEP-0368 §3, rule 1."""
        starttls = [Srv(5, 0, 5269, "a"), Srv(20, 0, 5269, "d")]
        direct = [Srv(10, 0, 443, "b"), Srv(15, 0, 5270, "c")]
        services = in_order(starttls, direct, Random(SEED).randbytes)
        self.assertEqual(hosts(services), ["a", "b", "c", "d"])
        self.assertEqual([service.direct_tls for service in services], [False, True, True, False])

    def test_both_kinds_are_mixed_by_weight(self) -> None:
        random = Random(SEED).randbytes
        count = Counter(
            in_order([Srv(1, 1, 5269, "a")], [Srv(1, 3, 5270, "b")], random)[0].direct_tls for _ in range(4000)
        )
        self.assertApproximates(count[True] / 4000, 0.6, 0.03)  # 0 and 1 of 0 to 4 are the first's

    def test_the_running_sum_decides(self) -> None:
        """RFC 2782, "Weight": with 1, 3 and 6 there are eleven numbers, and the sum reaches them one after another."""
        records = [Srv(0, 1, 9, "a"), Srv(0, 3, 9, "b"), Srv(0, 6, 9, "c")]
        chosen = [in_order(records, (), always(wanted))[0].record.target for wanted in range(11)]
        self.assertEqual("".join(chosen), "aabbbcccccc")

    def test_what_was_chosen_is_not_chosen_again(self) -> None:
        records = [Srv(0, 1, 9, "a"), Srv(0, 3, 9, "b"), Srv(0, 6, 9, "c")]
        numbers = iter([4, 1, 0])
        self.assertEqual(hosts(in_order(records, (), lambda _: number(next(numbers)))), ["b", "a", "c"])
        numbers = iter([0, 9, 0])
        self.assertEqual(hosts(in_order(records, (), lambda _: number(next(numbers)))), ["a", "c", "b"])

    def test_three_quarters_of_the_weight_are_three_quarters_of_the_connections(self) -> None:
        count = first(Srv(0, 100, 9, "slow"), Srv(0, 300, 9, "fast"))
        self.assertApproximates(count["fast"] / 4000, 0.75, 0.03)

    def test_without_weight_there_is_a_very_small_chance(self) -> None:
        count = first(Srv(0, 65535, 9, "a"), Srv(0, 0, 9, "b"))
        self.assertLess(count["b"], 5)
        # Not none: the number may be 0, and what has no weight stands at the beginning.
        services = in_order([Srv(0, 65535, 9, "a"), Srv(0, 0, 9, "b")], (), always(0))
        self.assertEqual(hosts(services), ["b", "a"])

    def test_where_nothing_can_be_connected_to_is_left_out(self) -> None:
        records = [Srv(0, 0, 0, "a"), Srv(0, 0, 5269, "."), Srv(0, 0, 5269, ""), Srv(1, 0, 5269, "b")]
        self.assertEqual(hosts(in_order(records, records, Random(SEED).randbytes)), ["b", "b"])

    def test_no_record_no_order(self) -> None:
        self.assertEqual(in_order((), (), Random(SEED).randbytes), [])


class Refusal(SynchronousTestCase):
    def test_the_root_alone_says_there_is_no_service(self) -> None:
        self.assertTrue(is_refused([Srv(0, 0, 0, ".")]))
        self.assertTrue(is_refused([Srv(0, 0, 5269, "")]))

    def test_all_else_is_no_refusal(self) -> None:
        self.assertFalse(is_refused([]))
        self.assertFalse(is_refused([Srv(0, 0, 5269, "a")]))
        self.assertFalse(is_refused([Srv(0, 0, 0, "."), Srv(0, 0, 5269, "a")]))


class Names(SynchronousTestCase):
    def test_the_dns_knows_a_labels(self) -> None:
        self.assertEqual(ascii_domain("b\u00fccher.example"), "xn--bcher-kva.example")
        self.assertEqual(ascii_domain("\u4f8b\u3048.\u30c6\u30b9\u30c8"), "xn--r8jz45g.xn--zckzah")
        self.assertEqual(ascii_domain("_a.example.org"), "_a.example.org")
        self.assertEqual(ascii_domain("[::1]"), "[::1]")


RECORDS = st.lists(
    st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.integers(1, 65535), st.sampled_from("abc")), max_size=12
)


class Properties(SynchronousTestCase):
    @given(RECORDS, RECORDS, st.integers())
    def test_each_is_there_once_and_priorities_rise(self, starttls: list[Srv], direct: list[Srv], seed: int) -> None:
        services = in_order(starttls, direct, Random(seed).randbytes)
        expected = Counter(Service(record, False) for record in starttls)
        expected.update(Service(record, True) for record in direct)
        self.assertEqual(Counter(services), expected)
        priorities = [service.record.priority for service in services]
        self.assertEqual(priorities, sorted(priorities))

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=5), st.integers(0, 2**64 - 1))
    def test_the_first_is_the_one_whose_share_holds_the_number(self, weights: list[int], chosen: int) -> None:
        """Against the RFC's words, taken literally: running sums beside the records, the first that is large enough."""
        records = [Srv(0, weight, 1, str(place)) for place, weight in enumerate(weights)]
        unordered = sorted(records, key=lambda record: record.weight != 0)
        wanted = chosen % (sum(weights) + 1)
        sums = [sum(record.weight for record in unordered[: end + 1]) for end in range(len(unordered))]
        expected = next(record for record, total in zip(unordered, sums, strict=True) if total >= wanted)
        self.assertEqual(in_order(records, (), always(chosen))[0].record, expected)
