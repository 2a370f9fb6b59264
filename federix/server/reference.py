"""The reference, written from the code: settings, hooks, XEPs, the service tree, the commands.

``python -m federix.server.reference`` writes it into ``docs/``; with ``--check`` it only says whether it is up to date.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from ..core import hooks
from ..core.commands import Command, is_command
from ..core.host_options import HostOptions
from ..core.iq import requests_of
from ..core.module import Module, Rfc, Xep, declared
from ..core.options import OptionDoc, Options, describe
from ..modules import MODULES
from .api_reference import handler, pages
from .api_reference import hooks as read_hooks
from .config import Config, ServerOptions, option_table
from .config.table import LISTENERS
from .ctl.commands import ServerCommands
from .ctl.federation import FederationCommands
from .ctl.main import usage
from .moving.commands import MovingCommands

_NOTE: Final = "<!-- Written by `make docs` from the code: change it there. -->\n\n"

#: What the core itself implements, without a module.
CORE: Final[tuple[Xep | Rfc, ...]] = (
    Rfc(4616, "2"),
    Rfc(5802, "2-7"),
    Rfc(5929, "3, 4"),
    Rfc(6120, "4-7, 10", "clients"),
    Rfc(6120, "8"),
    Rfc(6121, "8", "clients"),
    Rfc(7590, "3", "clients"),
    Rfc(7622, "3"),
    Xep(227, "1.1", "not vCards and personal eventing"),
    Rfc(7677, "3"),
    Rfc(9266, "2"),
    Xep(114, "1.6"),
    Xep(368, "1.1.0", "clients"),
    Xep(440, "1.0.0"),
    Xep(478, "0.2.0", "clients"),
)


def settings() -> str:
    """Every option of Federix, then every option of ejabberd and what becomes of it."""
    parts = [
        "# Settings\n\n",
        _NOTE,
        "The configuration is YAML in the grammar of `ejabberd.yml`. Durations are seconds or carry a unit"
        " (`5 min`), sizes are bytes.\n\n",
        _options("Top level", ServerOptions),
        _options("Top level, or for one host in `host_config`", HostOptions),
    ]
    parts += [_options(f"Listener `{name}`", cls) for name, cls in LISTENERS.items()]
    for name, module in sorted(MODULES.items()):
        parts.append(f"## Module `{name}`\n\n{_first_line(module)}\n\n")
        found = describe(module.Options)
        parts.append(_table(found) if found else "It has no options.\n\n")
    parts.append(option_table(MODULES.get))
    return "".join(parts)


def _options(title: str, cls: type[Options]) -> str:
    return f"## {title}\n\n{_table(describe(cls))}"


def _table(options: list[OptionDoc]) -> str:
    lines = ["| option | type | default | |", "|---|---|---|---|"]
    for option in options:
        unit = f" ({option.unit})" if option.unit else ""
        lines.append(f"| `{option.name}` | {_cell(option.type)}{unit} | `{option.default}` | {_cell(option.doc)} |")
    return "\n".join(lines) + "\n\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def hook_reference() -> str:
    """Every hook, in the order a stanza meets them, with who takes it among our own modules."""
    takers: dict[str, list[str]] = {}
    for name, module in sorted(MODULES.items()):
        for attribute in declared(module):
            for place in getattr(getattr(module, attribute), "__federix_places__", []):
                takers.setdefault(place.hook.name, []).append(f"`{name}`")
    parts = [
        "# Hooks\n\n",
        _NOTE,
        "In the order a stanza meets them. An **event** is heard by all; a **filter** goes from handler to handler"
        " until one returns `HANDLED`; a **collect** joins what each returns. Behind the name stands what a method that"
        " takes it is given and returns; where it must wait it is `async def`. The words mean what"
        " [api/hooks.md](api/hooks.md) says.\n\n",
    ]
    handlers = {hook.name: handler(hook) for hook in read_hooks()}
    for hook in hooks.ALL:
        taken = ", ".join(dict.fromkeys(takers.get(hook.name, []))) or "none of ours"
        called = f"`{hook.name}{handlers[hook.name]}`"
        parts.append(f"## `{hook.name}` ({hook.shape})\n\n{called}\n\n{hook.doc}\n\nTaken by: {taken}.\n\n")
    return "".join(parts)


def specifications() -> str:
    """What is implemented, by whom."""
    rows: list[tuple[str, int, str]] = []
    for source, items in [("core", CORE), *((name, module.implements) for name, module in MODULES.items())]:
        for item in items:
            if isinstance(item, Xep):
                rows.append(
                    ("XEP", item.number, f"| XEP-{item.number:04} | {item.version} | {item.status} | `{source}` |")
                )
            else:
                rows.append(
                    ("RFC", item.number, f"| RFC {item.number} | § {item.sections} | {item.status} | `{source}` |")
                )
    lines = ["| specification | version or sections | status | by |", "|---|---|---|---|"]
    lines += [row for _, _, row in sorted(rows)]
    return f"# What is implemented\n\n{_NOTE}" + "\n".join(lines) + "\n"


def handlers() -> str:
    """Which requests are answered, for the curious."""
    lines = ["| namespace | request | for | by |", "|---|---|---|---|"]
    for name, module in sorted(MODULES.items()):
        for attribute in declared(module):
            for request in requests_of(getattr(module, attribute)):
                targets = ", ".join(request.targets)
                lines.append(f"| `{request.ns}` | {request.kind} `{request.name}` | {targets} | `{name}` |")
    return "\n".join(lines) + "\n"


def service_tree() -> str:
    """The tree of a server with the default configuration, from such a server."""
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.testing import MemoryReactorClock

    from ..life.executor import InlineExecutor
    from ..storage.memory import MemoryStorage
    from .server import Server

    with tempfile.TemporaryDirectory() as directory:
        config = Config.default(Path(directory), known_modules=MODULES.get)
        clock = MemoryReactorClock()  # type: ignore[no-untyped-call]
        server = Server(config, clock, now=lambda: 0.0, executor=InlineExecutor(), storage=MemoryStorage())
        ensureDeferred(server.start())
        lines = [f"{'  ' * depth}{node.name}" for depth, node in server.walk()]
        ensureDeferred(server.stop())
    return f"# The service tree\n\n{_NOTE}With the default configuration:\n\n```\n" + "\n".join(lines) + "\n```\n"


def _first_line(module: type[Module]) -> str:
    text = sys.modules[module.__module__].__doc__ or module.__doc__ or ""
    return text.strip().splitlines()[0] if text.strip() else ""


def federixctl() -> str:
    """The commands of `federixctl`: those of every server, and those of modules."""
    owners: list[tuple[str, type]] = [
        ("every server", ServerCommands),
        ("every server", FederationCommands),
        ("every server", MovingCommands),
    ]
    owners += [(f"`{name}`", module) for name, module in sorted(MODULES.items())]
    lines = ["| command | | by |", "|---|---|---|"]
    for who, owner in owners:
        lines += [f"| `{usage(each)}` | {_cell(' '.join(each['doc'].split()))} | {who} |" for each in _commands(owner)]
    return _FEDERIXCTL.format(note=_NOTE, commands="\n".join(lines))


_FEDERIXCTL: Final = """# `federixctl`

