"""However what one side says is cut, the same is read of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.testing.reading import Reader
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.events import Footer, Header
from federix.xmpp.stanza import Stanza

_PIECES = (
    *("<message><body>a &lt; b</body></message>", "<presence/>", " ", "<db:result>key</db:result>"),
    *("<success/>", "<x a='<?xml '/>".replace("<?", "&lt;?"), "</stream:stream>", "<wrong></x>", "\x00\xff"),
)


def _stream(pieces: list[str], declared: str) -> str:
    declarations = {"": "", "'": "<?xml version='1.0'?>", '"': '<?xml version="1.0" encoding="UTF-8"?>\n  '}
    return (
        f"{declarations[declared]}<stream:stream xmlns='jabber:server' xmlns:stream='{ns.STREAMS}'"
        f" xmlns:db='{ns.DIALBACK}'>{''.join(pieces)}"
    )


def _read(reader: Reader, data: bytes) -> list[str]:
    found: list[str] = []
    for event in reader.feed(data):
        if isinstance(event, Header):
            found.append(f"header {event.content}")
        elif isinstance(event, Stanza):
            found.append(event.element.to_xml())
        elif isinstance(event, Element):
            found.append(event.to_xml())
        elif isinstance(event, Footer):
            found.append("footer")
        else:
            found.append("garbage")
    return found


_streams = st.lists(
    st.builds(_stream, st.lists(st.sampled_from(_PIECES), max_size=5), st.sampled_from(("", "'", '"'))),
    min_size=1,
    max_size=3,
)


class Cuts(SynchronousTestCase):
    @given(_streams, st.lists(st.integers(0, 1000), max_size=8))
    def test_any_cut_gives_the_same(self, streams: list[str], cuts: list[int]) -> None:
        data = "".join(streams).encode()
        whole = Reader()
        expected = _read(whole, data)
        places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
        reader = Reader()
        found = [each for a, b in pairwise(places) for each in _read(reader, data[a:b])]
        # What is no XML is shown as it comes, in one piece or in many.
        self.assertEqual(
            [each for each in found if each != "garbage"], [each for each in expected if each != "garbage"]
        )
        self.assertEqual("garbage" in found, "garbage" in expected)
        self.assertEqual(sum(each.startswith("header") for each in expected), len(streams))
        reader.close()
        whole.close()
