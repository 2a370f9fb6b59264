"""Answers of commands for people: lines, names with values, tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lines(answer: Any, *, headed: bool = False) -> list[str]:
    """*answer* as lines: a table with its columns aligned, a mapping as ``name: value``, a list one a line.

    Where tables are *headed*, the first line names their columns.
    """
    if answer is None:
        return []
    if isinstance(answer, Mapping):
        return [f"{printable(name)}: {printable(value)}" for name, value in answer.items()]
    if not isinstance(answer, list):
        return [printable(line) for line in str(answer).split("\n")]
    if answer and all(isinstance(row, Mapping) for row in answer):
        names = list(dict.fromkeys(name for row in answer for name in row))
        heads = [[printable(name).upper() for name in names]] if headed else []
        return table(heads + [[printable(row.get(name)) for name in names] for row in answer])
    return [printable(item) for item in answer]


def table(rows: list[list[str]]) -> list[str]:
    """Rows of equal length with their columns aligned, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def printable(value: Any) -> str:
    """One line that cannot move a terminal's cursor: names of resources are chosen by strangers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
