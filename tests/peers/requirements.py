"""What a test needs from the machine: it is skipped where that is missing, except on a build server."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

NODE_PACKAGES = Path(__file__).parent / "node_modules"


def requires(program: str) -> None:
    """Skip the test when *program* is not on the PATH; where CI=true, fail it."""
    if shutil.which(program) is None:
        missing(f"{program} is not installed")


def requires_root() -> None:
    """Skip the test when we may not have the ports of DNS; where CI=true, fail it."""
    if os.geteuid() != 0:
        missing("a DNS server on port 53 of a loopback address needs root")


def requires_mount_namespace() -> None:
    """Skip the test when no process may have a view of the file system of its own; where CI=true, fail it."""
    requires("unshare")
    tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        missing(f"no mount namespace may be made here: {tried.stderr.strip()}")


def requires_lua_package(name: str) -> None:
    """Skip the test when Prosody's Lua has no package *name*; where CI=true, fail it."""
    requires("lua5.4")
    tried = subprocess.run(["lua5.4", "-e", f"require '{name}'"], capture_output=True)
    if tried.returncode != 0:
        missing(f"the Lua package {name} is not installed")


def requires_python_package(name: str) -> None:
    """Skip the test when the Python package *name* is not installed; where CI=true, fail it."""
    # COMPAT(aioxmpp 0.13): see setup.cfg.
    if name == "aioxmpp" and sys.version_info >= (3, 13):
        pytest.skip("aioxmpp needs lxml 4, which is not built for this Python")
    if importlib.util.find_spec(name) is None:
        missing(f"the Python package {name} is not installed")


def requires_node_package(name: str) -> None:
    """Skip the test when node or its package *name* is not there; where CI=true, fail it."""
    requires("node")
    if not (NODE_PACKAGES / name).is_dir():
        missing(f"the npm package {name} is not installed in tests/peers")


def missing(reason: str) -> NoReturn:
    """Skip the test; where CI=true, fail it."""
    # A build server installs every peer itself: one that is missing there would be a test silently lost.
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
