"""What Federix offers: one XEP, or chapter of an RFC, per file."""

from ..api import Module

MODULES: dict[str, type[Module]] = {}
