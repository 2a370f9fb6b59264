"""The option system: how modules, listeners and the server declare, read and document their settings.

Reading begins at `option.py` (declaring), then `reader.py` (reading by type), `describe.py` (reading back).
"""

from federix.core.options.describe import OptionDoc, describe, in_force, show, written
from federix.core.options.node import ListNode, MapNode, Node, Scalar, node_of
from federix.core.options.option import Options, option
from federix.core.options.problems import NOWHERE, ConfigError, ConfigErrors, Place, Problem, did_you_mean, joined
from federix.core.options.reader import Reader, Reference, read
from federix.core.options.values import HostPattern, Secret

__all__ = [
    "NOWHERE",
    "ConfigError",
    "ConfigErrors",
    "HostPattern",
    "ListNode",
    "MapNode",
    "Node",
    "OptionDoc",
    "Options",
    "Place",
    "Problem",
    "Reader",
    "Reference",
    "Scalar",
    "Secret",
    "describe",
    "did_you_mean",
    "in_force",
    "joined",
    "node_of",
    "option",
    "read",
    "show",
    "written",
]
