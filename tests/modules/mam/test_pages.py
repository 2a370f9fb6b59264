"""XEP-0313 §4.3, for any archive and any query: pages one after the other hold what is selected, once and in order."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from federix.modules.mam.pages import fetch, pieces, plan
from federix.modules.mam.preferences import PREFERENCES, Preferences
from federix.modules.mam.query import Query
from federix.storage.archive import ArchiveRow, Span
from federix.storage.memory_archive import MemoryArchives

T = TypeVar("T")

OWNER = "romeo@example.org"
PEERS = ("juliet@example.org", "nurse@example.org")
RESOURCES = ("", "balcony")
NUMBERS = st.integers(1, 40)

rows = st.lists(
    st.tuples(NUMBERS, st.sampled_from(PEERS), st.sampled_from(RESOURCES)), max_size=30, unique_by=lambda row: row[0]
)
bounds = st.none() | st.integers(0, 41)
spans = st.builds(Span, bounds, bounds, st.none() | st.sampled_from(PEERS), st.none() | st.sampled_from(RESOURCES))


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


def filled(numbers: list[tuple[int, str, str]]) -> MemoryArchives:
    archives = MemoryArchives()
    archives.keep([ArchiveRow(OWNER, id, peer, resource, True, "", b"x" * id) for id, peer, resource in numbers])
    return archives


def selected(numbers: list[tuple[int, str, str]], span: Span) -> list[int]:
    return sorted(
        id
        for id, peer, resource in numbers
        if (span.after is None or id > span.after)
        and (span.before is None or id < span.before)
        and (span.peer is None or peer == span.peer)
        and (span.peer is None or span.resource is None or resource == span.resource)
    )


@given(rows, spans, st.integers(1, 7), st.booleans(), st.booleans(), st.booleans())
def test_pages_one_after_the_other_hold_all_that_is_selected(
    numbers: list[tuple[int, str, str]], span: Span, size: int, backwards: bool, named: bool, flipped: bool
) -> None:
    archives = filled(numbers)
    ids = tuple(sorted(id for id, *_ in numbers[::2])) if named else None
    expected = [id for id in selected(numbers, span) if ids is None or id in ids]
    query = Query(span, ids, backwards=backwards, flipped=flipped)
    found: list[int] = []
    while True:
        page = done(plan(archives, OWNER, query, size))
        assert list(page.ids) == sorted(page.ids) and len(page.ids) <= size
        assert page.count == len(expected)
        sent = [row.id for piece in pieces(page, flipped) for row in done(fetch(archives, OWNER, query, piece))]
        assert sent == list(page.ids[::-1] if flipped else page.ids)
        found = [*page.ids, *found] if backwards else [*found, *page.ids]
        if page.complete:
            break
        assert page.ids
        edge = {"before": page.ids[0]} if backwards else {"after": page.ids[-1]}
        query = replace(query, named=frozenset(edge.values()), **edge)
    assert found == expected


@given(rows, spans)
def test_a_page_of_none_tells_how_many_are_selected(numbers: list[tuple[int, str, str]], span: Span) -> None:
    page = done(plan(filled(numbers), OWNER, Query(span), 0))
    assert (page.ids, page.count) == ((), len(selected(numbers, span)))


def test_what_is_brought_while_a_page_is_sent_takes_no_place_in_it() -> None:
    archives = filled([(id, PEERS[0], "") for id in (1, 5, 9)])
    query = Query()
    page = done(plan(archives, OWNER, query, 50))
    archives.keep([ArchiveRow(OWNER, 3, PEERS[0], "", True, "", b"brought")])
    for flipped in (False, True):
        sent = [row.id for piece in pieces(page, flipped) for row in done(fetch(archives, OWNER, query, piece))]
        assert sent == ([9, 5, 1] if flipped else [1, 5, 9])


@given(st.sampled_from((None, "always", "never", "roster")), st.frozensets(st.text()), st.frozensets(st.text()))
def test_preferences_come_back_as_they_were_written(
    default: Any, always: frozenset[str], never: frozenset[str]
) -> None:
    preferences = Preferences(default, always, never)
    assert PREFERENCES.decode(PREFERENCES.encode(preferences)) == preferences
