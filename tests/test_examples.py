"""Each example does what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from federix.core.loader import Catalogue
from federix.testing import World

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


class QuietHours(SynchronousTestCase):
    """A module of one's own, from a `modules_dir`."""

    def setUp(self) -> None:
        found = Catalogue({}, [EXAMPLES / "modules"]).find("mod_quiet")
        assert found is not None
        self.world = World(modules={"mod_quiet": {"text": "later"}}, own_modules={"mod_quiet": found})
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.hour = int(self.world.server.now() // 3600 % 24)

    def until(self, hour: int) -> None:
        self.world.advance(((hour - self.hour) % 24) * 3600.0)

    def say(self) -> None:
        self.romeo.send("<message to='juliet@example.org/balcony' type='chat'><body>hello</body></message>")
        self.juliet.expect("<message from='romeo@example.org/orchard'><body>hello</body></message>")

    def test_at_night_the_sender_is_told_once(self) -> None:
        self.until(23)
        self.say()
        self.romeo.expect("<message from='juliet@example.org' type='headline'><body>later</body></message>")
        self.say()
        self.romeo.nothing()

    def test_by_day_nobody_is_told(self) -> None:
        self.until(12)
        self.say()
        self.romeo.nothing()


class Standing(SynchronousTestCase):
    def test_every_example_can_be_imported(self) -> None:
        for path in sorted(EXAMPLES.rglob("*.py")):
            spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            self.addCleanup(sys.modules.pop, spec.name, None)
            spec.loader.exec_module(module)
            self.assertTrue(module.__doc__, path)
