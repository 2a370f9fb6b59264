"""For all tests: what they write lies in a temporary folder, never among the sources."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count

import hypothesis
import pytest
from twisted.trial.unittest import SynchronousTestCase

# Everywhere else each run looks at new examples; where a run decides, it must not be luck.
hypothesis.settings.register_profile("CI", derandomize=True, deadline=None)
if os.environ.get("CI") == "true":
    hypothesis.settings.load_profile("CI")


@pytest.fixture(autouse=True, scope="session")
def written_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """trial's own `mktemp` makes folders where the tests were started, and leaves them there."""
    folder = tmp_path_factory.mktemp("trial")
    numbers = count(1)

    def mktemp(case: SynchronousTestCase) -> str:
        """A path at which nothing is yet."""
        return str(folder / f"{type(case).__name__}-{next(numbers)}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SynchronousTestCase, "mktemp", mktemp)
        yield


# What is ignored here is ignored by every process a test starts, and under nohup or in the background that is what they
# are sent. A handler is not handed down.
for _ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_ignored) is signal.SIG_IGN:
        signal.signal(_ignored, lambda *_: None)
