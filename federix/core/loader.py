"""From names in the configuration to running modules: found, ordered, started, reloaded, stopped."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from itertools import chain, count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from .module import Module

if TYPE_CHECKING:
    from ..life.tree import Branch
    from .host import Host
    from .options import Options

log = Logger()

#: Installed packages offer modules under this entry-point group.
GROUP: Final = "federix.modules"

#: The attribute under which a Python module from a `modules_dir` remembers what its file was like.
_VERSION: Final = "__federix_version__"

#: What the code of others may raise: some is meant to be run as a program, which it ends.
_FAULTS: Final = (Exception, SystemExit)


class ModuleError(Exception):
    """A module that cannot be had; the text says which and why, for the operator."""


class Catalogue:
    """Where module classes come from: Federix's own, a `modules_dir`, installed packages, a dotted path."""

    def __init__(self, own: Mapping[str, type[Module]], directories: Iterable[Path] = ()) -> None:
        self._own = own
        self._directories = tuple(directories)
        self._found: dict[str, type[Module]] = {}

    def look_in(self, directories: Iterable[Path]) -> None:
        """Look in these folders from now on."""
        self._directories = tuple(directories)

    def find(self, name: str) -> type[Module] | None:
        """The class of the module of that name; ``None`` where nothing has it.

        ``mod_ping`` is looked for among our own, then as ``mod_ping.py`` in the directories, then among the entry
        points; ``package.file.Class`` is imported. Raises `ModuleError` for what is there and does not work.
        """
        if name in self._found:
            return self._found[name]
        found = self._own.get(name) or self._from_directories(name) or self._installed(name) or self._dotted(name)
        if found is not None:
            if not found.name:
                raise ModuleError(f"{name}: the class {found.__name__} must say its name, as in name = 'mod_…'")
            for needed in found.requires:
                if not (isinstance(needed, type) and issubclass(needed, Module)):
                    raise ModuleError(f"{name}: requires {needed!r}, which is not the class of a module")
            self._found[name] = found
        return found

    def _from_directories(self, name: str) -> type[Module] | None:
        if not name.isidentifier():
            return None
        for directory in self._directories:
            path = directory / f"{name}.py"
            if path.is_file():
                python = _executed(path)
                return self._of_that_name(
                    self._only_module(python.__dict__, str(path), python.__name__), name, str(path)
                )
        return None

    def _only_module(self, names: Mapping[str, object], where: str, python_name: str) -> type[Module]:
        classes = [
            value
            for value in names.values()
            if isinstance(value, type) and issubclass(value, Module) and value.__module__ == python_name
        ]
        if len(classes) != 1:
            raise ModuleError(f"{where}: must define exactly one class that is a Module, has {len(classes)}")
        return classes[0]

    def _of_that_name(self, found: type[Module], name: str, where: str) -> type[Module]:
        """*found*, which must be called as it is in the configuration: logs and chains say its own name."""
        if found.name and found.name != name:
            raise ModuleError(f"{where}: the class {found.__name__} says name = {found.name!r}, and must say {name!r}")
        return found

    def _installed(self, name: str) -> type[Module] | None:
        for entry in entry_points(group=GROUP, name=name):
            try:
                found = entry.load()
            except _FAULTS as error:
                raise ModuleError(f"{name} ({entry.value}): {told(error)}") from error
            return self._checked(found, entry.value)
        return None

    def _dotted(self, name: str) -> type[Module] | None:
        package, _, attribute = name.rpartition(".")
        if not all(part.isidentifier() for part in (*package.split("."), attribute)):
            return None
        try:
            found = getattr(importlib.import_module(package), attribute)
        except ModuleNotFoundError as error:
            if error.name is not None and (package == error.name or package.startswith(f"{error.name}.")):
                return None
            raise ModuleError(f"{name}: {error}{_place(error)}") from error
        except _FAULTS as error:
            raise ModuleError(f"{name}: {told(error)}") from error
        return self._checked(found, name)

    def _checked(self, found: object, where: str) -> type[Module]:
        if isinstance(found, type) and issubclass(found, Module):
            return found
        raise ModuleError(f"{where} is not a Module")


