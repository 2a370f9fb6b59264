"""``twistd federix``: what an operator may write behind it. What runs then is in `running.py`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from .config import ConfigErrors, ListenerConfig
from .introduction import DEMO_ACCOUNTS
from .running import Running
from .start import load_config


class Options(usage.Options):
    """What stands behind ``twistd federix``."""

    synopsis = "[-c FILE] [-d DIRECTORY]"
    longdesc = "A federated XMPP server. Without a configuration it serves localhost, on loopback only."
    optFlags = [  # noqa: RUF012
        ["demo", None, "Make the accounts romeo and juliet, for trying things out on loopback."],
    ]
    optParameters = [  # noqa: RUF012 (as Twisted asks for it)
        ["config", "c", None, "The configuration: YAML in the grammar of ejabberd.yml."],
        ["directory", "d", None, "Where the data is kept; ./federix-data otherwise."],
        ["log-format", None, "text", "text or json."],
    ]

    def postOptions(self) -> None:
        if self["log-format"] not in ("text", "json"):
            raise usage.UsageError("--log-format is text or json")


def makeService(options: Options) -> IService:
    """The server that *options* describe; a configuration that is wrong is told in full, and nothing starts."""
    # What is done later is done in another folder, where twistd was given one.
    path = Path(options["config"]).absolute() if options["config"] else None
    directory = Path(options["directory"]) if options["directory"] else None
    try:
        config = load_config(path, directory)
    except ConfigErrors as errors:
        raise SystemExit("\n".join([str(problem) for problem in errors.problems] + ["federix: not started"])) from None
    if options["demo"] and not all(map(_is_local, config.listeners)):
        raise SystemExit("federix: --demo is for loopback only: everybody knows these passwords")
    twistd: Mapping[str, Any] = getattr(options, "parent", None) or {}
    if twistd:
        _choose_reactor()
    return Running(config, path, twistd, options["log-format"], DEMO_ACCOUNTS if options["demo"] else {})


def _choose_reactor() -> None:
    """The leanest there is, where the operator has chosen none (``twistd --reactor``)."""
    try:
        from .reactor import install_unless_chosen
    except ImportError:
        return  # this system has no epoll
    install_unless_chosen()


def _is_local(listener: ListenerConfig) -> bool:
    return listener.path is not None or ip_address(listener.ip).is_loopback
