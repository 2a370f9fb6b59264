"""How far a command is: a bar on a terminal, lines elsewhere; on standard error, where no answer is printed."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Final, TextIO

import click

#: Where there is no terminal, a line for each so many hundredths.
EVERY: Final = 10


class Bar:
    """Shows how far *name* is, from the first time it is called. What it shows is gone, or ended, when it is left."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None
        self._told = -1

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: int, of: int, note: str = "") -> None:
        """So much is *done*, *of* so much, which may grow."""
        if is_terminal(sys.stderr):
            self._draw(done, of, note)
            return
        hundredths = 100 * done // of if of else 0
        if hundredths // EVERY != self._told // EVERY:
            self._told = hundredths
            click.echo(f"{self._name}: {hundredths} %{f', {note}' if note else ''}", err=True)

    def _draw(self, done: int, of: int, note: str) -> None:
        if self._bar is None:
            self._bar = click.progressbar(
                length=of, label=self._name, file=sys.stderr, item_show_func=lambda shown: shown, update_min_steps=1
            )
        self._bar.length = of
        self._bar.update(done - self._bar.pos, note)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream of the program is a terminal; one that was closed before it began is none at all."""
    return stream is not None and stream.isatty()
