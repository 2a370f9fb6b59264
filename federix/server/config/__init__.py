"""The configuration: YAML in the grammar of ejabberd.yml, or a plain mapping, into a frozen `Config`.

Reading begins at `config.py`; `loading.py` has the steps, `table.py` what of ejabberd's options is done.
"""

from federix.core.options import ConfigErrors, Problem
from federix.server.config.config import DEFAULT_MODULES, Config, load
from federix.server.config.options import ServerOptions
from federix.server.config.parts import HostConfig, ListenerConfig, ModuleConfig
from federix.server.config.table import option_table, safer_defaults

__all__ = [
    "DEFAULT_MODULES",
    "Config",
    "ConfigErrors",
    "HostConfig",
    "ListenerConfig",
    "ModuleConfig",
    "Problem",
    "ServerOptions",
    "load",
    "option_table",
    "safer_defaults",
]