{note}`federixctl` asks a running server to do something, over a socket in its data directory. Only the user the server
runs as, and root, can open it: `sudo -u federix federixctl …`.

```
federixctl [-c FILE] [-d DIRECTORY] [--json] COMMAND [ARGUMENT …]
```

`-d` is the data directory the server was started with (`./federix-data` otherwise), and all it takes to find the
server. `-c` is the configuration: needed by `check`, and told by messages that say how to start the server. `--json`,
before or behind the command, prints the answer as JSON. On a terminal the first line of a table names its columns; in a
pipe or a file each line is one of the answer. `federixctl --version` says the version.

## Without a server

- `federixctl check [FILE] [-q] [--json]` reads a configuration without starting anything: every option that would be
  in force on standard output; errors, warnings and the verdict on standard error. With `-q` it says errors and warnings
  only, and nothing where all is well.
- `federixctl convert_to_sql [--from FILE]` copies the SQLite database into the empty one on the database server that
  the configuration names ([moving.md](moving.md)); no server may run in the data directory meanwhile.
- `federixctl help [COMMAND]` lists the commands of the running server, or says what one does.

## How far it is

A command that takes long shows a bar on a terminal, and lines on standard error elsewhere. Interrupt `federixctl`, and
the server soon gives up as well. A file or directory is one of the machine that the server runs on, and the server's
user must be allowed to use it; a relative name is taken from where `federixctl` is typed.

## Passwords

A password that is left out, or given as `-`, is not seen by others: on a terminal it is asked for, and twice when it
will be the new one; otherwise it is the first line of standard input.

```sh
federixctl register juliet example.org              # asks
federixctl register juliet example.org < password   # the file's first line
pass show juliet | federixctl change_password juliet example.org -
```

## Exit codes

| code | |
|---|---|
| 0 | it is done; for `check`, `check_account`, `check_password`: yes |
| 1 | it failed, or the answer is no; standard error says why |
| 2 | it was asked for in a wrong way: no such command, too few arguments |
| 3 | there is no server in that directory, or it does not answer |

`reload_config` fails with code 1 when the new configuration is wrong, and then nothing has changed. What deserves a
warning (a certificate that is broken, so that the one from before stays in use; an option that needs a restart) is
printed as `warning: …`, with code 0.

## Commands

In brackets stands what may be left out. They are logged with whom they concern, never with passwords; those that only
read, at `debug`.

{commands}
"""


def _commands(owner: type) -> list[dict[str, Any]]:
    functions = (function for base in owner.__mro__ for function in vars(base).values() if is_command(function))
    return sorted((dict(Command.of(each).described()) for each in functions), key=itemgetter("name"))


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings,
    "hooks.md": hook_reference,
    "xeps.md": lambda: specifications() + "\n## Requests that are answered\n\n" + handlers(),
    "tree.md": service_tree,
    "federixctl.md": federixctl,
    **pages(_NOTE),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the reference into docs/.")
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    stale = []
    for name, write in PAGES.items():
        path = arguments.folder / name
        text = write().rstrip("\n") + "\n"
        if arguments.check:
            if not path.exists() or path.read_text() != text:
                stale.append(str(path))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"not up to date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
