"""What a pattern asks for, and what it leaves open."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from federix.testing.match import mismatch, parse


class Match(SynchronousTestCase):
    def fits(self, pattern: str, xml: str, *, exact: bool = False) -> bool:
        return mismatch(parse(pattern), parse(xml), exact=exact) is None

    def test_what_the_pattern_does_not_name_may_be_there(self) -> None:
        self.assertTrue(self.fits("<message id='1'/>", "<message id='1' to='a'><body>x</body></message>"))
        self.assertFalse(self.fits("<message id='1'/>", "<message id='1' to='a'/>", exact=True))
        self.assertFalse(self.fits("<message id='1'/>", "<message to='a'/>"))
        self.assertFalse(self.fits("<message/>", "<presence/>"))

    def test_an_asterisk_stands_for_any_value_text_and_namespace(self) -> None:
        error = "<message id='1'><error><gone xmlns='urn:x'>why</gone></error></message>"
        self.assertTrue(self.fits("<message id='*'><error><gone xmlns='*'>*</gone></error></message>", error))
        self.assertFalse(self.fits("<message><error><gone xmlns='urn:y'/></error></message>", error))
        self.assertFalse(self.fits("<message><error><here xmlns='*'/></error></message>", error))
        self.assertFalse(self.fits("<message to='*'/>", error))

    def test_a_hyphen_stands_for_an_attribute_that_is_not_there(self) -> None:
        self.assertTrue(self.fits("<message to='-'/>", "<message/>"))
        self.assertFalse(self.fits("<message to='-'/>", "<message to='a'/>"))
