"""Fixtures for tests with real clients: one server for all of them, and programs that log in to it."""

import contextlib
import itertools
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from . import federix_server
from .authority import Authority, make_authority
from .client import Client
from .federation import Federation
from .requirements import requires, requires_node_package, requires_python_package
from .server import HOST, Server

Tls = Literal["starttls", "direct"]
Options = Mapping[str, object]
StartServer = Callable[..., Server]

PASSWORD = "wherefore-art-thou"
CLIENTS = Path(__file__).parent / "clients"
SOURCE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the server under test."""

    user: str

    @property
    def jid(self) -> str:
        """The bare JID."""
        return f"{self.user}@{HOST}"


class Stage:
    """Makes accounts on one server and logs clients in to it; it ends what still runs at the end."""

    def __init__(self, server: Server, authority: Authority, folder: Path, numbers: Iterator[int]) -> None:
        self._server = server
        self._authority = authority
        self._folder = folder
        self._numbers = numbers
        self._clients = contextlib.ExitStack()

    def account(self, name: str) -> Account:
        """Register a user whose name begins with *name*, and is nobody else's."""
        account = Account(f"{name}{next(self._numbers)}")
        self._server.register(account.user, PASSWORD)
        return account

    def enter(self, kind: str, account: Account, tls: Tls, *, address: str | None = None) -> Client:
        """Start a client of this *kind* and return when it is online; it may connect to another *address*."""
        port = self._server.tls_port if tls == "direct" else self._server.starttls_port
        options = {
            "--user": account.user,
            "--host": HOST,
            "--password": PASSWORD,
            "--port": str(port),
            "--tls": tls,
            "--authority": str(self._authority.certificate),
        }
        if address is not None:
            options["--address"] = address
        command = [*_program(kind), *itertools.chain.from_iterable(options.items())]
        environment = {
            "NODE_EXTRA_CA_CERTS": str(self._authority.certificate),
            "PYTHONPATH": str(SOURCE),
        }
        client = Client(command, environment, self._folder / f"{kind}-{next(self._numbers)}.log")
        self._clients.callback(client.kill)
        return client

    def close(self) -> None:
        """End every client."""
        self._clients.close()


def _program(kind: str) -> list[str]:
    """Return the command of a client program, or skip the test when what it needs is missing."""
    match kind:
        case "xmppjs":
            requires_node_package("@xmpp/client")
            return ["node", str(CLIENTS / "xmppjs_client.mjs")]
        case "profanity":
            requires("profanity")
            requires("tmux")
        case "go_sendxmpp":
            requires("go-sendxmpp")
        case "slixmpp_managed" | "slixmpp_keeping" | "slixmpp_asking":
            requires_python_package("slixmpp")
        case _:
            requires_python_package(kind)
    return [sys.executable, "-m", f"tests.peers.clients.{kind}_client"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what the servers wrote, whose logs hold every stanza."""
    report = yield
    running = getattr(item, "funcargs", {}).get("federation")
    if report.failed and isinstance(running, Federation):
        report.sections += running.logs()
    return report


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"), HOST)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """The server that tests share when they neither configure nor hurt it."""
    shared = federix_server.FederixServer(tmp_path_factory.mktemp("server"), authority)
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """For the names of accounts: those of one file are on the server when the next one begins."""
    return itertools.count(1)


@pytest.fixture
def start_server(tmp_path: Path, authority: Authority) -> Iterator[StartServer]:
    """A function that starts a server for one test, with the options of modules it is given."""
    with contextlib.ExitStack() as servers:

        def start(module_options: Mapping[str, Options] | None = None) -> Server:
            own = federix_server.FederixServer(tmp_path, authority, module_options)
            servers.callback(own.stop)
            own.start()
            return own

        yield start


@pytest.fixture(scope="module")
def stage(
    server: Server, authority: Authority, tmp_path_factory: pytest.TempPathFactory, numbers: Iterator[int]
) -> Iterator[Stage]:
    """Clients of the shared server; they stay until the last test of the file has ended."""
    with contextlib.closing(Stage(server, authority, tmp_path_factory.mktemp("clients"), numbers)) as shared:
        yield shared


@pytest.fixture
def stage_for(authority: Authority, tmp_path: Path, numbers: Iterator[int]) -> Iterator[Callable[[Server], Stage]]:
    """A function that gives one test the clients of its own server."""
    with contextlib.ExitStack() as stages:

        def open_stage(own: Server) -> Stage:
            return stages.enter_context(contextlib.closing(Stage(own, authority, tmp_path, numbers)))

        yield open_stage
