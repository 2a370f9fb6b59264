"""Features: offered and taken while their conditions hold, and only then (RFC 6120 §4.3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.links.c2s import FEATURES
from federix.streams.feature import Facts, StreamFeature, StreamFeatures
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.stanza import IQ, Message, Presence

facts = st.sets(st.sampled_from([Facts.SECURE, Facts.AUTHENTICATED, Facts.BOUND])).map(
    lambda found: Facts(sum(fact.value for fact in found))
)


class Link:
    willing = True


def offer(link: Link) -> list[Element]:
    return [Element("feature", "urn:f")] if link.willing else []


def take(link: Link, element: Element) -> None: ...


FEATURE: StreamFeature[Link] = StreamFeature(
    "feature",
    needs=Facts.SECURE,
    forbids=Facts.BOUND,
    offer=offer,
    takes=frozenset((("urn:f", "take"),)),
    take=take,
)
TAKE = Element("take", "urn:f")


def features() -> StreamFeatures[Link]:
    return StreamFeatures(FEATURE)


class FeatureTests(SynchronousTestCase):
    @given(facts)
    def test_it_is_there_while_all_it_needs_is_true_and_nothing_it_forbids(self, found: Facts) -> None:
        possible = Facts.SECURE in found and Facts.BOUND not in found
        self.assertEqual(FEATURE.possible(found), possible)
        self.assertEqual(len(features().offer(Link(), found).children), int(possible))
        self.assertEqual(features().taker(found, TAKE), take if possible else None)

    def test_it_may_have_nothing_to_offer(self) -> None:
        link = Link()
        link.willing = False
        element = features().offer(link, Facts.SECURE)
        self.assertEqual((element.ns, element.name, element.children), (ns.STREAMS, "features", []))

    def test_they_are_offered_in_their_order(self) -> None:
        def named(name: str) -> StreamFeature[Link]:
            return StreamFeature(name, Facts.NONE, Facts.NONE, lambda link: [Element(name, "urn:f")])

        element = StreamFeatures(named("b"), named("a"), named("c")).offer(Link(), Facts.NONE)
        self.assertEqual([child.name for child in element.elements()], ["b", "a", "c"])

    def test_of_an_iq_the_payload_decides(self) -> None:
        iq = IQ(Element("iq", ns.CLIENT, TAKE))
        self.assertIs(features().taker(Facts.SECURE, iq), take)
        self.assertIsNone(features().taker(Facts.NONE, iq))
        self.assertIsNone(features().taker(Facts.SECURE, IQ(Element("iq", ns.CLIENT))))

    def test_no_other_stanza_takes_a_feature(self) -> None:
        for cls in (Message, Presence):
            self.assertIsNone(features().taker(Facts.SECURE, cls(Element(cls.kind, ns.CLIENT, TAKE))))

    def test_name_and_namespace_must_both_be_right(self) -> None:
        for element in (Element("take", "urn:other"), Element("other", "urn:f")):
            self.assertIsNone(features().taker(Facts.SECURE, element))

    def test_those_of_clients_come_as_xep_0170_has_them(self) -> None:
        order = [feature.name for feature in FEATURES]
        self.assertLess(order.index("starttls"), order.index("sasl"))
        self.assertLess(order.index("sasl"), order.index("bind"))

    def test_no_two_take_the_same(self) -> None:
        taken = [key for feature in FEATURES for key in feature.takes]
        self.assertEqual(len(taken), len(set(taken)))
