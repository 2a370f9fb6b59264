"""What can be set for each host: at the top of the configuration for all, or in `host_config` for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from federix.core.options import ConfigError, ListNode, Node, Options, option
from federix.core.options.values import word
from federix.core.s2s_options import S2SOptions

PasswordType = Literal["plain", "scram_sha1", "scram_sha256", "scram_sha512"]


def read_language(node: Node, path: str) -> str:
    """A language tag (BCP 47): `en`, `pt-BR`."""
    text = word(node, path, "a language tag such as 'en'")
    parts = text.split("-")
    if not text.isascii() or not all(part.isalnum() and len(part) <= 8 for part in parts) or not parts[0].isalpha():
        raise ConfigError(path, f"must be a language tag such as 'en', not {node.kind}", node.place)
    return text


def read_mechanisms(node: Node, path: str) -> tuple[str, ...]:
    """Names of SASL mechanisms; case does not count."""
    parts = node.items if isinstance(node, ListNode) else (node,)
    return tuple(word(part, path, "the name of a SASL mechanism").upper() for part in parts)


@dataclass(frozen=True)
class AccountOptions(Options):
    """What one host says about language, accounts and logins; part of `HostOptions`."""

    language: str = option("en", "Language of texts made by the server.", kind=read_language)
    version: str | None = option(None, "Version to show instead of Federix's own.")

    auth_method: tuple[Literal["internal"], ...] = option(
        ("internal",), "Where accounts are kept: `internal` is Federix's own storage."
    )
    auth_password_format: Literal["plain", "scram"] = option(
        "scram", "Whether passwords are kept as they are or as SCRAM keys, from which they cannot be read."
    )
    auth_scram_hash: Literal["sha", "sha256", "sha512"] | None = option(
        None, "The only hash of SCRAM keys to keep; none: keys for each, so that every client finds its mechanism."
    )
    auth_stored_password_types: tuple[PasswordType, ...] = option(
        (),
        "All forms in which a new password is kept; empty: auth_password_format and auth_scram_hash decide. Old"
        " accounts keep their forms until a login with PLAIN or a new password, and a mechanism that does not fit all"
        " accounts is not offered: to go over to another hash, list the old one with it for a while.",
    )
    disable_sasl_mechanisms: tuple[str, ...] = option((), "SASL mechanisms that are not offered.", kind=read_mechanisms)
    resource_conflict: Literal["setresource", "closeold", "closenew", "acceptnew"] = option(
        "acceptnew",
        "What happens when a client asks for a resource in use; acceptnew and closeold end the old session.",
    )

    def stored_password_types(self) -> tuple[PasswordType, ...]:
        """The forms in which a new password is kept, after all three options."""
        if self.auth_stored_password_types:
            return self.auth_stored_password_types
        if self.auth_password_format == "plain":
            return ("plain",)
        names: dict[str, PasswordType] = {"sha": "scram_sha1", "sha256": "scram_sha256", "sha512": "scram_sha512"}
        return (names[self.auth_scram_hash],) if self.auth_scram_hash else tuple(names.values())


@dataclass(frozen=True)
class HostOptions(S2SOptions, AccountOptions):
    """The options of one host."""
