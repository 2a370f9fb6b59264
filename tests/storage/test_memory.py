from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import federix

ROOT = Path(federix.__file__).parent.parent

PROGRAM = """
import sys
import federix.storage.memory, federix.storage.shapes, federix.storage.codec
print([name for name in ("sqlalchemy", "alembic", "sqlite3") if name in sys.modules])
"""


class MemoryImportsTest(SynchronousTestCase):
    def test_the_memory_back_end_imports_no_database(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(done.stdout.strip(), "[]")
