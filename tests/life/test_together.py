from __future__ import annotations

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from federix.life.together import together


class TogetherTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.begun: list[int] = []
        self.waiting: list[Deferred[str]] = [Deferred() for _ in range(3)]

    async def piece(self, number: int) -> str:
        self.begun.append(number)
        return await self.waiting[number]

    def test_all_is_begun_at_once_and_the_results_are_in_order(self) -> None:
        done = ensureDeferred(together(self.piece(number) for number in range(3)))
        self.assertEqual(self.begun, [0, 1, 2])
        for number in (2, 0, 1):
            self.assertNoResult(done)
            self.waiting[number].callback(f"said {number}")
        self.assertEqual(self.successResultOf(done), ["said 0", "said 1", "said 2"])

    def test_what_the_first_that_fails_raises_is_raised_when_all_have_ended(self) -> None:
        done = ensureDeferred(together(self.piece(number) for number in range(3)))
        self.waiting[2].errback(ValueError("of the last"))
        self.waiting[1].errback(KeyError("of the second"))
        self.assertNoResult(done)
        self.waiting[0].callback("said")
        self.failureResultOf(done, KeyError)

    def test_nothing_is_done_at_once(self) -> None:
        nothing: list[Deferred[str]] = []
        self.assertEqual(self.successResultOf(ensureDeferred(together(nothing))), [])
