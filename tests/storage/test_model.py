"""SQLite does whatever the dictionaries do: the same operations, in any order, have the same results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.life.executor import InlineExecutor
from federix.storage import memory, roster
from federix.storage.accounts import Account
from federix.storage.archive import ArchiveRow, Counted, Span
from federix.storage.codec import TEXT
from federix.storage.memory import MemoryStorage
from federix.storage.roster import Contact, RosterItem
from federix.storage.shapes import Document, Log, Table
from federix.storage.sql import roster as sql_roster
from federix.storage.sqlite import IN_MEMORY, SqliteStorage
from federix.storage.storage import Storage
from federix.xmpp.errors import StanzaError

Operation = Callable[[Storage], Awaitable[object]]

DOCUMENT = Document("a", TEXT)
TABLE = Table("a", TEXT)
LOG = Log("a", TEXT)

owners = st.sampled_from(["a@x", "b@x", "x"])
keys = st.sampled_from(["", "k", "é"])
values = st.sampled_from(["", "v", "w"])
limits = st.integers(0, 3)
bounds = st.none() | st.integers(0, 12)
contacts = st.sampled_from(["c@y", "d@y", "e@y"])


def appended(suffix: str) -> Callable[[str | None], str | None]:
    """A change that adds, and removes what has become too long."""
    return lambda before: None if before is not None and len(before) > 1 else (before or "") + suffix


async def read_ahead(storage: Storage, owner: str) -> None:
    storage.documents.expect(DOCUMENT.name)
    storage.read_ahead(owner)


def contact_of(jid: str, name: str | None, request: bytes | None) -> Callable[[Contact], Contact]:
    item = None if name is None else RosterItem(jid, name, "to", groups=frozenset({name}))
    return lambda before: Contact(item, request)


documents: list[st.SearchStrategy[Operation]] = [
    st.builds(lambda o: lambda s: DOCUMENT.bind(s).get(o), owners),
    st.builds(lambda o, v: lambda s: DOCUMENT.bind(s).put(o, v), owners, values),
    st.builds(lambda o: lambda s: DOCUMENT.bind(s).remove(o), owners),
    st.builds(lambda o, v: lambda s: DOCUMENT.bind(s).update(o, appended(v)), owners, values),
    st.builds(lambda a, n: lambda s: DOCUMENT.bind(s).owners(after=a, limit=n), owners, limits),
    st.builds(lambda o: lambda s: read_ahead(s, o), owners),
]
tables: list[st.SearchStrategy[Operation]] = [
    st.builds(lambda o, k: lambda s: TABLE.bind(s).get(o, k), owners, keys),
    st.builds(lambda o, k, v: lambda s: TABLE.bind(s).put(o, k, v), owners, keys, values),
    st.builds(lambda o, k: lambda s: TABLE.bind(s).remove(o, k), owners, keys),
    st.builds(lambda o, k, v: lambda s: TABLE.bind(s).update(o, k, appended(v)), owners, keys, values),
    st.builds(lambda o: lambda s: TABLE.bind(s).all(o), owners),
    st.builds(lambda o: lambda s: TABLE.bind(s).count(o), owners),
    st.builds(lambda o: lambda s: TABLE.bind(s).clear(o), owners),
    st.builds(lambda a, n: lambda s: TABLE.bind(s).owners(after=a, limit=n), owners, limits),
]
logs: list[st.SearchStrategy[Operation]] = [
    st.builds(lambda o, v: lambda s: LOG.bind(s).append(o, v), owners, values),
    st.builds(
        lambda o, a, b, n, r: lambda s: LOG.bind(s).range(o, after=a, before=b, limit=n, reverse=r),
        owners,
        bounds,
        bounds,
        limits,
        st.booleans(),
    ),
    st.builds(lambda o, a, b: lambda s: LOG.bind(s).drop(o, after=a, before=b), owners, bounds, bounds),
    st.builds(lambda o: lambda s: LOG.bind(s).count(o), owners),
    st.builds(lambda a, n: lambda s: LOG.bind(s).owners(after=a, limit=n), owners, limits),
]
accounts: list[st.SearchStrategy[Operation]] = [
    st.builds(lambda k, v: lambda s: s.accounts.create(Account(k, "x", {v: v}, 0.5)), keys, values),
    st.builds(lambda k, v: lambda s: s.accounts.set_credentials(k, "x", {v: k}), keys, values),
    st.builds(lambda k: lambda s: s.accounts.get(k, "x"), keys),
    st.builds(lambda k: lambda s: s.accounts.delete(k, "x"), keys),
    st.builds(lambda k, n: lambda s: s.accounts.names("x", after=k, limit=n), keys, limits),
    st.builds(lambda: lambda s: s.accounts.count("x")),
]
rosters: list[st.SearchStrategy[Operation]] = [
    st.builds(
        lambda o, c, n, r: lambda s: s.rosters.transition(o, c, contact_of(c, n, r)),
        owners,
        contacts,
        st.none() | values,
        st.none() | st.just(b"r"),
    ),
    st.builds(lambda o, c: lambda s: s.rosters.remove(o, c), owners, contacts),
    st.builds(lambda o: lambda s: s.rosters.get(o), owners),
    st.builds(lambda o: lambda s: s.rosters.requests(o), owners),
    st.builds(lambda o, n: lambda s: s.rosters.changes(o, n), owners, st.integers(0, 12)),
    st.builds(lambda o: lambda s: s.forget(o), owners),
]

ids = st.sampled_from([1, 2, 3, 4, 5, 6, 2**63 - 2])
rows = st.builds(
    ArchiveRow, owners, ids, contacts, st.sampled_from(["", "r"]), st.booleans(), values, st.sampled_from([b"a", b"bc"])
)
edges = st.none() | st.sampled_from([-(2**70), 0, 1, 2, 3, 4, 5, 6, 7, 2**63 - 1, 2**70])
spans = st.builds(Span, edges, edges, st.none() | contacts, st.none() | st.sampled_from(["", "r"]))
counts = st.none() | st.builds(Counted, keys, owners, st.integers(0, 3), st.integers(0, 9).map(float))
archives: list[st.SearchStrategy[Operation]] = [
    st.builds(lambda r, c: lambda s: _kept(s, r, c), st.lists(rows, max_size=4), counts),
    st.builds(lambda o, i, n: lambda s: s.archives.fingerprints(o, i, n), owners, ids, limits),
    st.builds(lambda k: lambda s: s.archives.counted(k), keys),
    st.builds(lambda k: lambda s: s.archives.forget_counted(k), keys),
    st.builds(lambda at: lambda s: s.archives.forget_counted_before(at), st.integers(0, 9).map(float)),
    st.builds(
        lambda o, p, n, r: lambda s: s.archives.page(o, p, limit=n, reverse=r), owners, spans, limits, st.booleans()
    ),
    st.builds(
        lambda o, p, n, r: lambda s: s.archives.sizes(o, p, limit=n, reverse=r), owners, spans, limits, st.booleans()
    ),
    st.builds(lambda o, i: lambda s: s.archives.rows(o, i), owners, st.lists(ids)),
    st.builds(lambda o, i: lambda s: s.archives.existing(o, i), owners, st.lists(ids)),
    st.builds(lambda o, p, n: lambda s: s.archives.count(o, p, most=n), owners, spans, st.none() | limits),
    st.builds(lambda o: lambda s: s.archives.ends(o), owners),
    st.builds(lambda o, n: lambda s: s.archives.newest_but(o, n), owners, limits),
    st.builds(lambda a, n: lambda s: s.archives.owners(a, n), st.just("") | owners, limits),
    st.builds(lambda o, p, n: lambda s: s.archives.remove(o, p, limit=n), owners, spans, limits),
    st.builds(lambda o, i: lambda s: s.archives.remove_rows(o, i), owners, st.lists(ids)),
    st.builds(lambda o: lambda s: s.forget(o), owners),
]


async def _kept(storage: Storage, rows: list[ArchiveRow], counted: Counted | None) -> None:
    if counted is not None:
        rows = [row._replace(id=rows[0].id) for row in rows]  # they are one message
    await storage.archives.keep(rows, counted)


class ModelTest(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.one_of(documents + tables + logs + accounts), max_size=40))
    def test_shapes_and_accounts(self, operations: list[Operation]) -> None:
        self.compare(operations)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.one_of(rosters), max_size=40))
    def test_rosters(self, operations: list[Operation]) -> None:
        for module in (memory, roster, sql_roster):
            # So few that a short history runs into the bound.
            self.patch(module, "MOST_TOMBSTONES", 1)
        self.compare(operations)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.one_of(archives), max_size=40))
    def test_archives(self, operations: list[Operation]) -> None:
        self.compare(operations)

    def compare(self, operations: list[Operation]) -> None:
        reference, storage = MemoryStorage(), SqliteStorage(IN_MEMORY, InlineExecutor())
        self.result(lambda s: s.start(), storage)
        try:
            for operation in operations:
                self.assertEqual(self.result(operation, storage), self.result(operation, reference))
        finally:
            self.result(lambda s: s.stop(), storage)

    def result(self, operation: Operation, storage: Storage) -> Any:
        """What the operation answers, or the kind of the error it raises."""

        async def run() -> object:
            try:
                answer = await operation(storage)
            except StanzaError as error:
                return type(error)
            return list(answer.items()) if isinstance(answer, dict) else answer

        return self.successResultOf(Deferred.fromCoroutine(run()))
