"""Which configuration, which modules, which folder: what starting and checking a server have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..core.loader import Catalogue, ModuleError, ordered
from ..core.options import NOWHERE
from ..modules import MODULES
from .config import Config, ConfigErrors, Problem

#: Where the data goes when nobody says otherwise.
DATA: Final = Path("federix-data")


def load_config(path: Path | None, directory: Path | None) -> Config:
    """The configuration in *path*, or the one for who has none: `localhost` on loopback.

    *directory* keeps the data. Modules of third parties lie in a `modules_dir`, are installed, or are named by their
    dotted path. Raises `ConfigErrors` with everything that is wrong.
    """
    catalogue = Catalogue(MODULES)
    data = (directory or DATA).absolute()
    if path is None:
        return Config.default(data, known_modules=catalogue.find)
    config = Config.load(
        path,
        known_modules=catalogue.find,
        found_folders=catalogue.look_in,
        environ=os.environ,
        directory=data,
    )
    _check_requirements(config)
    return config


def _check_requirements(config: Config) -> None:
    problems = []
    for host in config.hosts:
        modules = config.modules(host).values()
        try:
            ordered(module.cls for module in modules)
        except ModuleError as error:
            place = next((module.node.place for module in modules if str(error).startswith(module.name)), NOWHERE)
            problems.append(Problem(f"modules ({host})", str(error), place))
    if problems:
        raise ConfigErrors(problems)
