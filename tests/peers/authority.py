"""A throw-away certificate authority: clients and servers trust it, and it vouches for the servers under test."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

from federix.testing.authority import CLIENT, SERVER, Issued
from federix.testing.authority import Authority as Signer

LIFETIME: Final = datetime.timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Authority:
    """The files a test needs: what clients trust, and what the server shows."""

    folder: Path
    """Holds the authority under its OpenSSL hash as well, for programs that want a folder."""
    certificate: Path
    """The authority's own certificate, PEM."""
    server_chain: Path
    """The server's certificate followed by its private key, PEM, in one file."""
    server_certificate: Path
    server_key: Path


class Issuer:
    """An authority in *folder* (which must exist) that gives out certificates, each with its key in one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signer = Signer(name="Federix test authority")
        # OpenSSL looks an issuer up in a folder by the hash of its name.
        name_hash = int(crypto.X509.from_cryptography(self._signer.certificate).subject_name_hash())
        _write(folder / f"{name_hash:08x}.0", self._signer.pem)
        self.certificate = _write(folder / "authority.pem", self._signer.pem)
        """The authority's own certificate, PEM."""

    def issue(
        self, *domains: str, self_signed: bool = False, is_client: bool = False, lifetime: datetime.timedelta = LIFETIME
    ) -> Path:
        """Write certificate and key for *domains*, and return the file.

        It is good for servers alone, as those of public authorities are, unless *is_client*. One that has *expired*
        has a negative *lifetime*. A *self_signed* one is what a server without an authority shows.
        """
        return _write(self._folder / f"{domains[0]}.pem", self._make(domains, self_signed, is_client, lifetime).pem)

    def issue_apart(self, domain: str) -> Authority:
        """The same for one *domain*, with certificate and key in files of their own, too."""
        issued = self._make([domain], self_signed=False, is_client=False, lifetime=LIFETIME)
        return Authority(
            folder=self._folder,
            certificate=self.certificate,
            server_chain=_write(self._folder / "chain.pem", issued.pem),
            server_certificate=_write(self._folder / "server.crt", issued.chain_pem),
            server_key=_write(self._folder / "server.key", issued.key_pem),
        )

    def _make(self, domains: Sequence[str], self_signed: bool, is_client: bool, lifetime: datetime.timedelta) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        signer = Signer(name=domains[0], key=key) if self_signed else self._signer
        return signer.issue(
            *domains,
            usages=[SERVER, *([CLIENT] if is_client else [])],
            begins=min(datetime.timedelta(), lifetime) - datetime.timedelta(hours=1),
            ends=lifetime,
            key=key,
        )


def make_authority(folder: Path, host: str) -> Authority:
    """Make an authority in *folder* (which must exist), and with it a certificate for *host*, both good for 90 days."""
    return Issuer(folder).issue_apart(host)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path
