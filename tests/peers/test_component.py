"""A component written with slixmpp, and users who talk with it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .client import Client
from .conftest import SOURCE, Stage
from .federix_server import COMPONENT, COMPONENT_PASSWORD, FederixServer
from .requirements import requires_python_package

LINE = "But soft, what <light> & 'shadow' through yonder window breaks?"


@pytest.fixture
def start_component(server: FederixServer, tmp_path: Path) -> Iterator[Callable[[], Client]]:
    """A function that starts the component and returns when it is connected."""
    requires_python_package("slixmpp")
    options = {"--domain": COMPONENT, "--password": COMPONENT_PASSWORD, "--port": str(server.component_port)}
    command = [sys.executable, "-m", "tests.peers.clients.slixmpp_component"]
    for name, value in options.items():
        command += [name, value]
    with ExitStack() as started:

        def start() -> Client:
            component = Client(command, {"PYTHONPATH": str(SOURCE)}, tmp_path / "component.log")
            started.callback(component.kill)
            return component

        yield start


def test_a_user_and_a_component_talk(stage: Stage, start_component: Callable[[], Client]) -> None:
    component = start_component()
    romeo = stage.enter("slixmpp", stage.account("romeo"), "starttls")
    romeo.do("message", to=f"juliet@{COMPONENT}", body=LINE)
    component.expect("message", sender=romeo.jid, body=LINE)
    romeo.expect("message", sender=f"juliet@{COMPONENT}", body=LINE)
    component.do("message", sender=f"nurse@{COMPONENT}/hall", to=romeo.jid, body="Madam!")
    romeo.expect("message", sender=f"nurse@{COMPONENT}/hall", body="Madam!")
    romeo.kill()


def test_a_component_that_died_comes_back(stage: Stage, start_component: Callable[[], Client]) -> None:
    start_component().kill()
    component = start_component()
    romeo = stage.enter("slixmpp", stage.account("romeo"), "starttls")
    romeo.do("message", to=COMPONENT, body=LINE)
    component.expect("message", sender=romeo.jid, body=LINE)
    romeo.expect("message", sender=COMPONENT, body=LINE)
    romeo.kill()
