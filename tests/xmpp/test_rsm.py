from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp.element import Element
from federix.xmpp.errors import Condition, StanzaError
from federix.xmpp.rsm import MAX_NUMBER, MAX_UID, RSM, Page, Request, cut

ITEMS = [f"item{number}" for number in range(10)]


def rsm(**children: str) -> Element:
    return Element("set", RSM, *(Element(name, RSM, text=text) for name, text in children.items()))


def page(request: Request, size: int = 3) -> tuple[list[str], Page]:
    items, description = cut(ITEMS, str, request, size)
    return list(items), description


class Asking(SynchronousTestCase):
    def assert_refused(self, element: Element) -> None:
        with self.assertRaises(StanzaError) as caught:
            Request.parse(element)
        self.assertEqual(caught.exception.condition, Condition.BAD_REQUEST)

    def test_the_requests_of_the_examples(self) -> None:
        self.assertEqual(Request.parse(rsm(max="10")), Request(max=10))
        self.assertEqual(Request.parse(rsm(max="10", after="a@b")), Request(max=10, after="a@b"))
        self.assertEqual(Request.parse(rsm(max="10", before="a@b")), Request(max=10, before="a@b"))
        self.assertEqual(Request.parse(rsm(max="10", before="")), Request(max=10, before=""))
        self.assertEqual(Request.parse(rsm(max="10", index="371")), Request(max=10, index=371))
        self.assertEqual(Request.parse(rsm(max="0")), Request(max=0))

    def test_nothing_has_to_be_said(self) -> None:
        self.assertEqual(Request.parse(rsm()), Request())
        self.assertEqual(Request.parse(rsm(after="")), Request())
        self.assertIsNone(Request.find(Element("query", "urn:example")))
        self.assertEqual(Request.find(Element("query", "urn:example", rsm(max="1"))), Request(max=1))

    def test_what_is_no_number_is_refused(self) -> None:
        for text in ("", "-1", "1.5", "ten", "+1", "1_0", "\u0661", "\u00b2"):
            self.assert_refused(rsm(max=text))
            self.assert_refused(rsm(index=text))

    def test_numbers_are_cut_to_what_the_schema_allows(self) -> None:
        for text in ("2147483648", "9999999999", "9" * 10_000):
            self.assertEqual(Request.parse(rsm(max=text)).max, MAX_NUMBER)
        self.assertEqual(Request.parse(rsm(max="2147483647")).max, MAX_NUMBER)
        self.assertEqual(Request.parse(rsm(max=" " + "0" * 10_000 + "20 ")).max, 20)

    def test_an_identifier_that_is_too_long_is_refused(self) -> None:
        self.assertEqual(Request.parse(rsm(after="a" * MAX_UID)).after, "a" * MAX_UID)
        for name in ("after", "before"):
            self.assert_refused(rsm(**{name: "a" * (MAX_UID + 1)}))

    def test_a_page_by_index_and_by_item_is_refused(self) -> None:
        self.assert_refused(rsm(index="1", after="a"))
        self.assert_refused(rsm(index="1", before=""))

    def test_the_size_has_a_default_and_a_bound(self) -> None:
        self.assertEqual(Request().size(20, 100), 20)
        self.assertEqual(Request(max=5).size(20, 100), 5)
        self.assertEqual(Request(max=0).size(20, 100), 0)
        self.assertEqual(Request(max=101).size(20, 100), 100)
        self.assertEqual(Request().size(200, 100), 100)


class Answering(SynchronousTestCase):
    def test_the_page_of_the_example(self) -> None:
        self.assertEqual(
            Page("stpeter@jabber.org", "peterpan@neverland.lit", 0, 800).to_element().to_xml(),
            "<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>stpeter@jabber.org</first>"
            "<last>peterpan@neverland.lit</last><count>800</count></set>",
        )

    def test_an_empty_page_has_no_first_and_last(self) -> None:
        self.assertEqual(
            Page(count=790).to_element().to_xml(),
            "<set xmlns='http://jabber.org/protocol/rsm'><count>790</count></set>",
        )


