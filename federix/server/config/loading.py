"""From a source to the pieces of a configuration, step by step: files, macros, sections, hosts."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from federix import __version__
from federix.core.host_options import HostOptions
from federix.core.loader import ModuleError, ordered
from federix.core.options import (
    NOWHERE,
    ConfigError,
    ConfigErrors,
    ListNode,
    MapNode,
    Node,
    Options,
    Problem,
    Reader,
    Scalar,
    joined,
    node_of,
)
from federix.server.config import ejabberd, table
from federix.server.config.files import Files
from federix.server.config.hosting import Modules, by_host, effective, read_host
from federix.server.config.listening import check_component_hosts, read_listeners
from federix.server.config.macros import Substitution, environment_macros, read_definitions
from federix.server.config.options import ServerOptions, wrong_domains
from federix.server.config.parts import HostConfig, ListenerConfig
from federix.server.config.tls import check_authorities, check_tls
from federix.server.config.yaml import Budget, parse

Source = Path | str | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a configuration is read with, beside its text."""

    listeners: Mapping[str, type[Options]]
    known_modules: Callable[[str], type | None]
    found_folders: Callable[[list[Path]], None]
    """Told where modules lie before *known_modules* is asked for one."""
    environ: Mapping[str, str]
    directory: Path
    """Where the server keeps its data."""
    log_directory: Path


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read."""

    folder: Path
    server: ServerOptions
    hosts: Mapping[str, HostConfig]
    listeners: tuple[ListenerConfig, ...]
    warnings: tuple[Problem, ...]


def load_pieces(source: Source, around: Surroundings) -> Loaded:
    """Read *source*. Raises ConfigErrors with everything that is wrong, and nothing else."""
    reader = Reader()
    try:
        loaded = _Loading(around, reader).run(source)
    except ConfigError as error:
        raise WrongConfig([*reader.errors, error.problem], reader.warnings) from None
    except ConfigErrors as errors:
        raise WrongConfig([*reader.errors, *errors.problems], reader.warnings) from None
    if reader.errors:
        raise WrongConfig(reader.errors, reader.warnings)
    return loaded


class WrongConfig(ConfigErrors):
    """Errors, in the order of the file, and the warnings there would have been without them."""

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem]) -> None:
        super().__init__(_sorted(problems))
        self.warnings = tuple(_sorted(warnings))


def unmet(hosts: Mapping[str, HostConfig]) -> list[Problem]:
    """Modules that lack others they require, or are there twice."""
    problems = []
    for host in hosts.values():
        try:
            ordered(module.cls for module in host.modules.values())
        except ModuleError as error:
            modules = host.modules.values()
            place = next((module.node.place for module in modules if str(error).startswith(module.name)), NOWHERE)
            problems.append(Problem(f"modules ({host.name})", str(error), place))
    return problems


class _Loading:
    def __init__(self, around: Surroundings, reader: Reader) -> None:
        self._around = around
        self._reader = reader
        self._budget = Budget()

    def run(self, source: Source) -> Loaded:
        folder = source.parent if isinstance(source, Path) else Path()
        top = self._substituted(self._tree(source, folder), source if isinstance(source, Path) else None)
        top = self._without_foreign_values(top, "")
        elsewhere = {*table.STRUCTURE, *table.names_of(HostOptions)}
        foreign = table.foreign(table.top_rows(), "top level")
        server = self._reader.read(ServerOptions, top.without(*elsewhere), "", foreign, elsewhere)
        self._tell_all_domains(top.get("hosts"))
        folders = [folder / name for name in server.modules_dir]
        self._around.found_folders(folders)
        listeners = read_listeners(top.get("listen"), self._around.listeners, folder, self._reader)
        check_component_hosts(server.hosts, listeners, self._reader)
        hosts = self._hosts(top, server.hosts, folders, folder)
        self._check_folders(folders, top.get("modules_dir"))
        self._check_files(server, folder, top.get("certfiles"))
        check_tls(top, ("c2s_ciphers", "c2s_dhfile"), "", folder, self._reader)
        check_tls(top, ("s2s_ciphers", "s2s_dhfile"), "", folder, self._reader)
        check_authorities(top, "ca_file", folder, self._reader)
        check_authorities(top, "sql_ssl_cafile", folder, self._reader)
        return Loaded(folder, server, hosts, listeners, tuple(_sorted(self._reader.warnings)))

    def _tree(self, source: Source, folder: Path) -> MapNode:
        files = Files(self._reader, self._budget)
        if isinstance(source, Path):
            return files.read(source)
        node = parse(source, "<text>", self._budget) if isinstance(source, str) else node_of(source)
        return files.included(node, folder)

    def _substituted(self, tree: MapNode, file: Path | None) -> MapNode:
        """*tree* with macros and keywords filled in, and without their definitions."""
        macros = read_definitions(self._reader, tree.get("define_macro"), "define_macro")
        macros |= environment_macros(self._around.environ, self._budget)
        keywords = {
            name: value.text
            for name, value in read_definitions(self._reader, tree.get("define_keyword"), "define_keyword").items()
            if isinstance(value, Scalar)
        }
        predefined = {
            "HOME": self._around.environ.get("HOME", str(self._around.directory)),
            "CONFIG_PATH": str(file.parent if file else self._around.directory),
            "DATABASE_PATH": str(self._around.directory),
            "LOG_PATH": str(self._around.log_directory),
            "SEMVER": __version__,
            "VERSION": __version__,
        }
        substitution = Substitution(macros, keywords | predefined, self._reader, self._budget)
        found = substitution.apply(tree.without("define_macro", "define_keyword"))
        assert isinstance(found, MapNode)
        return found

    def _without_foreign_values(self, node: MapNode, path: str) -> MapNode:
        """*node* without values that ejabberd knows and Federix does not; each makes a warning, some an error."""
        entries = []
        for key, value in node:
            where = joined(path, key.text)
            if key.text in ("host_config", "append_host_config") and isinstance(value, MapNode):
                hosts = [
                    (
                        name,
                        self._without_foreign_values(item, joined(where, name.text))
                        if isinstance(item, MapNode)
                        else item,
                    )
                    for name, item in value
                ]
                value = MapNode(tuple(hosts), value.place)
            elif key.text in ejabberd.VALUES or key.text in ejabberd.REFUSED_VALUES:
                kept = self._kept(key.text, value, where)
                if kept is None:
                    continue
                value = kept
            entries.append((key, value))
        return MapNode(tuple(entries), node.place)

    def _kept(self, option: str, node: Node, path: str) -> Node | None:
        """*node* without the values that are not done; None where nothing is left."""
        notes = table.foreign(table.top_rows(), "top level")
        kept = []
        items = node.items if isinstance(node, ListNode) else (node,)
        for item in items:
            note = notes.get(f"{option}: {item.text}") if isinstance(item, Scalar) else None
            if note is None:
                kept.append(item)
            elif isinstance(item, Scalar) and item.text in ejabberd.REFUSED_VALUES.get(option, ()):
                self._reader.problem(path, f"{item.text} {note}", item.place)
            elif isinstance(item, Scalar):
                self._reader.warn(path, f"{item.text} {note}", item.place)
        if not kept and items:
            return None
        return ListNode(tuple(kept), node.place) if isinstance(node, ListNode) else node

    def _tell_all_domains(self, node: Node | None) -> None:
        """Whoever reads an option notes the first thing that is wrong with it; here come the others."""
        if node is not None and any(problem.path == "hosts" for problem in self._reader.errors):
            told = self._reader.errors
            told += [problem for problem in wrong_domains(node, "hosts") if problem not in told]

    def _hosts(self, top: MapNode, names: tuple[str, ...], folders: list[Path], folder: Path) -> dict[str, HostConfig]:
        own: dict[str, Node] = {}
        appended: dict[str, Node] = {}
        if names:
            own = by_host(top.get("host_config"), "host_config", names, self._reader)
            appended = by_host(top.get("append_host_config"), "append_host_config", names, self._reader)
        modules = Modules(self._around.known_modules, folders)
        found: dict[str, HostConfig] = {}
        # Without a host, because hosts is wrong, the rest is still looked at.
        for name in names or ("localhost",):
            # What is wrong for all hosts is told once: each host is read by itself, and equal problems are one.
            reader = Reader()
            node = effective(top, own.get(name), appended.get(name), name, reader)
            host = read_host(node, name, names, modules, folder, reader)
            reader.references += self._reader.references
            host.access.check(reader)
            self._adopt(reader)
            found[name] = host
        return found

    def _adopt(self, other: Reader) -> None:
        self._reader.errors += [problem for problem in other.errors if problem not in self._reader.errors]
        self._reader.warnings += [problem for problem in other.warnings if problem not in self._reader.warnings]

    def _check_folders(self, folders: list[Path], node: Node | None) -> None:
        """Folders that the operator named must be there; the default one may be."""
        for path, written in zip(folders, _written(node, len(folders)), strict=True):
            if written is not None and not path.is_dir():
                self._reader.warn("modules_dir", f"there is no folder {path}", written.place)

    def _check_files(self, server: ServerOptions, folder: Path, node: Node | None) -> None:
        for pattern, written in zip(server.certfiles, _written(node, len(server.certfiles)), strict=True):
            if not expanded(pattern, folder):
                what = f"no file matches {pattern!r}" if glob.has_magic(pattern) else f"there is no file {pattern!r}"
                place = NOWHERE if written is None else written.place
                self._reader.warn("certfiles", f"{what}, so it brings no certificate", place)


def _written(node: Node | None, count: int) -> list[Node | None]:
    """The nodes of a list of *count* values, or None for each where nobody wrote them."""
    items: list[Node | None] = list(node.items) if isinstance(node, ListNode) else [node]
    return items if len(items) == count else [node] * count


def expanded(pattern: str, folder: Path) -> list[Path]:
    """The files that *pattern* names, sorted; a relative one starts in *folder*."""
    try:
        return sorted(
            Path(found) for found in glob.glob(str(folder / pattern), recursive=True) if Path(found).is_file()
        )
    except (OSError, ValueError, re.error):
        return []


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the files; what has no place comes last. Each once."""
    return sorted(
        dict.fromkeys(problems),
        key=lambda problem: (not problem.place.line, problem.place.file, problem.place.line, problem.place.column),
    )
