"""The configuration: any text is one, or `ConfigErrors` says what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Final

from federix.core.host_options import HostOptions
from federix.modules import MODULES
from federix.server.config import Config, ConfigErrors
from federix.server.config.options import ServerOptions
from federix.server.config.table import LISTENERS, STRUCTURE

from ..mutation import bytes_changed

#: What may stand before a colon.
_NAMES: Final = sorted(
    {
        *STRUCTURE,
        *MODULES,
        *(field.name for cls in (HostOptions, ServerOptions, *LISTENERS.values()) for field in fields(cls)),
        *(field.name for module in MODULES.values() for field in fields(module.Options)),
        *("allow", "deny", "user", "user_regexp", "server", "ip", "port", "rate", "burst_size", "example.org", "<<"),
    }
)
_VALUES: Final = (
    *("", "~", "true", "0", "-1", "1.5", "infinity", "10 minutes", "999999999999999999999", "all", "none", "x"),
    *("example.org", "'@HOST@'", "[]", "{}", "[[]]", "[{}]", "{a: b}", "[all, {a: 1}]", "&a [1]", "*a", "!!python/x y"),
    *('"::/0"', "10.0.0.0/33", "user@example.org", "@@", "'[a'", '"\\u0000"', "|\n  text", "2001-01-01", "1e400"),
)


def check(data: bytes) -> None:
    if b"**" in data or b"include" in data:
        return  # it would read through all the files of this machine
    text = data.decode("utf-8", "replace")
    try:
        config = Config.load(text, known_modules=MODULES.get, directory=Path("/nonexistent"))
    except ConfigErrors as errors:
        assert errors.problems and str(errors)
        return
    assert config.hosts
    assert config.in_force()
    for host in config.hosts:
        assert config.options(host) and config.modules(host) is not None and config.access(host)


def changed(data: bytes, random: Random, most: int) -> bytes:
    """*data* with lines moved, or with other words in them."""
    lines = data.decode("utf-8", "replace").split("\n")
    if random.random() < 0.2:
        return bytes_changed(data, random, most)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        line = lines[at]
        name, value = random.choice(_NAMES), random.choice(_VALUES)
        choice = random.randrange(7)
        if choice == 0 and len(lines) > 1:
            del lines[at]
        elif choice == 1:
            lines.insert(random.randrange(len(lines) + 1), line)
        elif choice == 2:
            lines[at] = random.choice(("", "  ", "    ", "- ", "  - ")) + line.lstrip(" -")
        elif choice == 3:
            lines[at] = re.sub(r"(\w+)(?=:)", name, line, count=1)
        elif choice == 4:
            lines[at] = re.sub(r":.*", lambda _, value=value: f": {value}", line, count=1)  # type: ignore[misc]
        else:
            indent = re.match(" *", line)
            lines.insert(at, f"{indent[0] if indent else ''}{name}: {value}")
    return "\n".join(lines).encode()[:most]