class Cutting(SynchronousTestCase):
    def test_the_first_page(self) -> None:
        self.assertEqual(page(Request()), (ITEMS[:3], Page("item0", "item2", 0, 10)))

    def test_the_next_page_follows_the_item(self) -> None:
        self.assertEqual(page(Request(after="item2")), (ITEMS[3:6], Page("item3", "item5", 3, 10)))
        self.assertEqual(page(Request(after="item8")), (ITEMS[9:], Page("item9", "item9", 9, 10)))
        self.assertEqual(page(Request(after="item9")), ([], Page(count=10)))

    def test_the_previous_page_precedes_the_item(self) -> None:
        self.assertEqual(page(Request(before="item6")), (ITEMS[3:6], Page("item3", "item5", 3, 10)))
        self.assertEqual(page(Request(before="item2")), (ITEMS[:2], Page("item0", "item1", 0, 10)))
        self.assertEqual(page(Request(before="item0")), ([], Page(count=10)))

    def test_the_last_page(self) -> None:
        self.assertEqual(page(Request(before="")), (ITEMS[7:], Page("item7", "item9", 7, 10)))

    def test_a_page_between_two_items(self) -> None:
        self.assertEqual(page(Request(after="item1", before="item4"))[0], ITEMS[2:4])
        self.assertEqual(page(Request(after="item1", before="item8"))[0], ITEMS[5:8])
        self.assertEqual(page(Request(after="item8", before="item1"))[0], [])

    def test_a_page_by_index(self) -> None:
        self.assertEqual(page(Request(index=8)), (ITEMS[8:], Page("item8", "item9", 8, 10)))
        self.assertEqual(page(Request(index=10)), ([], Page(count=10)))
        self.assertEqual(page(Request(index=MAX_NUMBER)), ([], Page(count=10)))

    def test_the_count_alone(self) -> None:
        for request in (Request(), Request(before=""), Request(after="item3")):
            self.assertEqual(page(request, 0), ([], Page(count=10)))

    def test_an_item_that_is_gone_is_not_found(self) -> None:
        for request in (Request(after="gone"), Request(before="gone")):
            with self.assertRaises(StanzaError) as caught:
                page(request)
            self.assertEqual(caught.exception.condition, Condition.ITEM_NOT_FOUND)


NUMBER = st.none() | st.integers(0, MAX_NUMBER)
UID = st.text(min_size=1, max_size=20)
REQUESTS = st.builds(Request, NUMBER, st.none() | UID, st.none() | st.text(max_size=20)) | st.builds(
    Request, NUMBER, index=NUMBER
)
PAGES = st.builds(Page, UID, UID, NUMBER, NUMBER) | st.builds(Page, count=NUMBER)


class Properties(SynchronousTestCase):
    @given(REQUESTS)
    def test_a_request_written_and_read_is_the_same(self, request: Request) -> None:
        self.assertEqual(Request.parse(request.to_element()), request)

    @given(PAGES)
    def test_a_page_written_and_read_is_the_same(self, description: Page) -> None:
        self.assertEqual(Page.parse(description.to_element()), description)

    @given(st.dictionaries(st.sampled_from(["max", "after", "before", "index", "first", "count"]), st.text()))
    def test_anything_is_a_request_or_a_bad_request(self, children: dict[str, str]) -> None:
        for parse in (Request.parse, Page.parse):
            try:
                parse(rsm(**children))
            except StanzaError as error:
                self.assertEqual(error.condition, Condition.BAD_REQUEST)

    @given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 7))
    def test_paging_shows_every_item_once_in_both_directions(self, items: list[int], size: int) -> None:
        forwards: list[int] = []
        part, description = cut(items, str, Request(), size)
        while part:
            forwards += part
            part, description = cut(items, str, Request(after=description.last), size)
        self.assertEqual(forwards, items)
        backwards: list[int] = []
        part, description = cut(items, str, Request(before=""), size)
        while part:
            backwards = [*part, *backwards]
            part, description = cut(items, str, Request(before=description.first), size)
        self.assertEqual(backwards, items)
