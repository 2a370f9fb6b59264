"""What a test needs from the machine: it is skipped where that is missing, except on a build server."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

NODE_PACKAGES = Path(__file__).parent / "node_modules"


def requires(program: str) -> None:
    """Skip the test when *program* is not on the PATH; where CI=true, fail it."""
    if shutil.which(program) is None:
        _missing(f"{program} is not installed")


def requires_python_package(name: str) -> None:
    """Skip the test when the Python package *name* is not installed; where CI=true, fail it."""
    # COMPAT(aioxmpp 0.13): see setup.cfg.
    if name == "aioxmpp" and sys.version_info >= (3, 13):
        pytest.skip("aioxmpp needs lxml 4, which is not built for this Python")
    if importlib.util.find_spec(name) is None:
        _missing(f"the Python package {name} is not installed")


def requires_node_package(name: str) -> None:
    """Skip the test when node or its package *name* is not there; where CI=true, fail it."""
    requires("node")
    if not (NODE_PACKAGES / name).is_dir():
        _missing(f"the npm package {name} is not installed in tests/peers")


def _missing(reason: str) -> None:
    # A build server installs every peer itself: one that is missing there would be a test silently lost.
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
