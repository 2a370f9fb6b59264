"""Which configuration, which modules, which folder: what starting and checking a server have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..core.loader import Catalogue
from ..modules import MODULES
from .config import Config

#: Where the data goes when nobody says otherwise.
DATA: Final = Path("federix-data")


def load_config(path: Path | None, directory: Path | None) -> Config:
    """The configuration in *path*, or the one for who has none: `localhost` on loopback.

    *directory* keeps the data. Modules of third parties lie in ``modules`` beside the configuration, are installed, or
    are named by their dotted path. Raises `ConfigErrors` with everything that is wrong.
    """
    folder = path.parent if path is not None else Path()
    catalogue = Catalogue(MODULES, (folder / "modules",))
    data = (directory or DATA).absolute()
    if path is None:
        return Config.default(data, known_modules=catalogue.find)
    return Config.load(path, known_modules=catalogue.find, environ=os.environ, directory=data)
