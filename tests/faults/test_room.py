"""A folder that can be filled up."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from faults.room import room


class RoomTests(SynchronousTestCase):
    def test_a_full_room_takes_nothing_until_it_is_emptied(self) -> None:
        folder = Path(self.mktemp())
        with room(folder) as space:
            if space is None:
                raise SkipTest("no file system can be mounted here")
            (folder / "before").write_bytes(bytes(10_000))
            space.fill()
            with self.assertRaises(OSError):
                (folder / "after").write_bytes(bytes(10_000))
            space.empty()
            (folder / "after").write_bytes(bytes(10_000))
        self.assertEqual(list(folder.iterdir()), [], "it is still mounted")
