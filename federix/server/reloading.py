"""Another configuration for a running server: all of it, or what was there before."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ..core.commands import CommandError
from ..core.host import Host
from ..core.loader import load, ordered
from ..life.tree import State
from .accepting.kinds import KINDS
from .config import Config
from .config.sql_options import AT_START
from .failures import explained
from .listeners import Listener

if TYPE_CHECKING:
    from .ctl.commands import Process
    from .server import Server

log = Logger()

#: Seconds that a host which is not served any more has to let go of what can end well.
HOST_DRAIN_TIMEOUT: Final = 5.0


async def reread(server: Server, process: Process) -> list[str]:
    """Read the configuration again and run with it; returns what the operator should know.

    Raises `CommandError`, with every problem on a line of its own, and nothing changed. The log has it as well.
    """
    try:
        config = process.reread()
        remarks = await server.reload(config)
    except CommandError as error:
        log.error("configuration not reloaded: {problem}", problem=str(error))
        raise
    except Exception as error:
        problems = explained(error)
        for problem in problems:
            log.error("configuration not reloaded: {problem}", problem=problem)
        raise CommandError("\n".join(problems)) from None
    process.adopt(config)
    for warning in config.warnings:
        log.warn("configuration: {problem}", problem=str(warning))
    return [*map(str, config.warnings), *remarks]


async def reload(server: Server, config: Config) -> list[str]:
    """See `Server.reload`."""
    if server.reloading:
        raise CommandError("a reload is under way: wait for its end")
    if server.state is not State.RUNNING:
        raise CommandError(f"the server is {server.state}: only one that runs can take another configuration")
    server.reloading = True
    try:
        remarks = list(needing_a_restart(server.config, config))
        config = with_what_stays(server.config, config)
        check(server, config)
        old = server.config
        try:
            problems = await _apply(server, config)
        except Exception:
            await _restore(server, old)
            raise
    finally:
        server.reloading = False
    for remark in remarks:
        log.warn("configuration: {problem}", problem=remark)
    log.info("configuration reloaded", hosts=", ".join(config.hosts))
    return [*remarks, *problems]


def check(server: Server, config: Config) -> None:
    """Raise what would fail for certain, before anything is touched."""
    for name in config.hosts:
        ordered(module.cls for module in config.modules(name).values())
    for listener in config.listeners:
        KINDS[listener.module].tls(server.certificates.store, config, listener.options)


def needing_a_restart(old: Config, new: Config) -> list[str]:
    """What *new* changes and a reload does not."""
    changed = [name for name in AT_START if getattr(old.server, name) != getattr(new.server, name)]
    changed += [
        f"backlog of {listener.name}"
        for listener in new.listeners
        for before in old.listeners
        if listener.name == before.name and _backlog(listener.options) != _backlog(before.options)
    ]
    return [f"{name}: needs a restart of the server; until then the old value is in force" for name in changed]


def with_what_stays(old: Config, new: Config) -> Config:
    """*new* with the old values of what a reload does not change, so that it says what is true."""
    backlogs = {listener.name: _backlog(listener.options) for listener in old.listeners}
    listeners = tuple(
        replace(listener, options=replace(listener.options, backlog=backlogs[listener.name]))  # type: ignore[call-arg]
        if backlogs.get(listener.name, _backlog(listener.options)) != _backlog(listener.options)
        else listener
        for listener in new.listeners
    )
    kept = {name: getattr(old.server, name) for name in AT_START}
    return replace(new, directory=old.directory, listeners=listeners, server=replace(new.server, **kept))


def _backlog(options: object) -> object:
    return getattr(options, "backlog", None)


async def _restore(server: Server, old: Config) -> None:
    try:
        await _apply(server, old)
    except Exception:
        log.failure("what was in force before could not be restored in full")


async def _apply(server: Server, config: Config) -> list[str]:
    """Have *config* run, whatever runs now; returns what is wrong with the certificates, and with options of modules.

    What may fail comes first. What cannot be taken back, the end of a host and of its sessions, comes last.
    """
    # Hosts that will go are asked for their options as long as they are there.
    known = {**server.config.host_configs, **config.host_configs}
    server.config = replace(config, host_configs=MappingProxyType(known))
    problems = server.certificates.reconfigure() + server.trust.reconfigure()
    bound = await _bind(server, config)
    try:
        problems += await _run(server, config, bound)
    except BaseException:
        for listener in bound.values():
            await listener.release()
        raise
    for name in list(server.hosts.children):
        if name not in config.hosts:
            # What clients have not acknowledged is kept while there are modules to take it; what they said and has not
            # left goes back while they are there.
            server.federation.let_go([name])
            await server.hosts.children[name].drain(server.clock.seconds() + HOST_DRAIN_TIMEOUT)
            await server.hosts.remove(name)
    server.config = config
    server.federation.reconfigure()
    await server.components.expect(config.component_domains())
    return problems


async def _bind(server: Server, config: Config) -> dict[str, Listener]:
    """New listeners, by name, with their ports: a port that is taken is told before a module has ended for nothing.

    Where a listener that goes has the port still, the new one has to wait. Raises `CannotListen`.
    """
    names = {listener.name for listener in config.listeners}
    going = [each for name, each in server.listeners.children.items() if name not in names]
    taken = {(each.config.port, each.config.path) for each in going if isinstance(each, Listener)}
    bound: dict[str, Listener] = {}
    try:
        for each in config.listeners:
            if server.listeners.of(each) is None and (each.port, each.path) not in taken:
                bound[each.name] = Listener(server, each)
                bound[each.name].privilegedStartService()
    except BaseException:
        for listener in bound.values():
            await listener.release()
        raise
    return bound


async def _run(server: Server, config: Config, bound: dict[str, Listener]) -> list[str]:
    """Have hosts, modules and listeners run; those that are *bound* are taken from there.

    Returns which modules could not take their options.
    """
    problems: list[str] = []
    await server.components.give_up(config.component_domains(), config.hosts)
    for name in config.hosts:
        host = server.hosts.children.get(name)
        if host is None:
            await server.hosts.add(server.new_host(name))
        elif isinstance(host, Host):
            host.accounts.policy = server.policy(name)
            problems += await load(host, server.wanted_modules(name))
    names = {listener.name for listener in config.listeners}
    for name in list(server.listeners.children):
        if name not in names:
            await server.listeners.remove(name)
    for listener in config.listeners:
        running = server.listeners.of(listener)
        if running is None:
            ready = bound.pop(listener.name) if listener.name in bound else Listener(server, listener)
            await server.listeners.add(ready)
        else:
            running.reconfigure(listener)
    return problems
