"""Fixtures for pytest, which finds them by itself where Federix is installed.

`federix_server` is a real server for any client library, `federix_world` one in virtual time. Both come with the
modules of a server without a configuration; their factories make others. `federix_federation` makes several in virtual
time that speak with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pytest

from .process import ServerProcess

if TYPE_CHECKING:
    # Not needed, and so not imported, before a test asks for it: this file is read by every run of pytest.
    from .federation import Federation
    from .world import World

Scope = Literal["session", "package", "module", "class", "function"]

#: The option in pytest's configuration that says how long a server lives.
SCOPE = "federix_scope"
_SCOPES = ("session", "package", "module", "class", "function")


class ServerFactory:
    """Makes servers: ``federix_server_factory(modules={"mod_ping": {}})``, as `ServerProcess`, and running."""

    def __init__(self) -> None:
        self.servers: list[ServerProcess] = []

    def __call__(self, config: Any = None, **settings: Any) -> ServerProcess:
        server = ServerProcess(config, **settings)
        server.start()
        self.servers.append(server)
        return server

    def stop(self) -> None:
        _stop(self.servers)


class _Running(Protocol):
    def stop(self) -> None: ...


def _stop(all_of_them: Sequence[_Running]) -> None:
    """Stop each, the last one first, though one may fail at that."""
    with ExitStack() as stack:
        for each in all_of_them:
            stack.callback(each.stop)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(SCOPE, f"how long federix_server lives: {', '.join(_SCOPES)}", default="function")


def _scope(fixture_name: str, config: pytest.Config) -> Scope:
    chosen: Any = config.getini(SCOPE)
    if chosen not in _SCOPES:
        raise pytest.UsageError(f"{SCOPE} must be one of {', '.join(_SCOPES)}, not {chosen!r}")
    scope: Scope = chosen
    return scope


@pytest.fixture(scope=_scope)
def federix_server_factory() -> Iterator[ServerFactory]:
    """Make servers with settings of their own; they stop with the fixture."""
    factory = ServerFactory()
    yield factory
    factory.stop()


@pytest.fixture(scope=_scope)
def federix_server(federix_server_factory: ServerFactory) -> ServerProcess:
    """A server on free ports of the loopback (`ServerProcess`)."""
    return federix_server_factory()


@pytest.fixture
def federix_world_factory() -> Iterator[Callable[..., World]]:
    """Make servers in virtual time: ``federix_world_factory(modules={…})``, as `World`."""
    from .world import World

    worlds: list[World] = []

    def make(*args: Any, **settings: Any) -> World:
        world = World(*args, **settings)
        worlds.append(world)
        return world

    yield make
    _stop(worlds)


@pytest.fixture
def federix_world(federix_world_factory: Callable[..., World]) -> World:
    """A server in virtual time (`World`)."""
    from .serve import default_modules

    return federix_world_factory(modules=default_modules())


@pytest.fixture
def federix_federation() -> Iterator[Callable[..., Federation]]:
    """Make servers that speak with each other: ``federix_federation("a.test", "b.test")``, as `Federation`."""
    from .federation import Federation

    federations: list[Federation] = []

    def make(*domains: str, **settings: Any) -> Federation:
        federation = Federation(*domains, **settings)
        federations.append(federation)
        return federation

    yield make
    _stop(federations)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers of a failed test logged."""
    report = yield
    if report.failed:
        servers: dict[int, ServerProcess] = {}
        for value in getattr(item, "funcargs", {}).values():
            for found in value.servers if isinstance(value, ServerFactory) else (value,):
                if isinstance(found, ServerProcess):
                    servers[id(found)] = found
        report.sections += [("Federix log", server.log()) for server in servers.values()]
    return report
