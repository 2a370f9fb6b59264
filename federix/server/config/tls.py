"""Ciphers, parameters and authorities for TLS, tried while the configuration is read."""

from __future__ import annotations

import warnings
from pathlib import Path

from cryptography import x509

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


def check_authorities(node: MapNode, name: str, folder: Path, reader: Reader) -> None:
    """Note where the option *name* does not lead to a file of certificates: no server could be verified.

    The first certificate in it is tried. What else may be wrong is told by who reads them all.
    """
    file = node.get(name)
    if not isinstance(file, Scalar) or file.is_null:
        return
    path = folder / file.text
    try:
        with warnings.catch_warnings():
            # What is told of odd serial numbers is nothing an operator can use.
            warnings.simplefilter("ignore")
            x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        reader.problem(name, f"{path} cannot be read: {error.strerror}", file.place)
    except ValueError:
        reader.problem(name, f"{path} does not begin with a certificate in PEM form", file.place)


def _try(settings: TlsSettings, path: str, node: Node, reader: Reader) -> None:
    try:
        server_context(None, (), (), settings, lambda _: None)
    except TlsSettingsError as error:
        # It says which setting first, as the path does.
        reader.problem(path, str(error).partition(": ")[2], node.place)
