"""Connections that are to be encrypted."""

from __future__ import annotations

from pathlib import Path

from federix.storage.sql.server import SqlTls
from tests.peers.authority import Issuer
from tests.storage.served.outage import OutageCase


class Tls(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        self.issuer = self.new_issuer()
        certificate = self.issuer.issue("127.0.0.1", "localhost").read_bytes()
        self.secure(certificate, self.issuer.certificate.read_bytes())

    def new_issuer(self) -> Issuer:
        folder = Path(self.mktemp())
        folder.mkdir()
        return Issuer(folder)

    def tls(self, *, verify: bool = True, cafile: Path | None = None, own: Path | None = None) -> SqlTls:
        return SqlTls(verify, str(cafile or self.issuer.certificate), None if own is None else str(own))

    async def test_all_connections_are_encrypted_where_that_is_wanted(self) -> None:
        await self.check_encrypted(self.make(tls=self.tls(), host="localhost"), True)

    async def test_our_own_certificate_is_shown_to_who_asks_for_it(self) -> None:
        self.ask_for_certificates(self.issuer.certificate.read_bytes())
        own = self.issuer.issue("federix.test", is_client=True)
        own.chmod(0o600)
        await self.check_encrypted(self.make(tls=self.tls(own=own)), True)
        self.assertIn(self.no_certificate, await self.refused(self.make(tls=self.tls())))

    async def test_none_is_where_it_is_not(self) -> None:
        await self.check_encrypted(self.make(), False)

    async def test_a_certificate_that_is_not_good_is_refused_if_it_is_looked_at(self) -> None:
        another = self.new_issuer().certificate
        await self.check_encrypted(self.make(tls=self.tls(verify=False, cafile=another)), True)
        self.assertIn(self.bad_certificate, await self.refused(self.make(tls=self.tls(cafile=another))))
