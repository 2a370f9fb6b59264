"""One table of every option an ejabberd.yml may hold: done, planned, or not wanted, and what to use instead.

"Done" is never written by hand: an option is done when one of our classes of options has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from federix.core.component_options import ServiceOptions
from federix.core.conditions import CONDITION_KINDS
from federix.core.host_options import HostOptions
from federix.core.listener_options import C2SOptions, ListenerOptions, S2SInOptions
from federix.core.options import Options, describe
from federix.server.config import ejabberd
from federix.server.config.options import ServerOptions

Status = Literal["done", "planned", "not wanted"]
ModuleResolver = Callable[[str], type | None]

LISTENERS: Mapping[str, type[ListenerOptions]] = {
    "ejabberd_c2s": C2SOptions,
    "ejabberd_service": ServiceOptions,
    "ejabberd_s2s_in": S2SInOptions,
}
"""The listeners that are done, with their options."""

LISTENER_ADDRESS = ("module", "port", "ip", "transport")
STRUCTURE = (
    *("listen", "modules", "acl", "access_rules", "shaper", "shaper_rules", "host_config", "append_host_config"),
    *("define_macro", "define_keyword", "include_config_file"),
)
"""The top-level options that are no fields of a class, and are done."""

PENDING_CONDITIONS = ("shared_group",)


@dataclass(frozen=True, slots=True)
class Row:
    """One option of the table. *section* is "top level", "listen: MODULE", "MODULE", "modules" or "acl"."""

    section: str
    name: str
    status: Status
    note: str = ""

    @property
    def warning(self) -> str:
        """What to tell who uses it."""
        state = "is not supported yet" if self.status == "planned" else "is not supported"
        return f"{state}: {self.note}" if self.note else state


def no_modules(name: str) -> type | None:
    """A resolver that knows no module."""
    return None


def names_of(cls: type[Options]) -> set[str]:
    """The names of the options that *cls* has."""
    return {entry.name for entry in fields(cls)}


def options_of(module: type) -> type[Options]:
    """The class of options of a module's class."""
    found = getattr(module, "Options", None)
    return found if isinstance(found, type) and issubclass(found, Options) else Options


def rows(known_modules: ModuleResolver = no_modules, listeners: Mapping[str, type[Options]] = LISTENERS) -> list[Row]:
    """The whole table, section by section."""
    found = [
        *top_rows(),
        *(Row("acl", name, "planned" if name in PENDING_CONDITIONS else "done") for name in CONDITION_KINDS),
        *(row for module in ejabberd.LISTENERS for row in listener_rows(module, listeners.get(module))),
        *(row for module in ejabberd.MODULES for row in module_rows(module, known_modules(module))),
    ]
    sections = list(dict.fromkeys(row.section for row in found))
    return sorted(found, key=lambda row: sections.index(row.section))


def top_rows() -> list[Row]:
    """Top-level options, and the values of them that are not done."""
    done = [*STRUCTURE, *_ordered(ServerOptions), *_ordered(HostOptions)]
    values = {
        f"{option}: {value}": note
        for table in (ejabberd.VALUES, ejabberd.REFUSED_VALUES)
        for option, notes in table.items()
        for value, note in notes.items()
    }
    return [
        *(Row("top level", name, "done") for name in done),
        *_not_done("top level", {**ejabberd.TOP, **values}, done),
    ]


def listener_rows(module: str, cls: type[Options] | None) -> list[Row]:
    """The listener *module* itself and its options; *cls* is None for one that is not done."""
    section = f"listen: {module}"
    own = ejabberd.LISTENERS.get(module, {})
    if cls is not None:
        done = [*LISTENER_ADDRESS, *_ordered(cls)]
        return [
            Row("listen", module, "done"),
            *(Row(section, name, "done") for name in done),
            *_not_done(section, {**ejabberd.EVERY_LISTENER, **own}, done),
        ]
    note = next(iter(own.values()), "planned")
    return [*_not_done("listen", {module: note}, ()), *_not_done(section, own, ())]


def module_rows(module: str, cls: type | None) -> list[Row]:
    """The module called *module* and its options; *cls* is None for one that is not done."""
    own = ejabberd.MODULES.get(module, "").split()
    notes = ejabberd.MODULE_OPTIONS.get(module, {})
    refused = ejabberd.MODULES_NOT_WANTED.get(module)
    if cls is not None:
        done = _ordered(options_of(cls))
        return [
            Row("modules", module, "done"),
            *(Row(module, name, "done") for name in done),
            *_not_done(module, {**dict.fromkeys(own, "planned"), **notes, **ejabberd.EVERY_MODULE}, done),
        ]
    note = f"!{refused}" if refused else ejabberd.MODULE_NOTES.get(module, "planned")
    return [
        *_not_done("modules", {module: note}, ()),
        *_not_done(module, {**dict.fromkeys(own, "!" if refused else "planned"), **notes}, ()),
    ]


def foreign(listed: Iterable[Row], section: str) -> dict[str, str]:
    """Name and warning of each option of *section* among *listed* that is known but not done."""
    return {row.name: row.warning for row in listed if row.section == section and row.status != "done"}


def option_table(known_modules: ModuleResolver = no_modules, listeners: Mapping[str, type[Options]] = LISTENERS) -> str:
    """The table as Markdown, and after it the table of defaults that differ."""
    lines = ["# Options of ejabberd.yml in Federix", ""]
    section = None
    for row in rows(known_modules, listeners):
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}", "", "| option | status | note |", "|---|---|---|"]
        lines.append(f"| `{row.name}` | {row.status} | {row.note} |")
    return "\n".join([*lines, "", *_defaults_table(), ""])


def safer_defaults() -> list[tuple[str, str, str, str, str]]:
    """Where a default differs from ejabberd's: section, option, ejabberd's, ours, why."""
    classes: list[tuple[str, type[Options]]] = [
        ("top level", ServerOptions),
        ("top level", HostOptions),
        *((f"listen: {module}", cls) for module, cls in LISTENERS.items()),
    ]
    ours = {(section, entry.name): entry.default for section, cls in classes for entry in describe(cls)}
    return [
        (section, name, theirs, ours[section, name], why)
        for section, name, theirs, why in ejabberd.SAFER
        if (section, name) in ours
    ]


def _defaults_table() -> list[str]:
    lines = ["## Defaults that differ", "", "| where | option | ejabberd | Federix | why |", "|---|---|---|---|---|"]
    for section, name, theirs, own, why in safer_defaults():
        lines.append(f"| {section} | `{name}` | {theirs} | {own} | {why} |")
    return lines


def _ordered(cls: type[Options]) -> list[str]:
    return [entry.name for entry in fields(cls)]


def _not_done(section: str, notes: Mapping[str, str], done: Iterable[str]) -> list[Row]:
    """Rows for *notes*, those that are *done* by now left out. "!" is "not wanted"; "planned" alone says no more."""
    there = set(done)
    return [
        Row(section, name, "not wanted", note.removeprefix("!"))
        if note.startswith("!")
        else Row(section, name, "planned", note.removeprefix("planned").lstrip(",;: "))
        for name, note in notes.items()
        if name not in there
    ]
