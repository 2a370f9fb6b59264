"""Accounts in SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import bindparam, delete, func, insert, select, update

from ..accounts import Account, AccountExists, Accounts, NoSuchAccount, owner_of
from .database import Database, Transaction
from .schema import account
from .statement import Statement

NOBODY = (json.dumps({"SCRAM-SHA-1": "=" * 100, "SCRAM-SHA-256": "=" * 134, "SCRAM-SHA-512": "=" * 222}), 0.0)
"""What is read where there is no account: as long as the secrets of most."""

_THE_ACCOUNT = (account.c.host == bindparam("of_host"), account.c.local == bindparam("of_local"))
GET = Statement("account.get", select(account.c.credentials, account.c.created).where(*_THE_ACCOUNT))
EXISTS = Statement("account.exists", select(account.c.local).where(*_THE_ACCOUNT))
CREATE = Statement(
    "account.create", insert(account).values({column.name: bindparam(column.name) for column in account.columns})
)
SET_CREDENTIALS = Statement(
    "account.set_credentials", update(account).where(*_THE_ACCOUNT).values(credentials=bindparam("secrets"))
)
DELETE = Statement("account.delete", delete(account).where(*_THE_ACCOUNT))
NAMES = Statement(
    "account.names",
    select(account.c.local)
    .where(account.c.host == bindparam("of_host"), account.c.local > bindparam("after"))
    .order_by(account.c.local)
    .limit(bindparam("limit")),
)
COUNT = Statement(
    "account.count", select(func.count()).select_from(account).where(account.c.host == bindparam("of_host"))
)


class SqlAccounts(Accounts):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, local: str, host: str) -> Account | None:
        row = await self._database.row(owner_of(local, host), GET, of_local=local, of_host=host)
        # Somebody's secrets are read even where there is nobody: who measures must not learn who exists.
        credentials, created = row or NOBODY
        found = Account(local, host, json.loads(credentials), created)
        return None if row is None else found

    async def exists(self, local: str, host: str) -> bool:
        return await self._database.row(owner_of(local, host), EXISTS, of_local=local, of_host=host) is not None

    async def create(self, account: Account) -> None:
        secrets = json.dumps(dict(account.credentials))

        async def work(tx: Transaction) -> None:
            if await tx.run(EXISTS, of_local=account.local, of_host=account.host):
                raise AccountExists
            await tx.change(
                CREATE, local=account.local, host=account.host, credentials=secrets, created=account.created
            )

        await self._database.write(account.owner, work)

    async def set_credentials(self, local: str, host: str, credentials: Mapping[str, str]) -> None:
        secrets = json.dumps(dict(credentials))
        changed = await self._database.change(
            owner_of(local, host), SET_CREDENTIALS, of_local=local, of_host=host, secrets=secrets
        )
        if not changed:
            raise NoSuchAccount

    async def delete(self, local: str, host: str) -> bool:
        return await self._database.change(owner_of(local, host), DELETE, of_local=local, of_host=host) > 0

    async def names(self, host: str, *, limit: int, after: str = "") -> list[str]:
        rows = await self._database.rows(None, NAMES, of_host=host, after=after, limit=limit)
        return [local for (local,) in rows]

    async def count(self, host: str) -> int:
        return await self._database.number(None, COUNT, of_host=host)
