"""Ciphers and parameters for TLS, tried on OpenSSL while the configuration is read."""

from __future__ import annotations

from pathlib import Path

from federix.core.listener_options import read_ciphers
from federix.core.options import ConfigError, MapNode, Node, Reader, Scalar, joined
from federix.streams.tls import TlsSettings, TlsSettingsError, server_context


def check_tls(node: MapNode, names: tuple[str, str], path: str, folder: Path, reader: Reader) -> None:
    """Note what OpenSSL does not take of the two options *names*: its ciphers, and its file of parameters."""
    ciphers, dhfile = names
    given = node.get(ciphers)
    if given is not None and not (isinstance(given, Scalar) and given.is_null):
        try:
            settings = TlsSettings(ciphers=read_ciphers(given, path))
        except ConfigError:
            return  # told already, by whoever read the option
        _try(settings, joined(path, ciphers), given, reader)
    file = node.get(dhfile)
    if isinstance(file, Scalar) and not file.is_null:
        _try(TlsSettings(dhfile=str(folder / file.text)), joined(path, dhfile), file, reader)


def _try(settings: TlsSettings, path: str, node: Node, reader: Reader) -> None:
    try:
        server_context(None, (), (), settings, lambda _: None)
    except TlsSettingsError as error:
        # It says which setting first, as the path does.
        reader.problem(path, str(error).partition(": ")[2], node.place)
