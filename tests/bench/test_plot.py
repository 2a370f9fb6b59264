"""The picture of the ratios."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from unittest import skipUnless
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench.plot import plot

RATIOS = [
    ("messages in pairs", {"relay": 1.61, "ejabberd": 0.33, "prosody": 0.07}),
    ("presence", {"relay": 12.5}),
    ("nobody else can do it", {}),
]


@skipUnless(find_spec("matplotlib"), "matplotlib is not installed")
class PlotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp()).with_suffix(".svg")

    def words(self) -> str:
        return " ".join(ElementTree.parse(self.file).getroot().itertext())

    def test_it_shows_every_ratio_with_its_names_as_text(self) -> None:
        self.assertIsNone(plot(RATIOS, self.file))
        for word in ("messages in pairs", "1.61", "0.33", "0.07", "12.50", "Federix / relay", "Federix / prosody"):
            self.assertIn(word, self.words())

    def test_what_was_not_compared_is_left_out(self) -> None:
        plot(RATIOS, self.file)
        self.assertNotIn("nobody else", self.words())

    def test_the_same_figures_make_the_same_small_file(self) -> None:
        plot(RATIOS, self.file)
        first = self.file.read_bytes()
        plot(RATIOS, self.file)
        self.assertEqual(self.file.read_bytes(), first)
        self.assertLess(len(first), 50_000)

    def test_nothing_to_show_is_said(self) -> None:
        told = plot([("pairs", {})], self.file)
        self.assertIn("nothing", told or "")
        self.assertFalse(self.file.exists())
