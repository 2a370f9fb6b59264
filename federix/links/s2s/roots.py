"""The authorities whose certificates are believed: PEM files in, an OpenSSL store for each judgement out."""

from __future__ import annotations

import os
import re
import ssl
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from OpenSSL import crypto

from .identities import UNREADABLE

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""The lists of the browsers are a quarter of a megabyte."""

MAX_ROOTS: Final = 2000
"""Authorities, and files in a folder of them; the lists of the browsers have about 150."""

SYSTEM_LISTS: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # BSD, macOS
    "/usr/local/share/certs/ca-root-nss.crt",  # FreeBSD's package
)
"""Where systems keep their list. The OpenSSL that pyOpenSSL brings along was built for none of them."""

_PEM: Final = re.compile(rb"-----BEGIN ((?:X509 )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)

_Key = tuple[tuple[str, str], ...]


class Roots:
    """All authorities of *paths* (PEM files), or the system's if there are none. Nothing is read before `reload`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._by_subject: dict[_Key, list[crypto.X509]] = {}

    def reload(self) -> list[str]:
        """Read all files again (blocking); returns what is wrong, each in one sentence for the operator.

        While nothing at all can be read, what was read before stays in use: a file caught half written must not end
        all federation.
        """
        problems: list[str] = []
        by_subject: dict[_Key, list[crypto.X509]] = {}
        found = 0
        paths = self.paths or tuple(_system())
        if not paths:
            problems.append("this system has no list of authorities where one is usually kept: set ca_file")
        for path in paths:
            for certificate in _read(path, problems):
                if found == MAX_ROOTS:
                    problems.append(f"{path}: more than {MAX_ROOTS} authorities; the rest is left out")
                    break
                found += 1
                by_subject.setdefault(_key(certificate.subject), []).append(_for_openssl(certificate))
        if found or not self._by_subject:
            self._by_subject = by_subject
        else:
            problems.append("no authority was found: those from before stay in use")
        return problems

    def store(self, chain: Iterable[x509.Certificate], moment: datetime) -> crypto.X509Store:
        """An OpenSSL store for judging *chain* at *moment*: with the authorities that could end it, and no others.

        A few microseconds each time, so that each judgement has its own: the moment of a store can be set only once.
        (OpenSSL keeps the first, X509_VERIFY_PARAM_set1, and nobody is told.)
        """
        store: Any = crypto.X509Store()
        # What the operator lists is believed as it is, be it the certificate of an intermediate or of one server.
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        store.set_time(moment.astimezone(UTC))
        wanted = {_key(name): None for certificate in chain for name in (certificate.issuer, certificate.subject)}
        for key in wanted:
            for root in self._by_subject.get(key, ()):
                store.add_cert(root)
        return store  # type: ignore[no-any-return]


def _system() -> Iterator[str]:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        yield paths.cafile
        return
    told = paths.capath is not None and paths.capath != paths.openssl_capath  # by SSL_CERT_DIR
    if not told and (known := next(filter(os.path.isfile, SYSTEM_LISTS), None)) is not None:
        yield known
    elif paths.capath is not None:
        files = (entry for entry in sorted(Path(paths.capath).iterdir()) if entry.is_file())
        yield from (str(file) for file, _ in zip(files, range(MAX_ROOTS), strict=False))


def _read(path: str, problems: list[str]) -> Iterator[x509.Certificate]:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.append(f"{path}: {(error.strerror or 'it cannot be read').lower()}")
        return
    if len(content) > MAX_FILE_BYTES:
        problems.append(f"{path}: larger than {MAX_FILE_BYTES} bytes, so not a list of authorities")
        return
    blocks = [block[0] for block in _PEM.finditer(content)]
    if not blocks:
        problems.append(f"{path}: no certificate in PEM text in it")
    damaged = 0
    for block in blocks:
        try:
            certificate = _load(block)
        except UNREADABLE:
            damaged += 1
        else:
            yield certificate
    if damaged:
        problems.append(f"{path}: {damaged} of {len(blocks)} certificates in it are damaged or of an unknown kind")


def _load(block: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        # Some very old authorities, in the systems' lists still, have the serial number 0.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        certificate = x509.load_pem_x509_certificate(block)
    certificate.subject.rfc4514_string()  # it is read only when it is asked for
    return certificate


def _for_openssl(certificate: x509.Certificate) -> crypto.X509:
    made: Any = crypto.X509
    return made.from_cryptography(certificate)  # type: ignore[no-any-return]


def _key(name: x509.Name) -> _Key:
    """*name* so that two spellings of it are the same, as far as OpenSSL takes them for the same (RFC 5280 §7.1)."""
    return tuple((part.oid.dotted_string, " ".join(str(part.value).lower().split())) for part in name)
