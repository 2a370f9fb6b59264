"""What belongs to one host: options, modules and rules, of the top, `host_config` and `append_host_config`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from federix.core.access import Access
from federix.core.host_options import HostOptions
from federix.core.loader import ModuleError, told
from federix.core.options import (
    ConfigError,
    ConfigErrors,
    ListNode,
    MapNode,
    Node,
    Reader,
    Scalar,
    did_you_mean,
    joined,
)
from federix.core.options.reader import plain
from federix.server.config import ejabberd, table
from federix.server.config.files import merged
from federix.server.config.macros import for_host
from federix.server.config.options import ServerOptions, read_domain
from federix.server.config.parts import HostConfig, ModuleConfig
from federix.server.config.tls import check_authorities
from federix.xmpp.sasl import MECHANISMS

RULES = ("acl", "access_rules", "shaper", "shaper_rules")
"""Sections whose names a host adds to or replaces one by one."""

STRUCTURE = (*RULES, "modules")

MECHANISM_NAMES = frozenset(MECHANISMS) | {"ANONYMOUS", "DIGEST-MD5", "EXTERNAL", "X-OAUTH2"}
"""Those of Federix, and those of ejabberd that an operator may have disabled there."""


def known_per_host() -> set[str]:
    """The options that may stand in `host_config`."""
    return table.names_of(HostOptions) | set(STRUCTURE)


def effective(top: MapNode, own: Node | None, appended: Node | None, name: str, reader: Reader) -> MapNode:
    """The options of host *name*: those of the top, replaced by its *own*, with what is *appended* added."""
    per_host = known_per_host()
    entries = {key.text: (key, value) for key, value in top if key.text in per_host}
    for key, value in _checked(own, joined("host_config", name), reader):
        old = entries.get(key.text)
        if old is not None and key.text in RULES:
            value = _over(old[1], value, alternatives=key.text == "acl")
        entries[key.text] = (key, value)
    for key, value in _checked(appended, joined("append_host_config", name), reader):
        old = entries.get(key.text)
        if old is not None:
            value = merged(_as_list(old[1], value), _as_list(value, old[1]), joined("append_host_config", name), reader)
        entries[key.text] = (key, value)
    return MapNode(tuple(entries.values()), top.place)


def read_host(
    node: MapNode, name: str, hosts: tuple[str, ...], modules: Modules, folder: Path, reader: Reader
) -> HostConfig:
    """Read the options of *node* that belong to the host *name*; names of files start in *folder*."""
    node = _filled(node, name)
    access = Access.read(node, hosts, reader)
    options = reader.read(HostOptions, node.without(*STRUCTURE), "")
    _check_mechanisms(node.get("disable_sasl_mechanisms"), reader)
    _check_starttls(node.get("s2s_use_starttls"), reader)
    check_authorities(node, "s2s_cafile", folder, reader)
    return HostConfig(name, options, modules.read(node.get("modules"), reader), access, _rules(node))


def _rules(node: MapNode) -> dict[str, object]:
    return {
        joined(section, key.text): plain(value)
        for section in RULES
        for part in _parts(node.get(section))
        for key, value in part
    }


def _parts(node: Node | None) -> list[MapNode]:
    items = node.items if isinstance(node, ListNode) else (node,)
    return [item for item in items if isinstance(item, MapNode)]


def _check_mechanisms(node: Node | None, reader: Reader) -> None:
    """Each name must be a mechanism that Federix or ejabberd has: a misspelt one would still be offered."""
    for item in node.items if isinstance(node, ListNode) else (node,):
        if isinstance(item, Scalar) and not item.is_null and item.text.upper() not in MECHANISM_NAMES:
            hint = did_you_mean(item.text.upper(), MECHANISM_NAMES)
            reader.problem("disable_sasl_mechanisms", f"{item.text!r} is no SASL mechanism{hint}", item.place)


def _check_starttls(node: Node | None, reader: Reader) -> None:
    """The old word for what a missing mod_s2s_dialback says today is understood, and told."""
    if isinstance(node, Scalar) and node.text.lower() == "required_trusted":
        why = (
            "required_trusted is not a word of ejabberd's any more: write 'required' and leave out mod_s2s_dialback."
            " Until then dialback never suffices"
        )
        reader.warn("s2s_use_starttls", why, node.place)


class Modules:
    """Reads `modules`, by the classes that a resolver knows; *folders* are where those of third parties lie."""

    def __init__(self, resolver: table.ModuleResolver, folders: Sequence[Path]) -> None:
        self._resolver = resolver
        self._folders = folders

    def read(self, node: Node | None, reader: Reader) -> Mapping[str, ModuleConfig]:
        """Each module with its options; those that are known but not there are left out with a warning."""
        found: dict[str, ModuleConfig] = {}
        for key, value in reader.entries(node, "modules"):
            path = joined("modules", key.text)
            cls = self._resolved(key, path, reader)
            if cls is None:
                continue
            foreign = table.foreign(table.module_rows(key.text, cls), key.text)
            try:
                options = reader.read(table.options_of(cls), value, path, foreign)
            except (ConfigError, ConfigErrors):
                raise
            except Exception as error:
                # They may check themselves, and a third party's may fail in that as well.
                reader.problem(path, f"its options cannot be read: {told(error)}", key.place)
                continue
            found[key.text] = ModuleConfig(key.text, cls, options, value)
        return found

    def _resolved(self, key: Scalar, path: str, reader: Reader) -> type | None:
        name = key.text
        try:
            cls = self._resolver(name)
        except Exception as error:
            # A module of a third party may fail in any way while it is imported.
            why = str(error) if isinstance(error, ModuleError) else f"{type(error).__name__}: {error}"
            reader.problem(path, f"cannot be loaded: {why}", key.place)
            return None
        if cls is not None:
            return cls
        if name in ejabberd.NOT_MODULES:
            reader.problem(path, ejabberd.NOT_MODULES[name], key.place)
        elif name in ejabberd.MODULES:
            warning = table.foreign(table.module_rows(name, None), "modules")[name]
            reader.warn(path, warning, key.place)
        elif "." in name or ":" in name:
            reader.problem(path, f"there is no module at {name!r}: it is not installed, or not called so", key.place)
        else:
            folders = " or ".join(map(str, self._folders))
            where = f"; there is no {name}.py in {folders}" if folders else ""
            reader.problem(path, f"unknown module{where}{self._hint(name)}", key.place)
        return None

    def _hint(self, name: str) -> str:
        # What all names begin with must not make them look alike.
        stems = {known.removeprefix("mod_"): known for known in self._supported()}
        near = difflib.get_close_matches(name.removeprefix("mod_")[:100], sorted(stems), n=1)
        return f", did you mean {stems[near[0]]!r}?" if near else ""

    def _supported(self) -> set[str]:
        """The names that would work, as far as they can be told."""
        names = {file.stem for folder in self._folders for file in folder.glob("*.py")}
        return names | {name for name in ejabberd.MODULES if self._is_there(name)}

    def _is_there(self, name: str) -> bool:
        try:
            return self._resolver(name) is not None
        except Exception:
            return False


def by_host(node: Node | None, section: str, hosts: tuple[str, ...], reader: Reader) -> dict[str, Node]:
    """The entries of `host_config` or `append_host_config` by host."""
    found: dict[str, Node] = {}
    for key, value in reader.entries(node, section):
        path = joined(section, key.text)
        try:
            name = read_domain(key, path)
        except ConfigError as error:
            reader.errors.append(error.problem)
            continue
        if name not in hosts:
            reader.problem(path, f"is not among hosts{did_you_mean(name, hosts)}", key.place)
        elif name in found:
            reader.problem(path, "is given twice", key.place)
        else:
            found[name] = value
    return found


def _checked(node: Node | None, path: str, reader: Reader) -> list[tuple[Scalar, Node]]:
    """The entries of *node* that may be set per host; the others are noted."""
    if node is None:
        return []
    per_host = known_per_host()
    foreign = table.foreign(table.top_rows(), "top level")
    kept = []
    for key, value in reader.entries(node, path):
        where = joined(path, key.text)
        if key.text in per_host:
            kept.append((key, value))
        elif key.text in foreign:
            reader.warn(where, foreign[key.text], key.place)
        elif key.text in table.names_of(ServerOptions) or key.text in table.STRUCTURE:
            reader.problem(where, "is for the whole server, not for one host", key.place)
        else:
            reader.problem(where, f"unknown option{did_you_mean(key.text, per_host)}", key.place)
    return kept


def _over(old: Node, new: Node, *, alternatives: bool) -> Node:
    """The named rules of *new* in front of those of *old*; with *alternatives* both are joined under one name."""
    if not isinstance(old, MapNode) or not isinstance(new, MapNode):
        return new
    entries = {key.text: (key, value) for key, value in old}
    for key, value in new:
        if alternatives and key.text in entries:
            value = ListNode((entries[key.text][1], value), value.place)
        entries[key.text] = (key, value)
    return MapNode(tuple(entries.values()), new.place)


def _as_list(node: Node, other: Node) -> Node:
    """A single word counts as a list of one where it meets a list."""
    return ListNode((node,), node.place) if isinstance(node, Scalar) and isinstance(other, ListNode) else node


def _filled(node: MapNode, host: str) -> MapNode:
    found = for_host(node, host)
    assert isinstance(found, MapNode)
    return found
