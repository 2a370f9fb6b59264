"""PostgreSQL that is away, comes back, goes in the middle of something, or says nothing any more."""

from __future__ import annotations

from tests.storage.served import away, broken, orphans, tls
from tests.storage.served.on_postgres import OnPostgres


class AwayTest(OnPostgres, away.Away):
    pass


class BrokenTest(OnPostgres, broken.Broken):
    pass


class TlsTest(OnPostgres, tls.Tls):
    pass


class OrphansTest(OnPostgres, orphans.Orphans):
    pass