def _executed(path: Path) -> ModuleType:
    """The file *path* as a Python module: the same as before unless it has changed, so that a reload finds the classes
    that run."""
    status = path.stat()
    version = (str(path.resolve()), status.st_mtime_ns, status.st_size, status.st_ino)
    name = _name_for(version[0], f"federix_modules_dir.{path.stem}")
    known = sys.modules.get(name)
    if known is not None and getattr(known, _VERSION, None) == version:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    python = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(python)
    except _FAULTS as error:
        del sys.modules[name]
        if known is not None:
            sys.modules[name] = known
        raise ModuleError(f"{path}{_line(error, path)}: {_said(error)}") from error
    setattr(python, _VERSION, version)
    return python


def _name_for(path: str, name: str) -> str:
    """*name*; with a number where a file elsewhere has it, which another server in the process may run."""
    for numbered in chain((name,), (f"{name}_{number}" for number in count(2))):
        version = getattr(sys.modules.get(numbered), _VERSION, None)
        if version is None or version[0] == path:
            break
    return numbered


def told(error: BaseException) -> str:
    """A mistake in the code of a module: what it is, and where."""
    return f"{_said(error)}{_place(error)}"


def _said(error: BaseException) -> str:
    # Python's own text of a syntax error names the file and line again.
    return f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"


def _line(error: BaseException, path: Path) -> str:
    """``:12``, the line of the file that was the last to run."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _place(error: BaseException) -> str:
    """`` (file:12)``, where it happened, outside of what imports it."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and frames[-1].filename != __file__ else ""


def ordered(classes: Iterable[type[Module]]) -> list[type[Module]]:
    """The classes, each behind those it requires; otherwise as given. Raises `ModuleError`."""
    wanted: dict[str, type[Module]] = {}
    for cls in classes:
        if cls.name in wanted:
            raise ModuleError(f"{cls.name} is in 'modules' twice")
        wanted[cls.name] = cls
    order: list[type[Module]] = []
    path: list[str] = []

    def place(cls: type[Module]) -> None:
        if cls in order:
            return
        if cls.name in path:
            raise ModuleError(f"modules require each other: {' → '.join([*path, cls.name])}")
        path.append(cls.name)
        for needed in cls.requires:
            if needed.name not in wanted:
                raise ModuleError(f"{cls.name} requires {needed.name}, which is not in 'modules'")
            place(wanted[needed.name])
        path.pop()
        order.append(cls)

    for cls in wanted.values():
        place(cls)
    return order


Wanted = Mapping[str, tuple[type[Module], "Options"]]


async def load(host: Host, wanted: Wanted) -> list[str]:
    """Start the modules of a host that has none running, or have it run just these: only what differs is touched.

    What is not wanted any more is stopped, those that others require last, and what requires one that is another class
    now is stopped with it. What is new, or was stopped, is started. Whose options changed is told
    (`Module.reconfigure`); sessions and timers live on. Returns which could not take theirs, and why.
    """
    problems: list[str] = []
    classes = ordered(cls for cls, _ in wanted.values())
    # Under its own name: in the configuration it may stand under the path where it is found.
    wanted = {cls.name: (cls, options) for cls, options in wanted.values()}
    modules = host.modules
    gone: list[str] = []
    for module in host.running_modules():
        as_before = module.name in wanted and type(module) is wanted[module.name][0]
        # What it requires, it may hold.
        if not as_before or any(needed.name in gone for needed in module.requires):
            gone.append(module.name)
    for name in reversed(gone):
        await modules.remove(name)
    for cls in classes:
        options = wanted[cls.name][1]
        running = modules.children.get(cls.name)
        if running is None:
            await _start(modules, cls, host, options)
        elif isinstance(running, Module) and running.options != options:
            old, running.options = running.options, options
            try:
                running.reconfigure(old, options)
            except _FAULTS as error:
                log.failure("module could not take its new options", module=cls.name, host=host.name)
                problems.append(f"{cls.name} could not take its new options on {host.name}: {told(error)}")
    return problems


async def _start(modules: Branch, cls: type[Module], host: Host, options: Options) -> None:
    try:
        await modules.add(cls(host, options))
    except SystemExit as error:
        raise ModuleError(f"{cls.name} ended the program in place of starting on {host.name}: {told(error)}") from error
    except Exception as error:
        error.add_note(f"{cls.name} could not start on {host.name}")
        raise
