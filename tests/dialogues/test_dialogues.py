"""Every dialogue in this folder is a test. What a dialogue is: `federix.testing.dialogue`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from federix.testing.dialogue import Dialogue


class DialogueTests(SynchronousTestCase):
    """One test for each file, named after it."""


def _played(path: Path) -> Callable[[DialogueTests], None]:
    def test(self: DialogueTests) -> None:
        Dialogue.read(path).play()

    return test


for _path in sorted(Path(__file__).parent.glob("*.dialogue")):
    setattr(DialogueTests, f"test_{_path.stem}", _played(_path))
